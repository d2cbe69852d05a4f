import type { ReactNode } from "react"
import { Link } from "wouter"
import { useDHCP, useDNS, useEmail, usePeers, useVault } from "../../api/hooks"
import type { Health } from "../../api/types"
import { Stat } from "../../kit/card"
import { ago, bytes, count } from "../../kit/format"
import { t, tn } from "../../kit/words"
import { queries } from "../../parts/names"
import { isConnected } from "../../parts/peer"

/** One number each, only from what is there: what cannot be read has no tile. */
export function Tiles({ status }: { status: Health }) {
	const peers = usePeers().data
	const dns = useDNS().data
	const dhcp = useDHCP().data
	const email = useEmail().data
	const vault = useVault().data
	const next = (vault?.certificates ?? []).map((c) => c.notAfter).sort()[0]
	const messages = (email?.mailboxes ?? []).reduce((n, m) => n + m.messages, 0)
	const unseen = (email?.mailboxes ?? []).reduce((n, m) => n + m.unseen, 0)
	return (
		<ul aria-label={t("In numbers")} className="grid grid-cols-[repeat(auto-fit,minmax(148px,1fr))] gap-2">
			{peers && (
				<Tile href="/peers">
					<Stat
						label={t("Devices connected")}
						value={`${peers.filter((p) => isConnected(p)).length} / ${peers.length}`}
						note={t("{bytes} carried", {
							bytes: bytes(peers.reduce((n, p) => n + p.rxBytes + p.txBytes, 0)),
						})}
					/>
				</Tile>
			)}
			{dns && (
				<Tile href="/network">
					<Stat
						label={t("DNS queries")}
						value={count(queries(dns))}
						note={tn(dns.cacheEntries ?? 0, "{n} answer kept", "{n} answers kept")}
					/>
				</Tile>
			)}
			{email && (
				<Tile href="/email">
					<Stat label={t("Mail")} value={count(messages)} note={t("{n} unread", { n: count(unseen) })} />
				</Tile>
			)}
			{dhcp?.enabled && (
				<Tile href="/network/dhcp">
					<Stat
						label={t("Addresses given")}
						value={count(dhcp.used)}
						note={t("of {n}", { n: count(dhcp.size) })}
					/>
				</Tile>
			)}
			{vault && (
				<Tile href="/vault">
					<Stat
						label={t("Certificates")}
						value={count(vault.certificates?.length ?? 0)}
						note={next ? t("the next expires {when}", { when: ago(next) }) : t("none issued yet")}
					/>
				</Tile>
			)}
			<Tile href="/services">
				<Stat label={t("Memory")} value={bytes(status.memoryBytes)} note={t("of the whole cell")} />
			</Tile>
		</ul>
	)
}

function Tile({ href, children }: { href: string; children: ReactNode }) {
	return (
		<li>
			<Link
				href={href}
				className="block h-full rounded-card [&>div]:h-full [&>div]:transition-colors hover:[&>div]:border-edge"
			>
				{children}
			</Link>
		</li>
	)
}
