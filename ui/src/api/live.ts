// The one event stream of the page, feeding the query cache. The reducers are
// pure; connect() is the only place that touches the network.
import type { QueryClient } from "@tanstack/react-query"
import { addSample, type Sample } from "./rates"
import type { Event, Health, Line, LivePeer, Peer, Pulse, Traffic, WireGuard } from "./types"

export const maxEvents = 500
export const maxLines = 2000

export interface LogFilter {
	unit: string
	level: string
}

const levels = ["DEBUG", "INFO", "WARN", "ERROR"]

/** Rank of a log level; slog writes steps between levels as INFO+2. */
export function levelRank(level: string): number {
	return levels.indexOf(level.toUpperCase().replace(/[+-].*/, ""))
}

export function lineFits(l: Line, f: LogFilter): boolean {
	return (!f.unit || l.unit === f.unit) && (!f.level || levelRank(l.level) >= levelRank(f.level))
}

/** Adds to a list ordered by id what is not in it yet, and forgets the oldest. */
export function addTo<T extends { id: number }>(
	list: readonly T[] | undefined,
	one: T,
	max: number,
): T[] | undefined {
	if (!list) return undefined // nobody has asked for it yet
	const last = list.at(-1)
	if (last && last.id >= one.id) return list as T[]
	return [...list.slice(Math.max(0, list.length - max + 1)), one]
}

/** The status after a small status, which is sent when something of it changed. */
export function applyPulse(old: Health | undefined, p: Pulse): Health | undefined {
	return old && { ...old, revision: p.revision, ok: p.ok, sentence: p.sentence, pending: p.pending }
}

/** The devices with what the stream tells of some of them. */
export function applyLive(list: Peer[] | undefined, news: readonly LivePeer[]): Peer[] | undefined {
	if (!list) return undefined
	const by = new Map(news.map((n) => [n.name, n]))
	return list.map((p) => {
		const n = by.get(p.name)
		return n ? { ...p, ...n } : p
	})
}

/** Which queries an event makes stale, by the first part of their key. */
export function touchedBy(e: Event): string[] {
	const [noun] = e.kind.split(".")
	switch (noun) {
		case "change":
		case "config":
			return [
				"config",
				"peers",
				"wireguard",
				"dns",
				"dhcp",
				"ntp",
				"email",
				"calendar",
				"routing",
				"vault",
				"cells",
				"users",
				"groups",
			]
		case "unit":
		case "service":
			return ["status"]
		case "lease":
			return ["dhcp", "dns"]
		case "peer":
			return ["peers", "wireguard"]
		case "user":
			return ["users", "tokens"]
		case "cert":
		case "certificate":
			return ["vault"]
		case "mail":
			return ["email"]
	}
	return []
}

export type Link = "connecting" | "live" | "lost"

let state: Link = "connecting"
const watchers = new Set<() => void>()

export const linkState = {
	get: () => state,
	watch(w: () => void) {
		watchers.add(w)
		return () => watchers.delete(w)
	},
}

let samples: readonly Sample[] = []

/** The counters of the last minute, as the stream tells them. */
export const traffic = {
	get: () => samples,
	watch: linkState.watch,
}

function setTraffic(list: readonly Sample[]) {
	samples = list
	for (const w of watchers) w()
}

function setLink(s: Link) {
	if (s === state) return
	state = s
	for (const w of watchers) w()
}

/** Listens until the returned function is called. Comes back by itself. */
export function connect(qc: QueryClient): () => void {
	let source: EventSource | undefined
	let timer: ReturnType<typeof setTimeout> | undefined
	let last = ""
	let wait = 1000
	const stale = (keys: string[]) => {
		for (const k of keys) qc.invalidateQueries({ queryKey: [k] })
	}
	const open = () => {
		source = new EventSource(last ? `/api/events?since=${encodeURIComponent(last)}` : "/api/events")
		source.onopen = () => {
			// What was said between the first reading and now was told to nobody.
			if (state === "lost") qc.invalidateQueries()
			else stale(["logs", "timeline", "status"])
			wait = 1000
			setLink("live")
		}
		source.onerror = () => {
			setLink("lost")
			if (source?.readyState !== EventSource.CLOSED) return // the browser tries again
			timer = setTimeout(open, wait)
			wait = Math.min(wait * 2, 30_000)
			stale(["session"])
		}
		const on = <T>(type: string, fn: (data: T) => void) =>
			source?.addEventListener(type, (m: MessageEvent<string>) => {
				if (m.lastEventId) last = m.lastEventId
				fn(JSON.parse(m.data))
			})
		on<Pulse>("status", (p) => {
			qc.setQueryData<Health>(["status"], (old) => applyPulse(old, p))
			stale(["status"])
		})
		on<Event>("event", (e) => {
			qc.setQueryData<Event[]>(["timeline"], (l) => addTo(l, e, maxEvents))
			stale(touchedBy(e))
		})
		on<Traffic>("traffic", (x) =>
			setTraffic(
				addSample(samples, {
					at: Date.parse(x.time) / 1000,
					bytes: x.rxBytes + x.txBytes,
					queries: x.dnsQueries,
				}),
			),
		)
		on<LivePeer[]>("peers", (news) => {
			// What is stale stays so: news of some devices do not say who is there.
			const renew = <T>(key: string, fn: (old: T) => T) => {
				const s = qc.getQueryState<T>([key])
				if (s?.data === undefined || s.isInvalidated) return
				qc.setQueryData<T>([key], fn(s.data), { updatedAt: s.dataUpdatedAt })
			}
			renew<Peer[]>("peers", (old) => applyLive(old, news) ?? old)
			renew<WireGuard>("wireguard", (old) => ({ ...old, peers: applyLive(old.peers, news) ?? [] }))
		})
		on<Line>("log", (l) => {
			for (const [key, lines] of qc.getQueriesData<Line[]>({ queryKey: ["logs"] })) {
				if (lineFits(l, key[1] as LogFilter)) qc.setQueryData(key, addTo(lines, l, maxLines))
			}
		})
	}
	open()
	return () => {
		clearTimeout(timer)
		source?.close()
		setTraffic([])
		setLink("connecting")
	}
}
