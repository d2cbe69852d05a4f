import { AtSign, Pencil, Plus, Trash2 } from "lucide-react"
import { useState } from "react"
import { call, errorAt, Problem, textOf } from "../../api/client"
import type { DynamicName, NewDynamicName, Outcome, PublicName } from "../../api/types"
import { useEdit, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field, Select, Switch } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Empty } from "../../kit/states"
import { Status } from "../../kit/status"
import { Table } from "../../kit/table"
import { Copy, Mono, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"

const at = (name: string) => `/api/network/dynamic/${encodeURIComponent(name)}`

/** Public names that follow the cell's address. Their passwords go into the vault. */
export function Dynamic({ names, may }: { names: PublicName[]; may: boolean }) {
	const { doc } = useEditable()
	const list = doc?.network?.dynamic ?? []
	const [editing, edit] = useState<DynamicName | "new" | null>(null)
	const remove = useEdit((name: string) => call<Outcome>(at(name), { method: "DELETE" }))
	const button = may && (
		<Button icon={Plus} onPress={() => edit("new")}>
			{t("Add a public name")}
		</Button>
	)
	return (
		<Card
			title={t("Public names")}
			hint={t("Dynamic DNS: names that follow the cell's address on the internet.")}
			flush
			action={list.length > 0 && button}
		>
			{list.length ? (
				<Table
					label={t("Public names")}
					rows={list}
					id={(n) => n.name}
					columns={[
						{ head: t("Name"), cell: (n) => <Copy value={n.name} label={t("the name")} /> },
						{ head: t("Kept at"), cell: (n) => <Mono>{n.server}</Mono> },
						{
							head: t("State"),
							cell: (n) => {
								const l = names.find((x) => x.name === n.name)
								if (n.disabled) return <Status tone="idle">{t("off")}</Status>
								if (l?.error) return <span className="text-bad-ink">{l.error}</span>
								if (l?.updated)
									return (
										<span>
											<Status tone="ok">{t("up to date")}</Status>{" "}
											<span className="text-muted">
												<Time at={l.updated} />
											</span>
										</span>
									)
								return <Status tone="busy">{t("not told yet")}</Status>
							},
						},
						...(may
							? [
									{
										head: t("Actions"),
										kind: "end" as const,
										cell: (n: DynamicName) => (
											<span className="inline-flex">
												<IconButton
													icon={Pencil}
													label={t("Change {name}", { name: n.name })}
													onPress={() => edit(n)}
												/>
												<IconButton
													icon={Trash2}
													label={t("Remove {name}", { name: n.name })}
													onPress={() => remove.mutate(n.name, { onError: (err) => toast(textOf(err)) })}
												/>
											</span>
										),
									},
								]
							: []),
					]}
				/>
			) : (
				<Empty icon={AtSign} title={t("No public name yet")} action={button}>
					{t("With one, devices on the road find the cell after the provider changed its address.")}
				</Empty>
			)}
			{editing && <EditName name={editing === "new" ? undefined : editing} onClose={() => edit(null)} />}
		</Card>
	)
}

function EditName({ name: n, onClose }: { name?: DynamicName; onClose: () => void }) {
	const [form, change] = useState({
		name: n?.name ?? "",
		protocol: n?.protocol || "dyndns2",
		server: n?.server ?? "",
		user: n?.user ?? "",
		password: "",
		zone: n?.zone ?? "",
		families: n?.families?.length === 1 ? n.families[0]! : "",
		disabled: n?.disabled ?? false,
	})
	const set = (part: Partial<typeof form>) => change({ ...form, ...part })
	const name = form.name.trim().toLowerCase()
	const update = form.protocol === "rfc2136"
	const put = useEdit((body: NewDynamicName) => call<Outcome>(at(name), { method: "PUT", body }))
	const path = (field: string) =>
		errorAt(put.error, `network.dynamic.${name}.${field}`) ??
		errorAt(put.error, `network.dynamic."${name}".${field}`)
	const told = ["name", "server"].some((f) => path(f)) || !!errorAt(put.error, "password")
	return (
		<Dialog title={n ? t("Change {name}", { name: n.name }) : t("Add a public name")} open onClose={onClose}>
			<form
				className="flex flex-col gap-4 pt-2"
				noValidate
				onSubmit={(e) => {
					e.preventDefault()
					put.mutate(
						{
							protocol: form.protocol as NewDynamicName["protocol"],
							server: form.server.trim(),
							user: form.user.trim() || undefined,
							password: form.password || undefined,
							zone: update ? form.zone.trim() || undefined : undefined,
							families: form.families ? [form.families] : undefined,
							disabled: form.disabled || undefined,
						},
						{ onSuccess: onClose },
					)
				}}
			>
				<Field
					label={t("Name")}
					value={form.name}
					onChange={(v) => set({ name: v })}
					error={path("name")}
					placeholder="oak.dyn.example"
					mono
					isDisabled={!!n}
					autoFocus={!n}
					autoComplete="off"
					autoCapitalize="none"
					spellCheck="false"
					isRequired
				/>
				<div className="grid gap-4 card:grid-cols-2">
					<Select
						label={t("How it is told")}
						value={form.protocol}
						onChange={(protocol) => set({ protocol })}
						options={[
							["dyndns2", t("dyndns2, as most services")],
							["rfc2136", t("update of a zone (RFC 2136)")],
						]}
					/>
					<Select
						label={t("Addresses")}
						value={form.families}
						onChange={(families) => set({ families })}
						options={[
							["", t("IPv4 and IPv6")],
							["4", t("IPv4 only")],
							["6", t("IPv6 only")],
						]}
					/>
				</div>
				<Field
					label={update ? t("Name server") : t("Address of the service")}
					value={form.server}
					onChange={(server) => set({ server })}
					error={path("server")}
					placeholder={update ? "ns1.example:53" : "https://dyn.example/nic/update"}
					mono
					autoComplete="off"
					spellCheck="false"
					isRequired
				/>
				{update && (
					<Field
						label={t("Zone")}
						value={form.zone}
						onChange={(zone) => set({ zone })}
						hint={t("Left empty: the name's parent")}
						mono
						autoComplete="off"
						spellCheck="false"
					/>
				)}
				<div className="grid gap-4 card:grid-cols-2">
					<Field
						label={update ? t("Name of the key") : t("User")}
						value={form.user}
						onChange={(user) => set({ user })}
						autoComplete="off"
						spellCheck="false"
					/>
					<Field
						label={update ? t("Key") : t("Password")}
						value={form.password}
						onChange={(password) => set({ password })}
						error={errorAt(put.error, "password")}
						hint={
							n?.password
								? t("Left empty: the one of before stays")
								: t("It goes into the vault and is never shown again")
						}
						type="password"
						autoComplete="new-password"
					/>
				</div>
				<Switch
					label={t("Keep it up to date")}
					isSelected={!form.disabled}
					onChange={(on) => set({ disabled: !on })}
				/>
				{put.error && !told && (
					<p role="alert" className="font-medium text-bad-ink">
						{put.error instanceof Problem && put.error.errors[0]
							? put.error.errors[0].message
							: textOf(put.error)}
					</p>
				)}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button
						kind="primary"
						type="submit"
						isDisabled={!name || !form.server.trim()}
						isPending={put.isPending}
					>
						{t("Save")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}
