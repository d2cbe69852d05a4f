import { Plus, Route as RouteIcon, Trash2 } from "lucide-react"
import { useState } from "react"
import { useRouting } from "../../api/hooks"
import type { Route, Routing } from "../../api/types"
import { useDraft, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field, Select } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Empty } from "../../kit/states"
import { Badge, Status } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Copy, Mono } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"

const access: Record<string, string> = {
	lan: t("home network and VPN"),
	vpn: t("VPN only"),
	public: t("everybody"),
}

/** Which web name leads to which server, and who may go there. */
export function Names() {
	const routing = useRouting()
	return (
		<Loaded of={routing} rows={8}>
			{(r) => (
				<>
					<Routes state={r} />
					<Own list={r.own ?? []} />
				</>
			)}
		</Loaded>
	)
}

/** Routes of the document with the drafts, and how each is now. */
function Routes({ state }: { state: Routing }) {
	const { doc, may } = useEditable()
	const draft = useDraft<Route[]>("proxy.routes", doc?.proxy?.routes ?? [], [])
	const [adding, add] = useState(false)
	const live = (r: Route) => (state.routes ?? []).find((x) => x.name === r.name)
	const columns: Column<Route>[] = [
		{ head: t("Name"), cell: (r) => <Copy value={live(r)?.host ?? r.name} label={t("the name")} /> },
		{ head: t("Leads to"), cell: (r) => <Mono>{r.upstream}</Mono> },
		{ head: t("Who may enter"), cell: (r) => access[r.access || "lan"] ?? r.access },
		{
			head: t("State"),
			cell: (r) => {
				const l = live(r)
				if (!l) return <Status tone="busy">{t("not in force yet")}</Status>
				if (!l.ok) return <Status tone="bad">{l.error || t("does not answer")}</Status>
				return l.requests ? (
					<Status tone="ok">{t("answers")}</Status>
				) : (
					<Status tone="idle">{t("not asked yet")}</Status>
				)
			},
		},
		...(may
			? [
					{
						head: t("Actions"),
						kind: "end" as const,
						cell: (r: Route) => (
							<IconButton
								icon={Trash2}
								label={t("Remove {name}", { name: r.name })}
								onPress={() => draft.set(draft.value.filter((x) => x !== r))}
							/>
						),
					},
				]
			: []),
	]
	const button = may && (
		<Button icon={Plus} onPress={() => add(true)}>
			{t("Add a route")}
		</Button>
	)
	return (
		<>
			<Card title={t("Routes")} flush action={draft.value.length > 0 && button}>
				{draft.error && <p className="px-4 pb-2 font-medium text-bad-ink">{draft.error}</p>}
				{draft.value.length ? (
					<Table label={t("Routes")} columns={columns} rows={draft.value} id={(r) => r.name} />
				) : (
					<Empty icon={RouteIcon} title={t("No route of your own yet")} action={button}>
						{t("Give a server at home a name and https: nas.example leads to http://192.168.1.10:5000.")}
					</Empty>
				)}
			</Card>
			{adding && (
				<AddRoute
					onClose={() => add(false)}
					onAdd={(r) => draft.set([...draft.value.filter((x) => x.name !== r.name), r])}
				/>
			)}
		</>
	)
}

function AddRoute({ onAdd, onClose }: { onAdd: (r: Route) => void; onClose: () => void }) {
	const [form, change] = useState<Route>({ name: "", upstream: "", access: "lan" })
	const set = (part: Partial<Route>) => change({ ...form, ...part })
	return (
		<Dialog title={t("Add a route")} open onClose={onClose}>
			<form
				className="flex flex-col gap-4 pt-2"
				noValidate
				onSubmit={(e) => {
					e.preventDefault()
					onAdd({
						name: form.name.trim().toLowerCase(),
						upstream: form.upstream.trim(),
						access: form.access === "lan" ? undefined : form.access,
					})
					onClose()
				}}
			>
				<Field
					label={t("Name")}
					value={form.name}
					onChange={(name) => set({ name })}
					hint={t("One word below the cell's domain, such as nas, or a whole host name")}
					autoFocus
					autoComplete="off"
					autoCapitalize="none"
					spellCheck="false"
					isRequired
				/>
				<Field
					label={t("Leads to")}
					value={form.upstream}
					onChange={(upstream) => set({ upstream })}
					placeholder="http://192.168.1.10:5000"
					mono
					autoComplete="off"
					spellCheck="false"
					isRequired
				/>
				<Select
					label={t("Who may enter")}
					value={form.access ?? "lan"}
					onChange={(v) => set({ access: v as Route["access"] })}
					options={Object.entries(access)}
				/>
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isDisabled={!form.name.trim() || !form.upstream.trim()}>
						{t("Add to the changes")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}

function Own({ list }: { list: Routing["own"] }) {
	if (!list.length) return null
	return (
		<Card title={t("The cell's own names")} flush>
			<Table
				label={t("The cell's own names")}
				rows={list}
				id={(o) => o.host}
				columns={[
					{ head: t("Name"), cell: (o) => <Copy value={o.host} label={t("the name")} /> },
					{ head: t("What is there"), cell: (o) => <Badge>{o.what}</Badge> },
				]}
			/>
		</Card>
	)
}
