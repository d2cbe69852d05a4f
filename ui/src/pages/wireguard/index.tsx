import { ShieldCheck } from "lucide-react"
import { Link } from "wouter"
import { useWireGuard } from "../../api/hooks"
import type { Peer, WireGuard } from "../../api/types"
import { DraftNumber, DraftSwitch, DraftText } from "../../change/fields"
import { useEditable } from "../../change/use"
import { ButtonLink } from "../../kit/button"
import { Card, Fact, Facts } from "../../kit/card"
import { bytes } from "../../kit/format"
import { Page } from "../../kit/page"
import { Empty } from "../../kit/states"
import { Notice, Status } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Copy, None, Time } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { isLoopback, peerState } from "../../parts/peer"
import { Reach } from "../../parts/reach"
import { Rotate } from "./rotate"

export default function WireGuardPage() {
	const wg = useWireGuard()
	return (
		<Page title={t("WireGuard")} about={t("The VPN that brings your devices home.")}>
			<Loaded of={wg} rows={8}>
				{(w) => (
					<>
						{w.enabled && (!w.endpoint || isLoopback(w.endpoint)) && (
							<Notice tone="warn" title={t("Devices do not know where to find this cell")}>
								{t(
									"Say below under which host name or address it is reached from outside. Until then, each device has to be told when it is added.",
								)}
							</Notice>
						)}
						<div className="grid items-start gap-4 full:grid-cols-2">
							<State w={w} />
							<Edit w={w} />
						</div>
						{w.enabled && <Reach />}
						<Peers list={w.peers ?? []} />
					</>
				)}
			</Loaded>
		</Page>
	)
}

function State({ w }: { w: WireGuard }) {
	return (
		<Card title={t("The tunnel")} action={<Rotate />}>
			<Facts>
				<Fact name={t("State")}>
					{w.enabled ? <Status tone="ok">{t("on")}</Status> : <Status tone="idle">{t("off")}</Status>}
				</Fact>
				<Fact name={t("Public key")}>
					{w.publicKey ? (
						<Copy value={w.publicKey} label={t("the public key")} />
					) : (
						<None>{t("not made yet")}</None>
					)}
				</Fact>
				<Fact name={t("UDP port")}>{w.port}</Fact>
				<Fact name={t("Addresses")}>
					<Copy value={w.subnet} label={t("the network")} />
					{w.subnet6 && <Copy value={w.subnet6} label={t("the IPv6 network")} />}
				</Fact>
				<Fact name={t("Devices find it at")}>
					{w.endpoint ? <Copy value={w.endpoint} label={t("the endpoint")} /> : <None>{t("not known")}</None>}
				</Fact>
				<Fact name={t("MTU")}>{w.mtu}</Fact>
				<Fact name={t("Runs in")}>
					{w.backend === "netstack"
						? t("the cell itself (user space, no privileges)")
						: t("the system, as {name}", { name: w.interface ?? "" })}
				</Fact>
				{(w.nat?.length ?? 0) > 0 && <Fact name={t("Way out")}>{w.nat?.join("; ")}</Fact>}
			</Facts>
		</Card>
	)
}

function Edit({ w }: { w: WireGuard }) {
	const { doc, may } = useEditable()
	const s = doc?.wireguard
	return (
		<Card
			title={t("Settings")}
			hint={t("A change of port or switch is undone after 90 s unless you confirm it.")}
		>
			<div className="grid gap-4">
				<DraftSwitch
					path="wireguard.enabled"
					label={t("VPN on")}
					may={may}
					stored={s?.enabled}
					standard={true}
				/>
				<DraftText
					path="wireguard.endpoint"
					label={t("Where devices find the cell")}
					hint={t("Host name or address, with :port if the router maps another one")}
					may={may}
					stored={s?.endpoint}
					standard={t("such as home.example.org")}
					mono
				/>
				<DraftNumber
					path="wireguard.port"
					label={t("UDP port")}
					may={may}
					stored={s?.port}
					standard={w.port}
				/>
				<DraftNumber
					path="wireguard.mtu"
					label={t("MTU")}
					hint={t("Bytes of a packet within the tunnel. Devices need their files anew.")}
					may={may}
					stored={s?.mtu}
					standard={1420}
				/>
			</div>
		</Card>
	)
}

const columns: Column<Peer>[] = [
	{
		head: t("Name"),
		cell: (p) => (
			<Link href={`/peers/device/${p.name}`} className="font-medium hover:underline">
				{p.name}
			</Link>
		),
	},
	{
		head: t("State"),
		cell: (p) => {
			const [tone, word] = peerState(p)
			return <Status tone={tone}>{word}</Status>
		},
	},
	{ head: t("Last handshake"), cell: (p) => <Time at={p.lastHandshake} /> },
	{
		head: t("Heard from"),
		cell: (p) => (p.endpoint ? <Copy value={p.endpoint} label={t("the endpoint")} /> : <None />),
	},
	{
		head: t("Public key"),
		cell: (p) => <Copy value={p.publicKey} label={t("the key of {name}", { name: p.name })} short />,
	},
	{
		head: t("Now"),
		kind: "num",
		none: (p) => p.rxRate + p.txRate < 1,
		cell: (p) => t("{rate}/s", { rate: bytes(p.rxRate + p.txRate) }),
	},
	{ head: t("Received"), kind: "num", cell: (p) => bytes(p.rxTotal) },
	{ head: t("Sent"), kind: "num", cell: (p) => bytes(p.txTotal) },
]

function Peers({ list }: { list: Peer[] }) {
	return (
		<Card
			title={t("Devices in the tunnel")}
			flush
			action={<ButtonLink href="/peers">{t("Manage devices")}</ButtonLink>}
		>
			{list.length ? (
				<Table label={t("Devices in the tunnel")} columns={columns} rows={list} id={(p) => p.name} />
			) : (
				<Empty
					icon={ShieldCheck}
					title={t("No device yet")}
					action={<ButtonLink href="/peers?add">{t("Add a device")}</ButtonLink>}
				>
					{t("A device that is added gets an address, a name and a code to scan.")}
				</Empty>
			)}
		</Card>
	)
}
