import { DoorOpen, Pencil, Plus, Power, PowerOff, Trash2 } from "lucide-react"
import { useState } from "react"
import { useFirewall } from "../../api/hooks"
import type { Firewall, PortForward } from "../../api/types"
import { useDraft, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { count } from "../../kit/format"
import { Empty } from "../../kit/states"
import { Status } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Mono, None, Time } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { net, ports, protocols, target } from "./forward"
import { EditForward } from "./forwardform"
import { useDevices } from "./known"

export function Forwards() {
	const firewall = useFirewall()
	return (
		<Loaded of={firewall} rows={8}>
			{(f) => (
				<>
					<Chosen state={f} />
					<Opened list={f.mappings} />
				</>
			)}
		</Loaded>
	)
}

/** The forwards of the document with the drafts, and what each has met. */
function Chosen({ state }: { state: Firewall }) {
	const { doc, may } = useEditable()
	const draft = useDraft<PortForward[]>("network.forwards", doc?.network?.forwards ?? [], [])
	const devices = useDevices()
	const [editing, edit] = useState<PortForward | "new" | null>(null)
	const live = (f: PortForward) => state.forwards.find((x) => x.name === f.name)
	const put = (was: PortForward, now: PortForward) =>
		draft.set(draft.value.map((x) => (x.name === was.name ? now : x)))
	const columns: Column<PortForward>[] = [
		{ head: t("Name"), cell: (f) => <span className="font-medium">{f.name}</span> },
		{ head: t("From the internet"), cell: (f) => ports(f) },
		{
			head: t("Leads to"),
			cell: (f) => {
				const name = devices.find((d) => d.address === f.to)?.name
				return (
					<>
						{name && <span className="block">{name}</span>}
						<Mono>{target(f)}</Mono>
					</>
				)
			},
		},
		{
			head: t("Who may"),
			cell: (f) => (f.from?.length ? <Mono>{f.from.map(net).join(", ")}</Mono> : t("everybody")),
		},
		{
			head: t("State"),
			cell: (f) => {
				const l = live(f)
				if (f.disabled) return <Status tone="idle">{t("off")}</Status>
				if (!l || l.disabled) return <Status tone="busy">{t("not in force yet")}</Status>
				if (!state.zones.length) return <Status tone="warn">{t("no packet filter")}</Status>
				return <Status tone="ok">{t("open")}</Status>
			},
		},
		{ head: t("Connections"), kind: "num", cell: (f) => count(live(f)?.packets ?? 0) },
		...(may
			? [
					{
						head: t("Actions"),
						kind: "end" as const,
						cell: (f: PortForward) => (
							<span className="inline-flex">
								<IconButton
									icon={f.disabled ? Power : PowerOff}
									label={
										f.disabled
											? t("Switch {name} on", { name: f.name })
											: t("Switch {name} off", { name: f.name })
									}
									onPress={() => put(f, { ...f, disabled: f.disabled ? undefined : true })}
								/>
								<IconButton
									icon={Pencil}
									label={t("Change {name}", { name: f.name })}
									onPress={() => edit(f)}
								/>
								<IconButton
									icon={Trash2}
									label={t("Remove {name}", { name: f.name })}
									onPress={() => draft.set(draft.value.filter((x) => x !== f))}
								/>
							</span>
						),
					},
				]
			: []),
	]
	const button = may && (
		<Button icon={Plus} onPress={() => edit("new")}>
			{t("Add a port forward")}
		</Button>
	)
	return (
		<>
			<Card
				title={t("Port forwards")}
				hint={t("Ports of the cell that lead to a device at home or in the VPN.")}
				flush
				action={draft.value.length > 0 && button}
			>
				{draft.error && <p className="px-4 pb-2 font-medium text-bad-ink">{draft.error}</p>}
				{draft.value.length ? (
					<Table label={t("Port forwards")} columns={columns} rows={draft.value} id={(f) => f.name} />
				) : (
					<Empty icon={DoorOpen} title={t("No port forward yet")} action={button}>
						{state.router
							? t("Nothing from the internet gets to a device at home, unless that device asked first.")
							: t(
									"This cell is not the router: your router has to send the port to the cell, which passes it on to a device of the household or the VPN.",
								)}
					</Empty>
				)}
			</Card>
			{editing && (
				<EditForward
					forward={editing === "new" ? undefined : editing}
					taken={draft.value.map((f) => f.name)}
					onSave={(f) => {
						if (editing === "new") draft.set([...draft.value, f])
						else put(editing, f)
						edit(null)
					}}
					onClose={() => edit(null)}
				/>
			)}
		</>
	)
}

function Opened({ list }: { list: Firewall["mappings"] }) {
	const { doc } = useEditable()
	const devices = useDevices()
	const on = doc?.network?.portMapping?.enabled
	if (!list.length && !on) return null
	return (
		<Card title={t("Ports that devices opened themselves")} hint={t("By NAT-PMP or PCP, for a time.")} flush>
			{list.length ? (
				<Table
					label={t("Ports that devices opened themselves")}
					rows={list}
					id={(m) => `${m.protocol} ${m.port}`}
					columns={[
						{ head: t("From the internet"), cell: (m) => `${protocols[m.protocol]} ${m.port}` },
						{
							head: t("Device"),
							cell: (m) =>
								devices.find((d) => m.to.replace(/[[\]]/g, "").startsWith(`${d.address}:`))?.name ?? (
									<None>{t("without a name")}</None>
								),
						},
						{ head: t("Leads to"), cell: (m) => <Mono>{m.to}</Mono> },
						{ head: t("Ends"), cell: (m) => <Time at={m.until} /> },
					]}
				/>
			) : (
				<p className="px-4 pb-4 text-muted">{t("None at the moment.")}</p>
			)}
		</Card>
	)
}
