import { Ban, CircleCheck, Pause, Play, ScrollText, Search } from "lucide-react"
import { useEffect, useState } from "react"
import { useSearchParams } from "wouter"
import { call, textOf } from "../../api/client"
import { type QueryFilter, useDNSLog, useSession } from "../../api/hooks"
import type { DNSQuery, Outcome } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { inputLook, Select } from "../../kit/field"
import { clock, moment } from "../../kit/format"
import { Empty, Failed, NotAllowed, Skeleton } from "../../kit/states"
import { Badge, Status, type Tone } from "../../kit/status"
import { Table } from "../../kit/table"
import { Mono } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { fits, isForbidden, took, why } from "./queries"

const verdicts = [
	["", t("Every verdict")],
	["blocked", t("Blocked")],
	["answered", t("Answered")],
	["allowed", t("Allowed by a rule")],
	["rewritten", t("Rewritten")],
	["failed", t("Failed")],
	["refused", t("Refused")],
	["limited", t("Asked too often")],
] as const

const tones: Record<string, Tone> = {
	blocked: "warn",
	refused: "bad",
	limited: "bad",
	failed: "bad",
	rewritten: "busy",
	answered: "ok",
	allowed: "ok",
}

const words: Record<string, string> = {
	blocked: t("blocked"),
	refused: t("refused"),
	limited: t("too often"),
	failed: t("failed"),
	rewritten: t("rewritten"),
	answered: t("answered"),
	allowed: t("allowed"),
}

/** What devices asked, live, with a button to block or allow each name. */
export function QueryLog() {
	const [params, setParams] = useSearchParams()
	const filter: QueryFilter = {
		client: params.get("client") ?? "",
		name: params.get("name") ?? "",
		verdict: params.get("verdict") ?? "",
	}
	const log = useDNSLog(filter)
	const [live, setLive] = useState<DNSQuery[]>([])
	const [held, hold] = useState(false)
	const key = `${filter.client} ${filter.name} ${filter.verdict}`
	const put = (k: string, v: string) => {
		const next = new URLSearchParams(params)
		if (v) next.set(k, v)
		else next.delete(k)
		setLive([])
		setParams(next, { replace: true })
	}
	// biome-ignore lint/correctness/useExhaustiveDependencies: key stands for the filter
	useEffect(() => {
		if (held) return
		const source = new EventSource("/api/events?types=dns")
		source.addEventListener("dns", (m: MessageEvent<string>) => {
			const q = JSON.parse(m.data) as DNSQuery
			if (fits(q, filter)) setLive((l) => [q, ...l].slice(0, 500))
		})
		return () => source.close()
	}, [held, key])
	const stored = log.data?.pages.flatMap((p) => p.queries) ?? []
	const newest = live.at(-1)?.id
	const rows = newest === undefined ? stored : [...live, ...stored.filter((q) => q.id < newest)]
	return (
		<section aria-label={t("Query log")} className="rounded-card border border-line bg-surface">
			<div className="flex flex-wrap items-center gap-2 border-b border-line p-3">
				<Text label={t("Part of the name")} value={filter.name ?? ""} onChange={(v) => put("name", v)} />
				<Text label={t("Device or address")} value={filter.client ?? ""} onChange={(v) => put("client", v)} />
				<Select
					label={t("Verdict")}
					hideLabel
					value={filter.verdict ?? ""}
					onChange={(v) => put("verdict", v)}
					options={verdicts}
				/>
				<Button icon={held ? Play : Pause} onPress={() => hold(!held)}>
					{held ? t("Go on") : t("Pause")}
				</Button>
			</div>
			{isForbidden(log.error) ? (
				<NotAllowed />
			) : log.error ? (
				<Failed text={textOf(log.error)} retry={() => log.refetch()} />
			) : log.isPending ? (
				<Skeleton rows={12} />
			) : rows.length ? (
				<Rows rows={rows} />
			) : (
				<Empty icon={ScrollText} title={t("No query fits")}>
					{t("What devices ask shows here as soon as they do.")}
				</Empty>
			)}
			{log.hasNextPage && (
				<div className="flex justify-center border-t border-line p-3">
					<Button kind="quiet" isPending={log.isFetchingNextPage} onPress={() => log.fetchNextPage()}>
						{t("Show older ones")}
					</Button>
				</div>
			)}
		</section>
	)
}

function Text({ label, value, onChange }: { label: string; value: string; onChange: (v: string) => void }) {
	return (
		<label className="relative min-w-36 flex-1">
			<span className="sr-only">{label}</span>
			<Search
				size={14}
				aria-hidden
				className="pointer-events-none absolute start-2.5 top-1/2 -translate-y-1/2 text-muted"
			/>
			<input
				type="search"
				value={value}
				placeholder={label}
				onChange={(e) => onChange(e.target.value)}
				className={`${inputLook} ps-8 focus:outline-2 focus:-outline-offset-1 focus:outline-leaf`}
			/>
		</label>
	)
}

function Rows({ rows }: { rows: DNSQuery[] }) {
	const { data: me } = useSession()
	const may = me?.role === "admin"
	return (
		<Table
			label={t("Queries")}
			rows={rows}
			id={(q) => q.id}
			columns={[
				{
					head: t("Time"),
					cell: (q) => (
						<time dateTime={q.time} title={moment(q.time)} className="whitespace-nowrap text-muted">
							{clock(q.time)}
						</time>
					),
				},
				{
					head: t("Device"),
					cell: (q) => (
						<span title={q.client} className="inline-block min-w-28">
							{q.device ? q.device : <Mono>{q.client}</Mono>}
						</span>
					),
				},
				{
					head: t("Name"),
					cell: (q) => (
						<span className="inline-flex flex-wrap items-center gap-x-2">
							<Mono>{q.name || "."}</Mono> <Badge>{q.type}</Badge>
						</span>
					),
				},
				{
					head: t("Verdict"),
					cell: (q) => (
						<span>
							<Status tone={tones[q.verdict] ?? "idle"}>{words[q.verdict] ?? q.verdict}</Status>
							<span className="block text-sec text-muted [overflow-wrap:anywhere]">{why(q)}</span>
						</span>
					),
				},
				{
					head: t("Took"),
					kind: "num",
					cell: (q) => took(q.durationMs),
				},
				...(may
					? [{ head: t("Actions"), kind: "end" as const, cell: (q: DNSQuery) => <Judge q={q} /> }]
					: []),
			]}
		/>
	)
}

/** One press blocks the name for everybody, or lets it through. */
function Judge({ q }: { q: DNSQuery }) {
	const blocked = q.verdict === "blocked"
	const judge = useEdit(() =>
		call<Outcome>(blocked ? "/api/dns/allow" : "/api/dns/block", { method: "POST", body: { name: q.name } }),
	)
	if (!q.name || q.source === "zone") return null
	return (
		<IconButton
			icon={blocked ? CircleCheck : Ban}
			label={blocked ? t("Allow {name}", { name: q.name }) : t("Block {name}", { name: q.name })}
			onPress={() => judge.mutate(undefined, { onError: (err) => toast(textOf(err)) })}
		/>
	)
}
