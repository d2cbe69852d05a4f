import { Pencil, Plus, Trash2, Users } from "lucide-react"
import { type FormEvent, useState } from "react"
import { call, errorAt, textOf, toldByFields } from "../../api/client"
import { useGroups, useSession } from "../../api/hooks"
import type { Outcome, PeerGroup, PeerRights } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field } from "../../kit/field"
import { Dialog, DialogActions, Menu } from "../../kit/overlay"
import { Empty } from "../../kit/states"
import { Badge, Notice } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { None } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { label } from "./filter"
import { Grant } from "./grant"

export function Groups() {
	const groups = useGroups()
	const { data: me } = useSession()
	const [adding, add] = useState(false)
	const may = me?.role === "admin"
	const button = may && (
		<Button kind="primary" icon={Plus} onPress={() => add(true)}>
			{t("Add a group")}
		</Button>
	)
	const columns: Column<PeerGroup>[] = [
		{ head: t("Name"), cell: (g) => <span className="font-medium">{g.name}</span> },
		{
			head: t("Says"),
			cell: (g) =>
				g.rights?.length ? g.rights.map((r) => r.text).join("; ") : <None>{t("nothing yet")}</None>,
		},
		{
			head: t("Devices"),
			none: (g) => !g.peers?.length,
			cell: (g) => (
				<span className="inline-flex flex-wrap gap-1">
					{g.peers?.map((p) => (
						<Badge key={p}>{p}</Badge>
					))}
				</span>
			),
		},
		...(may
			? [{ head: t("Actions"), kind: "end" as const, cell: (g: PeerGroup) => <Actions group={g} /> }]
			: []),
	]
	return (
		<Card
			flush
			title={t("Groups of devices")}
			hint={t(
				"A group gives rights to its devices, and to all devices of the people who are in it. What a device says itself wins; of several groups, any that allows something does.",
			)}
			action={button}
		>
			<Loaded of={groups}>
				{(list) =>
					list.length === 0 ? (
						<Empty icon={Users} title={t("No group yet")}>
							{t("A group such as children or guests saves saying the same for each device.")}
						</Empty>
					) : (
						<Table label={t("Groups")} columns={columns} rows={list} id={(g) => g.name} />
					)
				}
			</Loaded>
			{adding && <Add onClose={() => add(false)} />}
		</Card>
	)
}

function Actions({ group }: { group: PeerGroup }) {
	const [open, show] = useState(false)
	const url = `/api/groups/${encodeURIComponent(group.name)}`
	const remove = useEdit(() => call<Outcome>(url, { method: "DELETE" }))
	const save = useEdit((r: PeerRights) => call<Outcome>(url, { method: "PUT", body: r }))
	return (
		<>
			<Menu
				label={t("What to do with {name}", { name: group.name })}
				entries={[
					{ id: "edit", text: t("What it may reach…"), icon: Pencil, onAction: () => show(true) },
					{
						id: "remove",
						text: t("Remove"),
						icon: Trash2,
						danger: true,
						onAction: () => remove.mutate(undefined, { onError: (err) => toast(textOf(err)) }),
					},
				]}
			/>
			{open && (
				<Grant
					title={t("What {name} may reach", { name: group.name })}
					name={group.name}
					chosen={group.chosen}
					pending={save.isPending}
					error={save.error}
					onSave={(r) => save.mutate(r, { onSuccess: () => show(false) })}
					onClose={() => show(false)}
				/>
			)}
		</>
	)
}

function Add({ onClose }: { onClose: () => void }) {
	const [name, type] = useState("")
	const add = useEdit((n: string) => call<Outcome>("/api/groups", { method: "POST", body: { name: n } }))
	const submit = (e: FormEvent) => {
		e.preventDefault()
		add.mutate(label(name), { onSuccess: onClose })
	}
	return (
		<Dialog title={t("Add a group")} open onClose={onClose}>
			<form onSubmit={submit} noValidate className="flex flex-col gap-4 pt-2">
				<Field
					label={t("Name")}
					value={name}
					onChange={type}
					error={errorAt(add.error, "name")}
					hint={t("Such as children or guests. What it may reach is said afterwards.")}
					autoFocus
					autoComplete="off"
				/>
				{add.error && !toldByFields(add.error, ["name"]) && <Notice tone="bad" title={textOf(add.error)} />}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isDisabled={!label(name)} isPending={add.isPending}>
						{t("Add")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}
