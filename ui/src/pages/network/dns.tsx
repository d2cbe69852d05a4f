import { ListPlus } from "lucide-react"
import { useDNS, useRecords } from "../../api/hooks"
import type { DNSRecord, DNS as State } from "../../api/types"
import { DraftList } from "../../change/fields"
import { useDraft, useEditable } from "../../change/use"
import { Card, Stat } from "../../kit/card"
import { Select } from "../../kit/field"
import { bytes, count } from "../../kit/format"
import { Empty } from "../../kit/states"
import { Badge, Notice, Status } from "../../kit/status"
import { Table } from "../../kit/table"
import { Copy, Mono } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { queries } from "../../parts/names"
import { Encrypted } from "./encrypted"
import { Lookup } from "./lookup"
import { Overview } from "./overview"
import { Records } from "./records"
import { Forwards, Resolving } from "./resolving"
import { share } from "./stats"

export function DNS() {
	const dns = useDNS()
	const { doc, may } = useEditable()
	return (
		<Loaded of={dns} rows={10}>
			{(d) => (
				<>
					{!d.enabled && <Notice tone="idle" title={t("DNS is off")} />}
					<Overview />
					<Numbers d={d} />
					<div className="grid items-start gap-4 full:grid-cols-2">
						<Upstreams d={d} />
						<Lookup zone={d.zone} />
						<Resolving validating={d.validating} />
						<Encrypted zone={d.zone} />
					</div>
					<Forwards />
					<Records
						path="dns.records"
						stored={doc?.dns.records}
						zone={d.zone}
						may={may}
						title={t("Records of your own")}
						hint={t("Names that you add to the cell's zone.")}
					/>
					<Zone d={d} />
				</>
			)}
		</Loaded>
	)
}

function Numbers({ d }: { d: State }) {
	const names: Record<string, string> = {
		local: t("From this cell"),
		cached: t("From memory"),
		forwarded: t("Asked upstream"),
		stale: t("Past their time"),
		blocked: t("Blocked"),
		rewritten: t("Rewritten"),
		refused: t("Refused"),
		dropped: t("Dropped"),
		limited: t("Slowed down"),
	}
	const stats = d.stats ?? {}
	return (
		<ul
			aria-label={t("DNS in numbers")}
			className="grid grid-cols-[repeat(auto-fit,minmax(120px,1fr))] gap-2"
		>
			<li>
				<Stat label={t("Queries")} value={count(queries(d))} note={t("since the start")} />
			</li>
			{Object.entries(names)
				.filter(([k]) => stats[k] !== undefined)
				.map(([k, name]) => (
					<li key={k}>
						<Stat label={name} value={count(stats[k]!)} note={share(stats[k]!, queries(d))} />
					</li>
				))}
			<li>
				<Stat label={t("Answers kept")} value={count(d.cacheEntries)} note={bytes(d.cacheBytes)} />
			</li>
		</ul>
	)
}

function Upstreams({ d }: { d: State }) {
	const { doc, may } = useEditable()
	const way = useDraft("dns.resolver", doc?.dns.resolver ?? "forward", "forward")
	return (
		<Card title={t("Upstream servers")} hint={t("Who is asked about names that are not of this cell.")}>
			<div className="mb-4">
				<Select
					label={t("Find out names by")}
					value={way.value}
					onChange={way.set}
					isDisabled={!may}
					error={way.error}
					hint={
						way.value === "recurse"
							? t(
									"The cell asks the name servers of each domain itself, unencrypted: no single resolver learns it all, but your provider can read along.",
								)
							: t("One of the servers below learns every name; where it is encrypted, nobody else does.")
					}
					options={[
						["forward", t("asking an upstream server")],
						["recurse", t("asking from the root on")],
					]}
				/>
			</div>
			{d.recursion && (
				<p className="mb-4">
					<Status tone={d.recursion.silent ? "bad" : "ok"}>
						{d.recursion.silent
							? t("no name server answers")
							: t("{zones} zones and {servers} servers known", {
									zones: count(d.recursion.delegations),
									servers: count(d.recursion.servers),
								})}
					</Status>
				</p>
			)}
			{(d.upstreams ?? []).length > 0 && (
				<ul className="mb-4 flex flex-col gap-1.5">
					{d.upstreams.map((u) => (
						<li
							key={`${u.for ?? ""} ${u.address}`}
							className="flex flex-wrap items-center justify-between gap-x-3"
						>
							<span className="inline-flex items-baseline gap-2">
								<Copy value={u.address} label={t("the upstream")} />
								{u.for && <Badge>{t("for {domain}", { domain: u.for })}</Badge>}
							</span>
							{!u.ok ? (
								<Status tone="bad">{u.error || t("does not answer")}</Status>
							) : u.asked === 0 ? (
								<Status tone="idle">{t("not asked yet")}</Status>
							) : (
								<Status tone="ok">
									{u.latencyMs > 0 ? t("answers in {n} ms", { n: u.latencyMs.toFixed(0) }) : t("answers")}
								</Status>
							)}
						</li>
					))}
				</ul>
			)}
			{way.value !== "recurse" && (
				<DraftList
					path="dns.upstreams"
					label={t("Chosen")}
					hint={t(
						"An address, or tls://, https:// or quic:// for an encrypted one. None: those of the system.",
					)}
					may={may}
					stored={doc?.dns.upstreams}
					standard={(d.upstreams ?? []).map((u) => u.address)}
					placeholder="tls://dns.quad9.net#9.9.9.9"
					add={t("Add a server")}
				/>
			)}
		</Card>
	)
}

const sources: Record<string, string> = {
	document: t("settings"),
	peers: t("devices"),
	links: t("other cells"),
	leases: t("DHCP"),
	dhcp: t("DHCP"),
}
const askers: Record<string, string> = { host: t("this host"), lan: t("the LAN"), vpn: t("the VPN") }

function Zone({ d }: { d: State }) {
	const records = useRecords()
	return (
		<Card
			title={t("What the cell answers")}
			hint={t("All names of {zone}: of services, devices and your own.", { zone: d.zone })}
			flush
		>
			<Loaded of={records}>
				{(list) =>
					list.length ? (
						<Table
							label={t("Records of the zone")}
							rows={list.map((r, i) => ({ ...r, i }))}
							id={(r) => r.i}
							columns={[
								{
									head: t("Name"),
									cell: (r) => (
										<span className="inline-block min-w-64">
											<Copy value={r.name} label={t("the name")} />
										</span>
									),
								},
								{ head: t("Type"), cell: (r) => <Badge>{r.type}</Badge> },
								{ head: t("Value"), cell: (r: DNSRecord) => <Mono>{r.value}</Mono> },
								{
									head: t("From"),
									cell: (r) =>
										[
											sources[r.source ?? ""] ?? r.source,
											r.asker && t("for {who}", { who: askers[r.asker] ?? r.asker }),
										]
											.filter(Boolean)
											.join(", "),
								},
								{ head: t("TTL"), kind: "num", cell: (r) => t("{n} s", { n: r.ttl }) },
							]}
						/>
					) : (
						<Empty icon={ListPlus} title={t("No names yet")}>
							{t("Services and devices show here by themselves.")}
						</Empty>
					)
				}
			</Loaded>
		</Card>
	)
}
