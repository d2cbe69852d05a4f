import { useMutation } from "@tanstack/react-query"
import { Pin, PinOff, Router, Undo2 } from "lucide-react"
import { call, textOf } from "../../api/client"
import { useDHCP, useLeases, useRefresh, useResolved } from "../../api/hooks"
import type { Lease, Reservation, DHCP as State } from "../../api/types"
import { DraftSwitch, DraftText } from "../../change/fields"
import { useDraft, useEditable } from "../../change/use"
import { IconButton } from "../../kit/button"
import { Card, Meter } from "../../kit/card"
import { Empty } from "../../kit/states"
import { Badge, Status } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Copy, None, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { label } from "./label"

export function DHCP() {
	const dhcp = useDHCP()
	const { doc } = useEditable()
	const reservations = useDraft<Reservation[]>("dhcp.reservations", doc?.dhcp.reservations ?? [], [])
	return (
		<Loaded of={dhcp} rows={8}>
			{(d) => (
				<>
					<div className="grid items-start gap-4 full:grid-cols-2">
						<Pool d={d} />
						<Edit d={d} />
					</div>
					<Leases d={d} reservations={reservations.value} reserve={reservations.set} />
					<Reservations list={reservations.value} error={reservations.error} set={reservations.set} />
				</>
			)}
		</Loaded>
	)
}

function Pool({ d }: { d: State }) {
	return (
		<Card title={t("Pool")}>
			{d.enabled ? (
				<>
					<Meter
						label={t("Addresses given")}
						used={d.used}
						of={d.size}
						note={t("{n} of {of}", { n: d.used, of: d.size })}
					/>
					<p className="mt-3 flex flex-wrap gap-x-3">
						<Copy value={d.first ?? ""} label={t("the first address")} />
						<span className="text-muted">{t("to")}</span>
						<Copy value={d.last ?? ""} label={t("the last address")} />
						<span className="text-muted">{t("on {card}", { card: d.interface })}</span>
					</p>
				</>
			) : (
				<Empty icon={Router} title={t("DHCP is off")}>
					{t(
						"Your router gives addresses to the household. Switch DHCP on here only after it is off there: two servers quarrel.",
					)}
				</Empty>
			)}
		</Card>
	)
}

function Edit({ d }: { d: State }) {
	const { doc, may } = useEditable()
	const { data: full } = useResolved()
	const s = doc?.dhcp
	const trial = full?.cell.mode === "trial"
	return (
		<Card
			title={t("Settings")}
			hint={
				trial ? t("A cell in trial mode gives no addresses.") : t("Undone after 90 s unless you confirm.")
			}
		>
			<div className="grid gap-4">
				<DraftSwitch
					path="dhcp.enabled"
					label={t("Give addresses")}
					may={may && !trial}
					stored={s?.enabled}
					standard={false}
				/>
				<div className="grid gap-4 card:grid-cols-2">
					<DraftText
						path="dhcp.first"
						label={t("From")}
						may={may && !trial}
						stored={s?.first}
						standard={d.first}
						mono
					/>
					<DraftText
						path="dhcp.last"
						label={t("To")}
						may={may && !trial}
						stored={s?.last}
						standard={d.last}
						mono
					/>
				</div>
				<DraftText
					path="dhcp.lease"
					label={t("A lease lasts")}
					hint={t("Such as 12h or 30m")}
					may={may && !trial}
					stored={s?.lease}
					standard="12h0m0s"
					mono
				/>
			</div>
		</Card>
	)
}

interface Reserving {
	reservations: Reservation[]
	reserve: (r: Reservation[]) => void
}

function Leases({ d, reservations, reserve }: { d: State } & Reserving) {
	const leases = useLeases()
	const { may } = useEditable()
	const refresh = useRefresh()
	const release = useMutation({
		mutationFn: (l: Lease) => call(`/api/dhcp/leases/${encodeURIComponent(l.address)}`, { method: "DELETE" }),
		onSuccess: () => refresh("dhcp"),
		onError: (err) => toast(textOf(err)),
	})
	const kept = (l: Lease) => reservations.some((r) => r.mac === l.mac)
	const keep = (l: Lease) =>
		reserve([...reservations, { name: label(l.name ?? "", l.mac), mac: l.mac, address: l.address }])
	const columns: Column<Lease>[] = [
		{
			head: t("Device"),
			cell: (l) => <span className="font-medium">{l.name || <None>{t("without a name")}</None>}</span>,
		},
		{ head: t("Address"), cell: (l) => <Copy value={l.address} label={t("the address")} /> },
		{ head: t("Card"), cell: (l) => <Copy value={l.mac} label={t("the MAC address")} /> },
		{
			head: t("State"),
			cell: (l) =>
				l.state === "leased" ? (
					<Status tone="ok">{t("leased")}</Status>
				) : (
					<Status tone="idle">{l.state === "declined" ? t("taken by a stranger") : t("free again")}</Status>
				),
		},
		{ head: t("Ends"), cell: (l) => (kept(l) ? <Badge>{t("kept for it")}</Badge> : <Time at={l.expires} />) },
		...(may
			? [
					{
						head: t("Actions"),
						kind: "end" as const,
						cell: (l: Lease) => (
							<>
								{!kept(l) && (
									<IconButton
										icon={Pin}
										label={t("Keep {address} for this device", { address: l.address })}
										onPress={() => keep(l)}
									/>
								)}
								<IconButton
									icon={Undo2}
									label={t("Take {address} back", { address: l.address })}
									onPress={() => release.mutate(l)}
								/>
							</>
						),
					},
				]
			: []),
	]
	if (!d.enabled && !leases.data?.length) return null
	return (
		<Card title={t("Leases")} flush>
			<Loaded of={leases}>
				{(list) =>
					list.length ? (
						<Table label={t("Leases")} columns={columns} rows={list} id={(l) => l.address} />
					) : (
						<Empty icon={Router} title={t("No lease yet")}>
							{t("Devices show here as soon as they ask for an address.")}
						</Empty>
					)
				}
			</Loaded>
		</Card>
	)
}

function Reservations({
	list,
	error,
	set,
}: {
	list: Reservation[]
	error?: string
	set: (r: Reservation[]) => void
}) {
	const { may } = useEditable()
	if (!list.length) return null
	return (
		<Card title={t("Kept addresses")} hint={t("These devices always get the same address.")} flush>
			{error && <p className="px-4 pb-2 font-medium text-bad-ink">{error}</p>}
			<Table
				label={t("Kept addresses")}
				rows={list}
				id={(r) => r.mac}
				columns={[
					{ head: t("Device"), cell: (r) => <span className="font-medium">{r.name}</span> },
					{ head: t("Address"), cell: (r) => <Copy value={r.address} label={t("the address")} /> },
					{ head: t("Card"), cell: (r) => <Copy value={r.mac} label={t("the MAC address")} /> },
					...(may
						? [
								{
									head: t("Actions"),
									kind: "end" as const,
									cell: (r: Reservation) => (
										<IconButton
											icon={PinOff}
											label={t("Keep {address} no longer", { address: r.address })}
											onPress={() => set(list.filter((x) => x !== r))}
										/>
									),
								},
							]
						: []),
				]}
			/>
		</Card>
	)
}
