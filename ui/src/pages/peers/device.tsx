import { Search, ShieldQuestion } from "lucide-react"
import { useState } from "react"
import { Link } from "wouter"
import { call } from "../../api/client"
import { usePeers, useSession, useUsers } from "../../api/hooks"
import type { Peer, PeerOutcome, PeerRights } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button, ButtonLink } from "../../kit/button"
import { Card, Fact, Facts } from "../../kit/card"
import { bytes, happened, moment } from "../../kit/format"
import { Page } from "../../kit/page"
import { Empty } from "../../kit/states"
import { Badge, Notice, Status } from "../../kit/status"
import { Copy, None, Time } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { peerState } from "../../parts/peer"
import { Actions } from "./actions"
import { Carried } from "./carried"
import { Grant } from "./grant"
import { kindOf } from "./kinds"
import { ownOf } from "./rights"

/** All that is known of one device. */
export function Device({ name, may }: { name: string; may: boolean }) {
	const peers = usePeers()
	const peer = peers.data?.find((p) => p.name === name)
	return (
		<Page
			title={name}
			about={
				<Link href="/peers" className="hover:underline">
					{t("All devices")}
				</Link>
			}
			actions={peer && may && <Actions peer={peer} />}
		>
			<Loaded of={peers} rows={8}>
				{() =>
					peer ? (
						<>
							<Reinstall peer={peer} />
							<div className="grid items-start gap-4 full:grid-cols-2">
								<About p={peer} />
								<Rights p={peer} />
							</div>
							<Carried name={peer.name} />
						</>
					) : (
						<Card>
							<Empty
								icon={Search}
								title={t("There is no such device")}
								action={<ButtonLink href="/peers">{t("All devices")}</ButtonLink>}
							/>
						</Card>
					)
				}
			</Loaded>
		</Page>
	)
}

function Reinstall({ peer: p }: { peer: Peer }) {
	if (!p.reinstall?.length) return null
	return (
		<Notice tone="warn" title={t("{name} needs its file anew", { name: p.name })}>
			{t("Since it was given its file, {why}.", { why: p.reinstall.join("; ") })}{" "}
			{p.hasConfig
				? t("Show it the code again.")
				: t("Make a one-time link for it: the cell does not have its key.")}
		</Notice>
	)
}

function About({ p }: { p: Peer }) {
	const { data: users } = useUsers()
	const [tone, word] = peerState(p)
	const [Icon, kind] = kindOf(p.device)
	return (
		<Card title={t("The device")}>
			<Facts>
				<Fact name={t("State")}>
					<Status tone={tone}>{word}</Status>
				</Fact>
				{p.device && (
					<Fact name={t("Is a")}>
						<span className="inline-flex items-center gap-2">
							<Icon size={16} strokeWidth={1.75} aria-hidden className="text-muted" />
							{kind}
						</span>
					</Fact>
				)}
				<Fact name={t("Owner")}>
					{p.owner ? users?.find((u) => u.name === p.owner)?.display || p.owner : <None>{t("nobody")}</None>}
				</Fact>
				<Fact name={t("Addresses")}>
					<Copy value={p.address} label={t("the address")} />
					{p.address6 && <Copy value={p.address6} label={t("the IPv6 address")} />}
				</Fact>
				<Fact name={t("Public key")}>
					<Copy value={p.publicKey} label={t("the public key")} />
				</Fact>
				<Fact name={t("Last seen")}>
					<Time at={p.lastHandshake} />
					{p.endpoint && <Copy value={p.endpoint} label={t("where it was heard from")} />}
				</Fact>
				<Fact name={t("Carried")}>
					{t("{rx} from it, {tx} to it", { rx: bytes(p.rxTotal), tx: bytes(p.txTotal) })}
				</Fact>
				<Fact name={t("Now")}>
					{t("{rx} a second from it, {tx} to it", { rx: bytes(p.rxRate), tx: bytes(p.txRate) })}
				</Fact>
				<Fact name={t("Sends")}>
					{p.split ? t("only the cell's networks into the tunnel") : t("everything into the tunnel")}
				</Fact>
				{happened(p.expires) && (
					<Fact name={t("Shut out on")}>
						<time dateTime={p.expires}>{moment(p.expires)}</time>
					</Fact>
				)}
				{happened(p.given) && (
					<Fact name={t("File given")}>
						<Time at={p.given} />
					</Fact>
				)}
				{happened(p.link) && <Fact name={t("Link")}>{t("good until {end}", { end: moment(p.link) })}</Fact>}
				{p.nextKey && happened(p.nextUntil) && (
					<Fact name={t("New keys")}>
						{t("wait for the device; the present ones end on {end}", { end: moment(p.nextUntil) })}
					</Fact>
				)}
				{p.mac && (
					<Fact name={t("Hardware")}>
						<Copy value={p.mac} label={t("the hardware address")} />
					</Fact>
				)}
				{!!p.site?.length && <Fact name={t("Behind it")}>{p.site.join(", ")}</Fact>}
			</Facts>
		</Card>
	)
}

function Rights({ p }: { p: Peer }) {
	const { data: me } = useSession()
	const [open, show] = useState(false)
	const save = useEdit((r: PeerRights) =>
		call<PeerOutcome>(`/api/peers/${encodeURIComponent(p.name)}`, { method: "PUT", body: r }),
	)
	const from = (s: string, groups?: string[]) =>
		s === "own"
			? t("its own")
			: s === "group"
				? t("group {names}", { names: groups?.join(", ") ?? "" })
				: t("default")
	return (
		<Card
			title={t("What it may reach")}
			action={
				<>
					{me?.role !== "user" && (
						<ButtonLink
							href={`/peers/explain?from=${encodeURIComponent(p.name)}&to=cell`}
							icon={ShieldQuestion}
						>
							{t("Explain")}
						</ButtonLink>
					)}
					{me?.role === "admin" && <Button onPress={() => show(true)}>{t("Change")}</Button>}
				</>
			}
		>
			<p>{t("It {may}.", { may: p.may })}</p>
			<ul className="mt-3 flex flex-col gap-1.5">
				{p.rights
					?.filter((r) => !["exit", "fallback"].includes(r.name) || p.exit)
					.map((r) => (
						<li key={r.name} className="flex flex-wrap items-center gap-2">
							<span>{r.text}</span>
							<Badge>{from(r.source, r.groups)}</Badge>
						</li>
					))}
			</ul>
			{open && (
				<Grant
					title={t("What {name} may reach", { name: p.name })}
					name={p.name}
					chosen={ownOf(p)}
					now={p.rights}
					pending={save.isPending}
					error={save.error}
					onSave={(r) => save.mutate(r, { onSuccess: () => show(false) })}
					onClose={() => show(false)}
				/>
			)}
		</Card>
	)
}
