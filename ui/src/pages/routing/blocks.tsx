import { Ban, Trash2 } from "lucide-react"
import { useState } from "react"
import { call, textOf } from "../../api/client"
import type { Blocked, Outcome } from "../../api/types"
import { useEdit, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field, Select } from "../../kit/field"
import { Empty } from "../../kit/states"
import { Badge } from "../../kit/status"
import { Table } from "../../kit/table"
import { Mono, None, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { net } from "./forward"

const spans = [
	["0", t("for good")],
	["60", t("for an hour")],
	["1440", t("for a day")],
	["10080", t("for a week")],
	["43200", t("for 30 days")],
] as const

/** Addresses that are shut out, in both directions, at once. */
export function Blocks({ list }: { list: Blocked[] }) {
	const { may } = useEditable()
	const lift = useEdit((n: string) =>
		call<Outcome>("/api/firewall/block", { method: "DELETE", query: { net: n } }),
	)
	return (
		<Card title={t("Shut out")} hint={t("Nothing goes to these addresses or comes from them.")} flush>
			{list.length ? (
				<Table
					label={t("Shut out")}
					rows={list}
					id={(b) => `${b.net} ${b.own}`}
					columns={[
						{ head: t("Address"), cell: (b) => <Mono>{net(b.net)}</Mono> },
						{
							head: t("Why"),
							cell: (b) => (
								<span className="inline-flex flex-wrap items-center gap-2">
									{b.reason || <None>{t("no reason given")}</None>}
									{b.own && <Badge>{t("by the cell itself")}</Badge>}
								</span>
							),
						},
						{ head: t("Ends"), cell: (b) => (b.until ? <Time at={b.until} /> : t("never")) },
						...(may
							? [
									{
										head: t("Actions"),
										kind: "end" as const,
										none: (b: Blocked) => b.own,
										cell: (b: Blocked) =>
											b.own ? null : (
												<IconButton
													icon={Trash2}
													label={t("Let {address} in again", { address: net(b.net) })}
													onPress={() => lift.mutate(b.net, { onError: (err) => toast(textOf(err)) })}
												/>
											),
									},
								]
							: []),
					]}
				/>
			) : (
				<Empty icon={Ban} title={t("Nobody is shut out")} />
			)}
			{may && <Add />}
		</Card>
	)
}

function Add() {
	const [form, set] = useState({ net: "", reason: "", minutes: "0" })
	const block = useEdit((f: typeof form) =>
		call<Outcome>("/api/firewall/block", {
			method: "POST",
			body: {
				net: f.net.trim(),
				reason: f.reason.trim() || undefined,
				minutes: Number(f.minutes) || undefined,
			},
		}),
	)
	return (
		<form
			noValidate
			className="grid gap-3 border-t border-line p-4 card:grid-cols-[1fr_1fr_130px_auto] card:items-start"
			onSubmit={(e) => {
				e.preventDefault()
				block.mutate(form, { onSuccess: () => set({ net: "", reason: "", minutes: form.minutes }) })
			}}
		>
			<Field
				label={t("Address or network")}
				value={form.net}
				onChange={(n) => {
					block.reset()
					set({ ...form, net: n })
				}}
				error={block.error ? textOf(block.error) : undefined}
				placeholder="203.0.113.0/24"
				mono
				autoComplete="off"
				spellCheck="false"
			/>
			<Field
				label={t("Why")}
				value={form.reason}
				onChange={(reason) => set({ ...form, reason })}
				maxLength={200}
				autoComplete="off"
			/>
			<Select
				label={t("How long")}
				value={form.minutes}
				onChange={(minutes) => set({ ...form, minutes })}
				options={spans}
			/>
			<Button
				type="submit"
				icon={Ban}
				isDisabled={!form.net.trim()}
				isPending={block.isPending}
				className="card:mt-6"
			>
				{t("Shut out")}
			</Button>
		</form>
	)
}
