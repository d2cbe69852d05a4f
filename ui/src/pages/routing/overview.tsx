import { Globe, House, Network } from "lucide-react"
import { useEdge, useFirewall, useRouter, useRouting } from "../../api/hooks"
import type { Edge, Firewall, Router, WAN } from "../../api/types"
import { ButtonLink } from "../../kit/button"
import { Card, Fact, Facts } from "../../kit/card"
import { Notice, Status } from "../../kit/status"
import { Copy, Mono, None, Time } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { Reach } from "../../parts/reach"
import { lineState, queueName, rate } from "./words"

/** Who routes what, and whether the world finds the cell. */
export function Overview() {
	const router = useRouter()
	const firewall = useFirewall()
	const edge = useEdge()
	return (
		<Loaded of={router} rows={8}>
			{(r) => (
				<>
					<Foreign list={firewall.data?.foreign ?? []} />
					<div className="grid items-start gap-4 full:grid-cols-2">
						{r.enabled ? <Line r={r} /> : <Server />}
						<Loaded of={edge} rows={5}>
							{(e) => <Around e={e} />}
						</Loaded>
					</div>
					<Reach />
					<Translated />
				</>
			)}
		</Loaded>
	)
}

function Foreign({ list }: { list: Firewall["foreign"] }) {
	return list.map((d) => (
		<Notice
			key={d.chain}
			tone="warn"
			title={t("Another firewall of this host stands in the way: {chain}", { chain: d.chain })}
		>
			<p>{t("It drops {what}. This command lets it pass:", { what: d.what })}</p>
			<Copy value={d.fix} label={t("the command")} />
		</Notice>
	))
}

function Server() {
	const { data } = useRouting()
	const way = data?.kernel?.find((k) => k.table === 254 && /\/0$/.test(k.to) && !k.unreachable)
	return (
		<Card
			title={t("A server on your network")}
			action={
				<ButtonLink href="/routing/router" icon={Network}>
					{t("Make it the router")}
				</ButtonLink>
			}
		>
			<p className="mb-3 text-muted">
				{t(
					"Your own router connects the household to the internet. This cell routes for devices of the VPN only.",
				)}
			</p>
			<Facts>
				<Fact name={t("Internet by")}>
					{way ? (
						<>
							{way.via ? <Copy value={way.via} label={t("the router's address")} /> : t("the line itself")}
							<span className="text-muted">{t("on {card}", { card: way.interface ?? "" })}</span>
						</>
					) : (
						<None>{t("no default route")}</None>
					)}
				</Fact>
			</Facts>
		</Card>
	)
}

function Line({ r }: { r: Router }) {
	const s = r.shaping
	return (
		<Card title={t("The cell is the router")}>
			<p className="mb-3 text-muted">
				{t("It stands between the household and the internet: nothing comes in that nobody asked for.")}
			</p>
			<div className="flex flex-col gap-5">
				{r.wan && <Wan w={r.wan} />}
				{r.lan && (
					<section aria-labelledby="routing-lan">
						<h3 id="routing-lan" className="mb-2 flex items-center gap-2 font-medium">
							<House size={16} strokeWidth={1.75} aria-hidden className="text-muted" />
							{t("Household on {card}", { card: r.lan.interface })}
						</h3>
						<Facts>
							<Fact name={t("The cell is")}>
								{r.lan.addresses.length ? (
									r.lan.addresses.map((a) => <Copy key={a} value={a} label={t("the address")} />)
								) : (
									<None />
								)}
							</Fact>
							{r.lan.bridge.length > 0 && (
								<Fact name={t("Cards")}>
									<Mono>{r.lan.bridge.join(", ")}</Mono>
								</Fact>
							)}
							<Fact name={t("Shaping")}>
								{s ? (
									<>
										<span>{t("{down} down, {up} up", { down: rate(s.down), up: rate(s.up) })}</span>
										<span className="text-muted">
											{s.where === "lan"
												? t("by {queue}, on the household's side", { queue: queueName(s.queue) })
												: t("by {queue}", { queue: queueName(s.queue) })}
										</span>
									</>
								) : (
									<None>{t("off")}</None>
								)}
							</Fact>
						</Facts>
					</section>
				)}
			</div>
		</Card>
	)
}

function Wan({ w }: { w: WAN }) {
	const [tone, state] = lineState(w)
	const addresses = [w.address, ...w.addresses6].filter((a): a is string => !!a)
	return (
		<section aria-labelledby="routing-wan">
			<h3 id="routing-wan" className="mb-2 flex flex-wrap items-center gap-2 font-medium">
				<Globe size={16} strokeWidth={1.75} aria-hidden className="text-muted" />
				{t("Internet on {card}", { card: w.interface })}
				<Status tone={tone}>{state}</Status>
			</h3>
			<Facts>
				<Fact name={t("Address")}>
					{addresses.length ? (
						addresses.map((a) => <Copy key={a} value={a} label={t("the address")} />)
					) : (
						<None>{t("none yet")}</None>
					)}
				</Fact>
				<Fact name={t("Gateway")}>
					{w.gateway || w.gateway6 ? (
						[w.gateway, w.gateway6].map((g) => g && <Copy key={g} value={g} label={t("the gateway")} />)
					) : (
						<None />
					)}
				</Fact>
				{w.lease && (
					<Fact name={t("Lease")}>
						<span>
							{t("ends")} <Time at={w.lease.until} />
						</span>
						<span className="text-muted">
							{t("renews")} <Time at={w.lease.renew} />
							{w.lease.server && ` ${t("at {server}", { server: w.lease.server })}`}
						</span>
					</Fact>
				)}
				<Fact name={t("Provider's DNS")}>
					{w.dns.length ? w.dns.map((d) => <Copy key={d} value={d} label={t("the server")} />) : <None />}
				</Fact>
				<Fact name={t("IPv6 prefixes")}>
					{w.prefixes.length ? (
						w.prefixes.map((p) => (
							<span key={p.prefix}>
								<Copy value={p.prefix} label={t("the prefix")} />{" "}
								<span className="text-muted">
									{t("ends")} <Time at={p.until} />
								</span>
							</span>
						))
					) : (
						<None />
					)}
				</Fact>
			</Facts>
		</section>
	)
}

/** The router upstream and the names that the world knows. */
function Around({ e }: { e: Edge }) {
	const u = e.upstream
	return (
		<Card title={t("Seen from the internet")}>
			<Facts>
				<Fact name={t("VPN port at your router")}>
					{!u.asked ? (
						<None>{t("not asked for")}</None>
					) : u.method ? (
						<>
							<Status tone={u.shared ? "warn" : "ok"}>{t("open by {method}", { method: u.method })}</Status>
							{u.external && <Copy value={u.external} label={t("the address")} />}
							<span className="text-muted">
								{t("lasts until")} <Time at={u.until} />
							</span>
						</>
					) : (
						<Status tone={u.error ? "bad" : "busy"}>{u.error ? t("not open") : t("asking")}</Status>
					)}
					{u.shared && (
						<span className="text-muted">
							{t("Your router has no address of its own on the internet, so calls do not come through.")}
						</span>
					)}
					{u.error && <span className="text-bad-ink">{u.error}</span>}
				</Fact>
				<Fact name={t("Public names")}>
					{e.names.length ? (
						e.names.map((n) => (
							<span key={n.name} className="flex flex-col items-start gap-0.5">
								<Copy value={n.name} label={t("the name")} />
								{n.error ? (
									<span className="text-bad-ink">{n.error}</span>
								) : n.updated ? (
									<span className="text-muted">
										{[n.four, n.six].filter(Boolean).join(", ")} <Time at={n.updated} />
									</span>
								) : (
									<Status tone="busy">{t("not told yet")}</Status>
								)}
							</span>
						))
					) : (
						<None>{t("none that the cell keeps up to date")}</None>
					)}
				</Fact>
			</Facts>
		</Card>
	)
}

function Translated() {
	const { data } = useRouting()
	if (!data?.nat?.length) return null
	return (
		<Card title={t("Translated on the way out")}>
			<ul className="flex flex-col gap-1">
				{data.nat.map((x) => (
					<li key={x}>
						<Mono>{x}</Mono>
					</li>
				))}
			</ul>
		</Card>
	)
}
