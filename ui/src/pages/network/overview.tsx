import { ListTree } from "lucide-react"
import { useState } from "react"
import { Link } from "wouter"
import { textOf } from "../../api/client"
import { useDNSStats } from "../../api/hooks"
import type { DNSCount, DNSStats } from "../../api/types"
import { Card, Stat } from "../../kit/card"
import { Select } from "../../kit/field"
import { clock, count, moment } from "../../kit/format"
import { Empty, Skeleton } from "../../kit/states"
import { Mono } from "../../kit/text"
import { t } from "../../kit/words"
import { median, share } from "./stats"

const spans = [
	["1", t("Last hour")],
	["24", t("Last 24 hours")],
	["168", t("Last 7 days")],
] as const

/** What the resolver did lately, and who asked for what. */
export function Overview() {
	const [hours, setHours] = useState("24")
	const stats = useDNSStats(Number(hours))
	const s = stats.data
	return (
		<Card
			title={t("Lately")}
			action={<Select label={t("Time")} hideLabel value={hours} onChange={setHours} options={spans} />}
		>
			{stats.error ? (
				<p className="text-muted">{textOf(stats.error)}</p>
			) : !s ? (
				<Skeleton rows={6} />
			) : s.queries === 0 ? (
				<Empty icon={ListTree} title={t("Nobody asked yet")}>
					{t("Point a device at this cell as its DNS server, or let DHCP do it.")}
				</Empty>
			) : (
				<div className="flex flex-col gap-4">
					<ul className="grid grid-cols-[repeat(auto-fit,minmax(140px,1fr))] gap-2">
						<li>
							<Stat label={t("Queries")} value={count(s.queries)} />
						</li>
						<li>
							<Stat label={t("Blocked")} value={count(s.blocked)} note={share(s.blocked, s.queries)} />
						</li>
						<li>
							<Stat
								label={t("Half are answered within")}
								value={t("{n} ms", { n: median(s.latency) })}
								note={t("from memory or upstream")}
							/>
						</li>
					</ul>
					<Series s={s} />
					<div className="grid gap-4 card:grid-cols-2 full:grid-cols-4">
						<Top title={t("Devices")} list={s.clients} to="client" of={s.queries} />
						<Top title={t("Names")} list={s.names} to="name" of={s.queries} />
						<Top title={t("Blocked names")} list={s.blockedNames} to="name" of={s.blocked} />
						<Top title={t("Lists that blocked")} list={s.lists} of={s.blocked} />
					</div>
				</div>
			)}
		</Card>
	)
}

/** Bars of queries, with the blocked part in another colour, and the same as a table. */
function Series({ s }: { s: DNSStats }) {
	const most = Math.max(1, ...s.series.map((p) => p.queries))
	return (
		<figure>
			<figcaption className="mb-1 flex justify-between text-sec text-muted">
				<span>{t("Queries over time; the blocked ones are darker")}</span>
				<span>{t("at most {n} in one step", { n: count(most) })}</span>
			</figcaption>
			<div aria-hidden className="flex h-24 items-end gap-px">
				{s.series.map((p) => (
					<div
						key={p.time}
						title={`${moment(p.time)}: ${count(p.queries)} / ${count(p.blocked)}`}
						className="flex min-w-0 flex-1 flex-col justify-end rounded-t-[1px] bg-leaf-wash"
						style={{ blockSize: `${(p.queries / most) * 100}%` }}
					>
						<div
							className="bg-leaf"
							style={{ blockSize: `${p.queries ? (p.blocked / p.queries) * 100 : 0}%` }}
						/>
					</div>
				))}
			</div>
			<details className="mt-1 text-sec">
				<summary className="w-fit cursor-pointer text-muted">{t("As a table")}</summary>
				<div className="mt-2 max-h-60 overflow-auto">
					<table className="w-full">
						<thead>
							<tr className="text-muted">
								<th scope="col" className="text-start">
									{t("Time")}
								</th>
								<th scope="col" className="text-end">
									{t("Queries")}
								</th>
								<th scope="col" className="text-end">
									{t("Blocked")}
								</th>
							</tr>
						</thead>
						<tbody>
							{s.series
								.filter((p) => p.queries > 0)
								.map((p) => (
									<tr key={p.time}>
										<td title={moment(p.time)}>{clock(p.time)}</td>
										<td className="text-end">{count(p.queries)}</td>
										<td className="text-end">{count(p.blocked)}</td>
									</tr>
								))}
						</tbody>
					</table>
				</div>
			</details>
		</figure>
	)
}

function Top({
	title,
	list,
	to,
	of,
}: {
	title: string
	list: DNSCount[]
	/** The filter of the log that a key leads to. */
	to?: "client" | "name"
	of: number
}) {
	return (
		<section aria-label={title}>
			<h3 className="mb-1 font-medium">{title}</h3>
			{list.length === 0 ? (
				<p className="text-muted">{t("none")}</p>
			) : (
				<ol className="flex flex-col gap-0.5">
					{list.slice(0, 8).map((c) => (
						<li key={c.key} className="flex items-baseline justify-between gap-3">
							<span className="min-w-0">
								{to ? (
									<Link
										href={`/network/log?${to}=${encodeURIComponent(c.key)}`}
										className="[overflow-wrap:anywhere] decoration-edge underline-offset-4 hover:underline"
									>
										{c.device ? c.device : <Mono>{c.key}</Mono>}
									</Link>
								) : (
									c.key
								)}
							</span>
							<span className="whitespace-nowrap text-sec text-muted" title={share(c.count, of)}>
								{count(c.count)}
							</span>
						</li>
					))}
				</ol>
			)}
		</section>
	)
}
