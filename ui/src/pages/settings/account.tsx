import { useMutation } from "@tanstack/react-query"
import { KeyRound, Plus, Terminal, Trash2 } from "lucide-react"
import { type FormEvent, useState } from "react"
import { call, textOf } from "../../api/client"
import { useAppPasswords, useRefresh, useSession, useTokens } from "../../api/hooks"
import type { AppPassword, Issued, Token } from "../../api/types"
import { Button, IconButton } from "../../kit/button"
import { Card, Fact, Facts } from "../../kit/card"
import { Choice, Field } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Empty } from "../../kit/states"
import { Badge, Notice } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Copy, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { roles } from "./people"
import { Sessions } from "./sessions"
import { SetPassword } from "./user"

export function Account() {
	const { data: me } = useSession()
	const [setting, set] = useState(false)
	if (!me) return null
	return (
		<>
			<Card
				title={t("My account")}
				action={
					<Button icon={KeyRound} onPress={() => set(true)}>
						{t("Set my password…")}
					</Button>
				}
			>
				<Facts>
					<Fact name={t("Name")}>{me.display || me.user}</Fact>
					<Fact name={t("Sign-in name")}>
						<Copy value={me.user} label={t("the sign-in name")} />
					</Fact>
					<Fact name={t("Role")}>{roles[me.role] ?? me.role}</Fact>
				</Facts>
			</Card>
			<AppPasswords user={me.user} />
			<Sessions user={me.user} />
			<Tokens />
			{setting && <SetPassword user={me.user} self onClose={() => set(false)} />}
		</>
	)
}

function AppPasswords({ user }: { user: string }) {
	const url = `/api/users/${encodeURIComponent(user)}/app-passwords`
	const list = useAppPasswords(user)
	const columns: Column<AppPassword>[] = [
		{ head: t("For"), cell: (p) => <span className="font-medium">{p.label}</span> },
		{
			head: t("Opens"),
			cell: (p) => (
				<span className="inline-flex gap-1">
					{(p.scopes ?? []).map((s) => (
						<Badge key={s}>{s === "dav" ? t("calendar and files") : t("email")}</Badge>
					))}
				</span>
			),
		},
		{ head: t("Made"), cell: (p) => <Time at={p.created} /> },
		{ head: t("Last used"), cell: (p) => <Time at={p.used} /> },
		{
			head: t("Actions"),
			kind: "end",
			cell: (p) => <Delete url={`${url}/${p.id}`} what={p.label} refresh="users" />,
		},
	]
	return (
		<Issuing
			title={t("App passwords")}
			hint={t("One for each mail or calendar program, so that a lost phone is one line to delete.")}
			button={t("New app password")}
			icon={KeyRound}
			list={list}
			columns={columns}
			empty={t("A program that keeps your password can lose it. Give it one of its own.")}
			make={(label, choice) =>
				call<Issued>(url, {
					method: "POST",
					body: { label, scopes: choice === "both" ? ["mail", "dav"] : [choice] },
				})
			}
			refresh="users"
			choices={[
				{ value: "both", title: t("Email, calendar and files"), text: t("Phones and desktops") },
				{ value: "mail", title: t("Email"), text: t("Mail programs") },
				{ value: "dav", title: t("Calendar and files"), text: t("Calendar, contacts and sync programs") },
			]}
		/>
	)
}

function Tokens() {
	const list = useTokens()
	const columns: Column<Token>[] = [
		{ head: t("For"), cell: (x) => <span className="font-medium">{x.label}</span> },
		{ head: t("Role"), cell: (x) => <Badge>{roles[x.role] ?? x.role}</Badge> },
		{ head: t("Made"), cell: (x) => <Time at={x.created} /> },
		{ head: t("Last used"), cell: (x) => <Time at={x.used} /> },
		{
			head: t("Actions"),
			kind: "end",
			cell: (x) => <Delete url={`/api/tokens/${x.id}`} what={x.label} refresh="tokens" />,
		},
	]
	return (
		<Issuing
			title={t("API tokens")}
			hint={t("For scripts and programs that talk to this cell's API.")}
			button={t("New token")}
			icon={Terminal}
			list={list}
			columns={columns}
			empty={t("A token lets a program do what you may do, until you delete it.")}
			make={(label) => call<Issued>("/api/tokens", { method: "POST", body: { label } })}
			refresh="tokens"
		/>
	)
}

function Issuing<T extends { id: string }>(p: {
	title: string
	hint: string
	button: string
	icon: typeof KeyRound
	list: ReturnType<typeof useTokens> | ReturnType<typeof useAppPasswords>
	columns: Column<T>[]
	empty: string
	make: (label: string, choice: string) => Promise<{ data: Issued }>
	refresh: string
	choices?: { value: string; title: string; text: string }[]
}) {
	const [making, make] = useState(false)
	return (
		<Card
			title={p.title}
			hint={p.hint}
			flush
			action={
				<Button icon={Plus} onPress={() => make(true)}>
					{p.button}
				</Button>
			}
		>
			<Loaded of={p.list as never} rows={2}>
				{(rows: T[]) =>
					rows.length ? (
						<Table label={p.title} columns={p.columns} rows={rows} id={(x) => x.id} />
					) : (
						<Empty icon={p.icon} title={t("None yet")}>
							{p.empty}
						</Empty>
					)
				}
			</Loaded>
			{making && <Make {...p} onClose={() => make(false)} />}
		</Card>
	)
}

function Make(p: {
	button: string
	make: (label: string, choice: string) => Promise<{ data: Issued }>
	refresh: string
	choices?: { value: string; title: string; text: string }[]
	onClose: () => void
}) {
	const [label, setLabel] = useState("")
	const [choice, choose] = useState(p.choices?.[0]?.value ?? "")
	const refresh = useRefresh()
	const make = useMutation({
		mutationFn: () => p.make(label.trim(), choice),
		onSuccess: () => refresh(p.refresh),
	})
	const submit = (e: FormEvent) => {
		e.preventDefault()
		make.mutate()
	}
	if (make.data) {
		return (
			<Dialog title={t("Copy it now")} open onClose={p.onClose}>
				<p className="pt-1">
					{t("It is shown this once. Whoever has it can use it; if it is lost, delete it and make another.")}
				</p>
				<div className="mt-3 rounded-control bg-sunken p-3">
					<Copy value={make.data.data.secret} label={t("the secret")} />
				</div>
				<DialogActions>
					<Button kind="primary" onPress={p.onClose}>
						{t("I have it")}
					</Button>
				</DialogActions>
			</Dialog>
		)
	}
	return (
		<Dialog title={p.button} open onClose={p.onClose}>
			<form onSubmit={submit} className="flex flex-col gap-4 pt-2" noValidate>
				<Field
					label={t("What is it for?")}
					value={label}
					onChange={setLabel}
					hint={t("Such as Thunderbird on the laptop")}
					autoFocus
					autoComplete="off"
					isRequired
				/>
				{p.choices && (
					<Choice label={t("What does it open?")} value={choice} onChange={choose} options={p.choices} />
				)}
				{make.error && <Notice tone="bad" title={textOf(make.error)} />}
				<DialogActions>
					<Button kind="quiet" onPress={p.onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isDisabled={!label.trim()} isPending={make.isPending}>
						{t("Make it")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}

function Delete({ url, what, refresh: key }: { url: string; what: string; refresh: string }) {
	const refresh = useRefresh()
	const remove = useMutation({
		mutationFn: () => call(url, { method: "DELETE" }),
		onSuccess: () => {
			toast(t("{what} opens nothing any more.", { what }))
			return refresh(key)
		},
		onError: (err) => toast(textOf(err)),
	})
	return (
		<IconButton
			icon={Trash2}
			label={t("Delete {what}", { what })}
			onPress={() => remove.mutate()}
			isPending={remove.isPending}
		/>
	)
}
