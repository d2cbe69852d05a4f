import { KeyRound, Plus, Power, Trash2, UserRound } from "lucide-react"
import { useState } from "react"
import { call, textOf } from "../../api/client"
import { useSession, useUsers } from "../../api/hooks"
import type { Outcome, Role, User } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Card } from "../../kit/card"
import { Dialog, DialogActions, Menu } from "../../kit/overlay"
import { Empty } from "../../kit/states"
import { Badge, Notice, Status } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { None } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t, tn } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { AddUser, SetPassword } from "./user"

export const roles: Record<Role, string> = {
	admin: t("Administrator"),
	viewer: t("Viewer"),
	user: t("Member"),
}

export function People() {
	const users = useUsers()
	const { data: me } = useSession()
	const [adding, add] = useState(false)
	const may = me?.role === "admin"
	const columns: Column<User>[] = [
		{
			head: t("Name"),
			cell: (u) => (
				<span className="flex flex-col">
					<span className="font-medium">{u.display || u.name}</span>
					<span className="text-sec font-normal text-muted">{u.name}</span>
				</span>
			),
		},
		{ head: t("Role"), cell: (u) => <Badge>{roles[u.role] ?? u.role}</Badge> },
		{
			head: t("State"),
			cell: (u) =>
				u.disabled ? (
					<Status tone="idle">{t("locked out")}</Status>
				) : (
					<Status tone="ok">{t("active")}</Status>
				),
		},
		{ head: t("Devices"), cell: (u) => (u.peers?.length ? u.peers.join(", ") : <None />) },
		...(may
			? [
					{
						head: t("Actions"),
						kind: "end" as const,
						cell: (u: User) => <Actions user={u} self={u.name === me?.user} />,
					},
				]
			: []),
	]
	return (
		<>
			<Card
				title={t("People")}
				hint={t("Who has a mailbox, a calendar and files here.")}
				flush
				action={
					may && (
						<Button icon={Plus} onPress={() => add(true)}>
							{t("Add a person")}
						</Button>
					)
				}
			>
				<Loaded of={users}>
					{(list) =>
						list.length ? (
							<Table label={t("People")} columns={columns} rows={list} id={(u) => u.name} />
						) : (
							<Empty icon={UserRound} title={t("Nobody yet")}>
								{t("Each person gets a mail address, calendars, contacts and a folder.")}
							</Empty>
						)
					}
				</Loaded>
			</Card>
			{adding && <AddUser onClose={() => add(false)} />}
		</>
	)
}

function Actions({ user, self }: { user: User; self: boolean }) {
	const [open, show] = useState<"password" | "remove" | null>(null)
	const url = `/api/users/${encodeURIComponent(user.name)}`
	const lock = useEdit((disabled: boolean) => call<Outcome>(url, { method: "PUT", body: { disabled } }))
	return (
		<>
			<Menu
				label={t("What to do with {name}", { name: user.name })}
				entries={[
					{ id: "password", text: t("Set a password…"), icon: KeyRound, onAction: () => show("password") },
					...(self
						? []
						: [
								{
									id: "lock",
									text: user.disabled ? t("Let in again") : t("Lock out"),
									icon: Power,
									onAction: () => lock.mutate(!user.disabled, { onError: (err) => toast(textOf(err)) }),
								},
								{
									id: "remove",
									text: t("Remove…"),
									icon: Trash2,
									danger: true,
									onAction: () => show("remove"),
								},
							]),
				]}
			/>
			{open === "password" && <SetPassword user={user.name} self={self} onClose={() => show(null)} />}
			{open === "remove" && <Remove user={user} url={url} onClose={() => show(null)} />}
		</>
	)
}

function Remove({ user, url, onClose }: { user: User; url: string; onClose: () => void }) {
	const remove = useEdit(() => call<Outcome>(url, { method: "DELETE" }))
	const devices = user.peers?.length ?? 0
	return (
		<Dialog
			title={t("Remove {name}?", { name: user.display || user.name })}
			open
			onClose={onClose}
			role="alertdialog"
		>
			<ul className="flex list-disc flex-col gap-1 ps-4 pt-1 marker:text-muted">
				<li>{t("They can no longer sign in, and their mail address takes no more mail.")}</li>
				{devices > 0 && (
					<li>
						{tn(devices, "{n} device is theirs: {names}.", "{n} devices are theirs: {names}.", {
							names: user.peers.join(", "),
						})}
					</li>
				)}
				<li>{t("Mail, calendars and files that are already here stay on the disk.")}</li>
			</ul>
			{remove.error && (
				<div className="mt-3">
					<Notice tone="bad" title={textOf(remove.error)} />
				</div>
			)}
			<DialogActions>
				<Button kind="quiet" onPress={onClose} autoFocus>
					{t("Keep them")}
				</Button>
				<Button
					kind="danger"
					onPress={() => remove.mutate(undefined, { onSuccess: onClose })}
					isPending={remove.isPending}
				>
					{t("Remove {name}", { name: user.name })}
				</Button>
			</DialogActions>
		</Dialog>
	)
}
