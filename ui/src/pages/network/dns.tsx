import { ListPlus, Trash2 } from "lucide-react"
import { type FormEvent, useState } from "react"
import { useDNS, useRecords } from "../../api/hooks"
import type { DNSRecord, DNS as State } from "../../api/types"
import { DraftList } from "../../change/fields"
import { useDraft, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card, Stat } from "../../kit/card"
import { Field, Select } from "../../kit/field"
import { bytes, count } from "../../kit/format"
import { Empty } from "../../kit/states"
import { Badge, Notice, Status } from "../../kit/status"
import { Table } from "../../kit/table"
import { Copy, Mono, None } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { queries } from "../../parts/names"
import { Lookup } from "./lookup"

export function DNS() {
	const dns = useDNS()
	return (
		<Loaded of={dns} rows={10}>
			{(d) => (
				<>
					{!d.enabled && <Notice tone="idle" title={t("DNS is off")} />}
					<Numbers d={d} />
					<div className="grid items-start gap-4 full:grid-cols-2">
						<Upstreams d={d} />
						<Lookup zone={d.zone} />
					</div>
					<OwnRecords />
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
		refused: t("Refused"),
		dropped: t("Dropped"),
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
	return (
		<Card title={t("Upstream servers")} hint={t("Who is asked about names that are not of this cell.")}>
			{(d.upstreams ?? []).length > 0 && (
				<ul className="mb-4 flex flex-col gap-1.5">
					{d.upstreams.map((u) => (
						<li key={u.address} className="flex flex-wrap items-center justify-between gap-x-3">
							<Copy value={u.address} label={t("the upstream")} />
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
			<DraftList
				path="dns.upstreams"
				label={t("Chosen")}
				hint={t("Address and port. None: those of the system.")}
				may={may}
				stored={doc?.dns.upstreams}
				standard={(d.upstreams ?? []).map((u) => u.address)}
				placeholder="9.9.9.9:53"
				add={t("Add a server")}
			/>
		</Card>
	)
}

function share(part: number, of: number): string {
	return of > 0 ? `${Math.round((part / of) * 100)} %` : ""
}

const types = ["A", "AAAA", "CNAME", "TXT", "MX", "SRV", "CAA", "NS", "PTR"] as const
type Own = { name: string; type: string; ttl?: number; value: string }

/** Records that the household added to the cell's zone. */
function OwnRecords() {
	const { doc, may } = useEditable()
	const draft = useDraft<Own[]>("dns.records", doc?.dns.records ?? [], [])
	const [form, change] = useState<Own>({ name: "", type: "A", value: "" })
	const add = (e: FormEvent) => {
		e.preventDefault()
		draft.set([...draft.value, { name: form.name.trim() || "@", type: form.type, value: form.value.trim() }])
		change({ name: "", type: form.type, value: "" })
	}
	return (
		<Card title={t("Records of your own")} hint={t("Names that you add to the cell's zone.")} flush>
			{draft.error && <p className="px-4 pb-2 font-medium text-bad-ink">{draft.error}</p>}
			{draft.value.length > 0 ? (
				<Table
					label={t("Records of your own")}
					rows={draft.value.map((r, i) => ({ ...r, i }))}
					id={(r) => r.i}
					columns={[
						{ head: t("Name"), cell: (r) => <Mono>{r.name}</Mono> },
						{ head: t("Type"), cell: (r) => <Badge>{r.type}</Badge> },
						{ head: t("Value"), cell: (r) => <Copy value={r.value} label={t("the value")} /> },
						...(may
							? [
									{
										head: t("Actions"),
										kind: "end" as const,
										cell: (r: Own & { i: number }) => (
											<IconButton
												icon={Trash2}
												label={t("Remove {name}", { name: `${r.name} ${r.type}` })}
												onPress={() => draft.set(draft.value.filter((_, j) => j !== r.i))}
											/>
										),
									},
								]
							: []),
					]}
				/>
			) : (
				!may && (
					<p className="px-4 pb-4">
						<None>{t("none")}</None>
					</p>
				)
			)}
			{may && (
				<form
					onSubmit={add}
					noValidate
					className={`grid gap-3 p-4 card:grid-cols-[1fr_110px_2fr_auto] card:items-end ${draft.value.length ? "border-t border-line" : ""}`}
				>
					<Field
						label={t("Name")}
						value={form.name}
						onChange={(name) => change({ ...form, name })}
						placeholder={t("nas, or @ for the zone")}
						mono
						autoComplete="off"
						spellCheck="false"
					/>
					<Select
						label={t("Type")}
						value={form.type}
						onChange={(type) => change({ ...form, type })}
						options={types.map((x) => [x, x] as const)}
					/>
					<Field
						label={t("Value")}
						value={form.value}
						onChange={(value) => change({ ...form, value })}
						placeholder={form.type === "A" ? "192.168.1.10" : ""}
						mono
						autoComplete="off"
						spellCheck="false"
					/>
					<Button type="submit" icon={ListPlus} isDisabled={!form.value.trim()}>
						{t("Add")}
					</Button>
				</form>
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
								{ head: t("Name"), cell: (r) => <Copy value={r.name} label={t("the name")} /> },
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
