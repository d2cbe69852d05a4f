import { ListPlus, Trash2 } from "lucide-react"
import { type FormEvent, useState } from "react"
import type { Schemas } from "../../api/types"
import { DraftList, DraftSwitch } from "../../change/fields"
import { useDraft, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field, Select } from "../../kit/field"
import { Badge } from "../../kit/status"
import { Table } from "../../kit/table"
import { Mono } from "../../kit/text"
import { t } from "../../kit/words"
import { lines } from "./rules"

type Forward = Schemas["ConfigForward"]

/** How names that are not of the cell are found out and checked. */
export function Resolving({ validating }: { validating: boolean }) {
	const { doc, may } = useEditable()
	const validate = useDraft("dns.validate", doc?.dns.validate ?? "auto", "auto")
	return (
		<Card title={t("Checks")}>
			<div className="flex flex-col gap-4">
				<Select
					label={t("Check answers by DNSSEC")}
					value={validate.value}
					onChange={validate.set}
					isDisabled={!may}
					error={validate.error}
					hint={
						validating ? t("Answers are being checked.") : t("Answers are not being checked at the moment.")
					}
					options={[
						["auto", t("as long as an upstream passes signatures on")],
						["on", t("always")],
						["off", t("never")],
					]}
				/>
				<DraftSwitch
					path="dns.rebind"
					label={t("Take out addresses of private networks")}
					hint={t("Or a web page out there could reach devices in here (DNS rebinding).")}
					may={may}
					stored={doc?.dns.rebind}
					standard={true}
				/>
				<DraftList
					path="dns.private"
					label={t("Domains that may have such addresses")}
					may={may}
					stored={doc?.dns.private}
					placeholder="example.com"
					add={t("Add a domain")}
				/>
			</div>
		</Card>
	)
}

/** Domains that others are asked about. */
export function Forwards() {
	const { doc, may } = useEditable()
	const draft = useDraft<Forward[]>("dns.forwards", doc?.dns.forwards ?? [], [])
	const [form, set] = useState({ name: "", upstreams: "", tunnel: "" })
	const add = (e: FormEvent) => {
		e.preventDefault()
		draft.set([
			...draft.value,
			{
				name: form.name.trim().toLowerCase(),
				upstreams: lines(form.upstreams),
				...(form.tunnel ? { tunnel: true } : {}),
			},
		])
		set({ name: "", upstreams: "", tunnel: "" })
	}
	if (!may && draft.value.length === 0) return null
	return (
		<Card
			title={t("Domains that others know")}
			hint={t("Such as the names of a router or of a company: asked there and nowhere else.")}
			flush
		>
			{draft.error && <p className="px-4 pb-2 font-medium text-bad-ink">{draft.error}</p>}
			{draft.value.length > 0 && (
				<Table
					label={t("Domains that others know")}
					rows={draft.value}
					id={(f) => f.name}
					columns={[
						{ head: t("Domain"), cell: (f) => <Mono>{f.name}</Mono> },
						{
							head: t("Asked at"),
							cell: (f) => (
								<span className="inline-flex flex-wrap items-center gap-2">
									<Mono>{f.upstreams.join(", ")}</Mono>
									{f.tunnel && <Badge>{t("through the VPN only")}</Badge>}
								</span>
							),
						},
						...(may
							? [
									{
										head: t("Actions"),
										kind: "end" as const,
										cell: (f: Forward) => (
											<IconButton
												icon={Trash2}
												label={t("Remove {name}", { name: f.name })}
												onPress={() => draft.set(draft.value.filter((x) => x.name !== f.name))}
											/>
										),
									},
								]
							: []),
					]}
				/>
			)}
			{may && (
				<form
					onSubmit={add}
					noValidate
					className={`grid gap-3 p-4 card:grid-cols-[1fr_1fr_170px_auto] card:items-end ${draft.value.length ? "border-t border-line" : ""}`}
				>
					<Field
						label={t("Domain")}
						value={form.name}
						onChange={(name) => set({ ...form, name })}
						placeholder="fritz.box"
						mono
						autoComplete="off"
						spellCheck="false"
					/>
					<Field
						label={t("Asked at")}
						value={form.upstreams}
						onChange={(upstreams) => set({ ...form, upstreams })}
						placeholder="192.168.1.1"
						mono
						autoComplete="off"
						spellCheck="false"
					/>
					<Select
						label={t("Way")}
						value={form.tunnel}
						onChange={(tunnel) => set({ ...form, tunnel })}
						options={[
							["", t("any")],
							["tunnel", t("through the VPN only")],
						]}
					/>
					<Button
						type="submit"
						icon={ListPlus}
						isDisabled={!form.name.trim() || lines(form.upstreams).length === 0}
					>
						{t("Add")}
					</Button>
				</form>
			)}
		</Card>
	)
}
