import { Pencil, Plus, Trash2, UsersRound } from "lucide-react"
import { type FormEvent, useState } from "react"
import type { FilterClient, FilterGroup } from "../../api/types"
import { useDraft, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field, Select } from "../../kit/field"
import { Empty } from "../../kit/states"
import { Badge } from "../../kit/status"
import { Table } from "../../kit/table"
import { Mono, None } from "../../kit/text"
import { t } from "../../kit/words"
import { EditGroup } from "./group"
import { lines, says } from "./rules"

/** Groups of devices with rules of their own, and who is in them. */
export function Devices({ may }: { may: boolean }) {
	const { doc } = useEditable()
	const groups = useDraft<FilterGroup[]>("dns.filter.groups", doc?.dns.filter?.groups ?? [], [])
	const clients = useDraft<FilterClient[]>("dns.filter.clients", doc?.dns.filter?.clients ?? [], [])
	const [editing, edit] = useState<FilterGroup | "new" | null>(null)
	const keep = (was: FilterGroup | undefined, now: FilterGroup) => {
		groups.set(was ? groups.value.map((g) => (g.name === was.name ? now : g)) : [...groups.value, now])
		if (was && was.name !== now.name) {
			clients.set(
				clients.value.map((c) => ({ ...c, groups: c.groups?.map((g) => (g === was.name ? now.name : g)) })),
			)
		}
	}
	const remove = (name: string) => {
		groups.set(groups.value.filter((g) => g.name !== name))
		if (clients.value.some((c) => c.groups?.includes(name))) {
			clients.set(clients.value.map((c) => ({ ...c, groups: c.groups?.filter((g) => g !== name) })))
		}
	}
	return (
		<>
			<Card
				title={t("Groups")}
				hint={t("What counts for some devices besides: other lists, blocked services, hours of rest.")}
				flush
				action={
					may && (
						<Button icon={Plus} onPress={() => edit("new")}>
							{t("Add a group")}
						</Button>
					)
				}
			>
				{groups.error && <p className="px-4 pb-2 font-medium text-bad-ink">{groups.error}</p>}
				{groups.value.length ? (
					<Table
						label={t("Groups")}
						rows={groups.value}
						id={(g) => g.name}
						columns={[
							{ head: t("Name"), cell: (g) => <span className="font-medium">{g.name}</span> },
							{ head: t("Rules"), cell: (g) => says(g) },
							{
								head: t("Devices"),
								cell: (g) =>
									clients.value
										.filter((c) => c.groups?.includes(g.name))
										.map((c) => c.name)
										.join(", ") || <None />,
							},
							...(may
								? [
										{
											head: t("Actions"),
											kind: "end" as const,
											cell: (g: FilterGroup) => (
												<span className="inline-flex">
													<IconButton
														icon={Pencil}
														label={t("Change {name}", { name: g.name })}
														onPress={() => edit(g)}
													/>
													<IconButton
														icon={Trash2}
														label={t("Remove {name}", { name: g.name })}
														onPress={() => remove(g.name)}
													/>
												</span>
											),
										},
									]
								: []),
						]}
					/>
				) : (
					<Empty icon={UsersRound} title={t("No group yet")}>
						{t("Such as one for the children, with bedtime and without TikTok.")}
					</Empty>
				)}
			</Card>
			<Clients may={may} groups={groups.value} draft={clients} />
			{editing && (
				<EditGroup
					group={editing === "new" ? undefined : editing}
					taken={groups.value.map((g) => g.name)}
					lists={(doc?.dns.filter?.lists ?? []).map((l) => l.name)}
					onSave={(g) => {
						keep(editing === "new" ? undefined : editing, g)
						edit(null)
					}}
					onClose={() => edit(null)}
				/>
			)}
		</>
	)
}

function Clients({
	may,
	groups,
	draft,
}: {
	may: boolean
	groups: FilterGroup[]
	draft: { value: FilterClient[]; set: (c: FilterClient[]) => void; error: string | undefined }
}) {
	const [form, set] = useState({ name: "", ids: "", group: "" })
	const add = (e: FormEvent) => {
		e.preventDefault()
		draft.set([
			...draft.value,
			{ name: form.name.trim(), ids: lines(form.ids), groups: form.group ? [form.group] : undefined },
		])
		set({ name: "", ids: "", group: form.group })
	}
	const put = (name: string, chosen: string[]) =>
		draft.set(
			draft.value.map((c) => (c.name === name ? { ...c, groups: chosen.length ? chosen : undefined } : c)),
		)
	if (!may && draft.value.length === 0) return null
	return (
		<Card
			title={t("Devices with a name")}
			hint={t("Told by address, network, MAC address, peer:NAME, user:NAME or id:LABEL.")}
			flush
		>
			{draft.error && <p className="px-4 pb-2 font-medium text-bad-ink">{draft.error}</p>}
			{draft.value.length > 0 && (
				<Table
					label={t("Devices with a name")}
					rows={draft.value}
					id={(c) => c.name}
					columns={[
						{ head: t("Name"), cell: (c) => <span className="font-medium">{c.name}</span> },
						{ head: t("Told by"), cell: (c) => <Mono>{c.ids.join(", ")}</Mono> },
						{
							head: t("Groups"),
							cell: (c) => (
								<span className="flex flex-wrap items-center gap-1">
									{(c.groups ?? []).map((g) => (
										<span key={g} className="inline-flex items-center">
											<Badge>{g}</Badge>
											{may && (
												<IconButton
													icon={Trash2}
													label={t("Take {name} out of {group}", { name: c.name, group: g })}
													onPress={() =>
														put(
															c.name,
															(c.groups ?? []).filter((x) => x !== g),
														)
													}
												/>
											)}
										</span>
									))}
									{may && groups.some((g) => !c.groups?.includes(g.name)) && (
										<Select
											label={t("Put {name} into a group", { name: c.name })}
											hideLabel
											value=""
											onChange={(g) => g && put(c.name, [...(c.groups ?? []), g])}
											options={[
												["", t("add…")],
												...groups
													.filter((g) => !c.groups?.includes(g.name))
													.map((g) => [g.name, g.name] as const),
											]}
										/>
									)}
								</span>
							),
						},
						...(may
							? [
									{
										head: t("Actions"),
										kind: "end" as const,
										cell: (c: FilterClient) => (
											<IconButton
												icon={Trash2}
												label={t("Remove {name}", { name: c.name })}
												onPress={() => draft.set(draft.value.filter((x) => x.name !== c.name))}
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
					className={`grid gap-3 p-4 card:grid-cols-[1fr_2fr_150px_auto] card:items-end ${draft.value.length ? "border-t border-line" : ""}`}
				>
					<Field
						label={t("Name")}
						value={form.name}
						onChange={(name) => set({ ...form, name })}
						placeholder={t("Anna's tablet")}
						autoComplete="off"
					/>
					<Field
						label={t("Told by")}
						value={form.ids}
						onChange={(ids) => set({ ...form, ids })}
						placeholder="192.168.1.30, peer:phone"
						mono
						autoComplete="off"
						spellCheck="false"
					/>
					<Select
						label={t("Group")}
						value={form.group}
						onChange={(group) => set({ ...form, group })}
						options={[["", t("none")], ...groups.map((g) => [g.name, g.name] as const)]}
					/>
					<Button type="submit" icon={Plus} isDisabled={!form.name.trim() || !form.ids.trim()}>
						{t("Add")}
					</Button>
				</form>
			)}
		</Card>
	)
}
