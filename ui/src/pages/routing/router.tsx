import { useEdge, useResolved, useRouting } from "../../api/hooks"
import { DraftList, DraftNumber, DraftSelect, DraftSwitch, DraftText } from "../../change/fields"
import { useDraft, useEditable } from "../../change/use"
import { Card } from "../../kit/card"
import { Failed, Skeleton } from "../../kit/states"
import { Notice } from "../../kit/status"
import { t } from "../../kit/words"
import { Dynamic } from "./dynamic"

/** Who routes, with which cards, and what the cell does for the household besides. */
export function Router() {
	const { doc, may, error } = useEditable()
	const { data: full } = useResolved()
	const edge = useEdge()
	if (error) return <Failed text={error.message} />
	if (!doc) return <Skeleton rows={8} />
	return (
		<>
			{full?.cell.mode === "trial" && (
				<Notice tone="idle" title={t("This cell is a trial")}>
					{t(
						"It leaves the cards of this host alone and cannot be the router. What else is set here counts once the cell is installed.",
					)}
				</Notice>
			)}
			<Mode may={may && full?.cell.mode !== "trial"} />
			<div className="grid items-start gap-4 full:grid-cols-2">
				<Line may={may} />
				<Household may={may} />
				<Shaping may={may} />
				<Opening may={may} />
			</div>
			<Dynamic names={edge.data?.names ?? []} may={may} />
		</>
	)
}

interface May {
	may: boolean
}

function Mode({ may }: May) {
	const { doc } = useEditable()
	const on = useDraft<boolean>("network.router", doc?.network?.router ?? false, false)
	return (
		<Card title={t("Who routes")}>
			<DraftSwitch
				path="network.router"
				label={t("This cell is the household's router")}
				hint={t("It needs two cards: one to the provider's modem, one to the household.")}
				may={may}
				stored={doc?.network?.router}
				standard={false}
			/>
			{on.value && on.changed && (
				<p className="mt-3 max-w-[72ch] text-muted">
					{t(
						"Name both cards below, give the household's one an address such as 192.168.1.1/24, and switch DHCP on under Network Services, so that devices get addresses. The change is undone after 90 s unless you confirm it.",
					)}
				</p>
			)}
		</Card>
	)
}

/** Cards that the host has now, for a hint. */
function useCards(): string {
	const { data } = useRouting()
	const cards = new Set((data?.kernel ?? []).map((k) => k.interface).filter((c) => c && c !== "lo"))
	return [...cards].sort().join(", ")
}

function Line({ may }: May) {
	const { doc } = useEditable()
	const { data: full } = useResolved()
	const w = doc?.network?.wan
	const std = full?.network?.wan
	const method = useDraft("network.wan.method", w?.method ?? "", "")
	const fixed = (method.value || std?.method) === "static"
	const cards = useCards()
	return (
		<Card title={t("Internet side")}>
			<div className="grid gap-4">
				<div className="grid gap-4 card:grid-cols-2">
					<DraftText
						path="network.wan.name"
						label={t("Card to the provider")}
						hint={cards && t("In use now: {cards}", { cards })}
						may={may}
						stored={w?.name}
						standard={std?.name || "eth0"}
						mono
					/>
					<DraftSelect
						path="network.wan.method"
						label={t("Its address")}
						may={may}
						stored={w?.method}
						options={[
							["", t("by default")],
							["dhcp", t("from the provider (DHCP)")],
							["static", t("fixed")],
						]}
					/>
				</div>
				{fixed && (
					<div className="grid gap-4 card:grid-cols-2">
						<DraftText
							path="network.wan.address"
							label={t("IPv4 address")}
							may={may}
							stored={w?.address}
							standard="203.0.113.5/24"
							mono
						/>
						<DraftText
							path="network.wan.gateway"
							label={t("IPv4 gateway")}
							may={may}
							stored={w?.gateway}
							standard="203.0.113.1"
							mono
						/>
						<DraftText
							path="network.wan.address6"
							label={t("IPv6 address")}
							may={may}
							stored={w?.address6}
							standard="2001:db8::5/64"
							mono
						/>
						<DraftText
							path="network.wan.gateway6"
							label={t("IPv6 gateway")}
							may={may}
							stored={w?.gateway6}
							standard="2001:db8::1"
							mono
						/>
					</div>
				)}
				<DraftSwitch
					path="network.wan.delegation"
					label={t("Ask for an IPv6 prefix")}
					hint={t("For addresses of the household that the internet knows.")}
					may={may}
					stored={w?.delegation}
					standard={std?.delegation ?? false}
				/>
			</div>
		</Card>
	)
}

function Household({ may }: May) {
	const { doc } = useEditable()
	const { data: full } = useResolved()
	const n = doc?.network
	const std = full?.network?.lan
	return (
		<Card title={t("Household side")}>
			<div className="grid gap-4">
				<DraftText
					path="network.lan.name"
					label={t("Card or bridge to the household")}
					may={may}
					stored={n?.lan?.name}
					standard={std?.name || "eth1"}
					mono
				/>
				<div className="grid gap-4 card:grid-cols-2">
					<DraftText
						path="network.lan.address"
						label={t("The cell's IPv4 address")}
						may={may}
						stored={n?.lan?.address}
						standard={std?.address || "192.168.1.1/24"}
						mono
					/>
					<DraftText
						path="network.lan.address6"
						label={t("The cell's IPv6 address")}
						hint={t("Delegated ones come by themselves")}
						may={may}
						stored={n?.lan?.address6}
						standard={std?.address6 || "fd00::1/64"}
						mono
					/>
				</div>
				<DraftList
					path="network.bridge"
					label={t("Cards that are one network")}
					hint={t("The cell makes a bridge of them, with the name above.")}
					may={may}
					stored={n?.bridge}
					placeholder="eth2"
					add={t("Add a card")}
				/>
				<DraftSwitch
					path="network.accounting"
					label={t("Count each device's traffic")}
					may={may}
					stored={n?.accounting}
					standard={true}
				/>
				<DraftSwitch
					path="network.reflect"
					label={t("Repeat mDNS between household and VPN")}
					hint={t("Devices on the road find printers and players at home.")}
					may={may}
					stored={n?.reflect}
					standard={false}
				/>
			</div>
		</Card>
	)
}

function Shaping({ may }: May) {
	const { doc } = useEditable()
	const s = doc?.network?.shaping
	return (
		<Card
			title={t("Shaping")}
			hint={t("Keeps the line quick while somebody loads much. A little below the line's own speed.")}
		>
			<div className="grid gap-4 card:grid-cols-3">
				<DraftNumber
					path="network.shaping.down"
					label={t("Down, kbit/s")}
					hint={t("Empty: not shaped")}
					may={may}
					stored={s?.down}
				/>
				<DraftNumber
					path="network.shaping.up"
					label={t("Up, kbit/s")}
					hint={t("Empty: not shaped")}
					may={may}
					stored={s?.up}
				/>
				<DraftSelect
					path="network.shaping.queue"
					label={t("Queue")}
					may={may}
					stored={s?.queue}
					options={[
						["", t("the best")],
						["cake", "CAKE"],
						["fq_codel", "fq_codel"],
					]}
				/>
			</div>
		</Card>
	)
}

function Opening({ may }: May) {
	const { doc } = useEditable()
	const m = doc?.network?.portMapping
	return (
		<Card title={t("Ports by themselves")}>
			<div className="grid gap-4">
				<DraftSwitch
					path="wireguard.openPort"
					label={t("Open the VPN's port at the router before this cell")}
					hint={t("By PCP, NAT-PMP or UPnP, where the router lets it.")}
					may={may}
					stored={doc?.wireguard?.openPort}
					standard={false}
				/>
				<DraftSwitch
					path="network.portMapping.enabled"
					label={t("Let devices open ports for themselves")}
					hint={t("By NAT-PMP and PCP: games and calls. Only where the cell is the router.")}
					may={may}
					stored={m?.enabled}
					standard={false}
				/>
				<div className="grid gap-4 card:grid-cols-2">
					<DraftNumber
						path="network.portMapping.most"
						label={t("Ports of one device")}
						may={may}
						stored={m?.most}
						standard={32}
					/>
				</div>
				<DraftList
					path="network.portMapping.allow"
					label={t("Who may open ports")}
					may={may}
					stored={m?.allow}
					standard={[t("the household")]}
					placeholder="192.168.1.0/24"
					add={t("Add a network")}
				/>
			</div>
		</Card>
	)
}
