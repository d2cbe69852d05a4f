// Edits that are not in force yet, by their path in the document. A small store
// outside of React, so that a draft survives a change of page.
import type { Difference, Edit, Outcome } from "../api/types"

export interface Drafts {
	/** The revision that the first draft was made for; 0 while there is none. */
	base: number
	edits: ReadonlyMap<string, Edit>
}

export const noDrafts: Drafts = { base: 0, edits: new Map() }

export function same(a: unknown, b: unknown): boolean {
	return JSON.stringify(normal(a)) === JSON.stringify(normal(b))
}

/** Keys in order, and nothing for what is absent, empty or null. */
function normal(v: unknown): unknown {
	if (Array.isArray(v)) return v.length ? v.map(normal) : undefined
	if (v === null || v === "") return undefined
	if (typeof v === "object") {
		return Object.fromEntries(
			Object.entries(v as object)
				.sort(([a], [b]) => (a < b ? -1 : 1))
				.map(([k, x]) => [k, normal(x)]),
		)
	}
	return v
}

/** Sets a draft, or takes it back where it says what is stored anyway. */
export function setDraft(d: Drafts, path: string, value: unknown, stored: unknown, revision: number): Drafts {
	const edits = new Map(d.edits)
	if (same(value, stored)) edits.delete(path)
	else if (normal(value) === undefined) edits.set(path, { path, delete: true })
	else edits.set(path, { path, value })
	return edits.size === 0 ? noDrafts : { base: d.base || revision, edits }
}

/** The value to show: the draft where there is one. */
export function draftOf<V>(d: Drafts, path: string, stored: V, empty: V): V {
	const e = d.edits.get(path)
	if (!e) return stored
	return e.delete ? empty : (e.value as V)
}

/** The edits as the API takes them: lines of a list that were left empty go. */
export function toSend(d: Drafts): Edit[] {
	return [...d.edits.values()].map((e) => {
		if (!Array.isArray(e.value)) return e
		const value = e.value.filter((v) => v !== "")
		return value.length ? { ...e, value } : { path: e.path, delete: true }
	})
}

// Changes of these can cut the browser off from the cell.
const risky = /^(cell\.(listen|mode)|network|web|wireguard(?!\.endpoint)|dhcp)(\.|$)|\.(listen|(\w*[pP]ort))$/

/** How long the cell waits for a confirmation before it undoes a change; 0: not at all. */
export function confirmSeconds(d: Drafts): number {
	return [...d.edits.keys()].some((p) => risky.test(p)) ? 90 : 0
}

/** The message for a field: that of its path or of a part of it. */
export function errorFor(
	errors: readonly { path: string; message: string }[],
	path: string,
): string | undefined {
	return errors.find((e) => e.path === path || e.path.startsWith(`${path}.`) || e.path.startsWith(`${path}[`))
		?.message
}

const sections: Record<string, string> = {
	cell: "Cell",
	network: "Network",
	dns: "DNS",
	dhcp: "DHCP",
	ntp: "NTP",
	wireguard: "WireGuard",
	peers: "Peer",
	users: "User",
	mail: "Email",
	dav: "Calendar and files",
	proxy: "Routing",
	ca: "Certificates",
	links: "Cell link",
	web: "Web UI",
}

/** "dns.upstreams gains 9.9.9.9" → { what: "DNS upstreams", words: "gains 9.9.9.9" } */
export function say(d: Difference): { what: string; words: string } {
	const words = d.text.startsWith(`${d.path} `) ? d.text.slice(d.path.length + 1) : d.text
	const parts = [...d.path.matchAll(/"([^"]*)"|([^.]+)/g)].map((m) => m[1] ?? m[2] ?? "")
	const [head = "", ...rest] = parts
	const named = head === "peers" || head === "users" || head === "links"
	const tail = rest.map((p, i) => (named && i === 0 ? p : p.replace(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`)))
	return { what: [sections[head] ?? head, ...tail].join(" "), words }
}

/** A refusal in the words of the pages: "DNS upstreams: …" rather than "dns.upstreams: …". */
export function refusals(errors: readonly { path: string; message: string }[]): string[] {
	return errors.map((e) => `${say({ path: e.path, text: "" }).what}: ${e.message}`)
}

/** What the bar shows after a change came into force. */
export interface Applied {
	outcome: Outcome
	/** The revision to go back to. */
	before: number
}

interface State {
	drafts: Drafts
	applied: Applied | null
	errors: readonly { path: string; message: string }[]
}

let state: State = { drafts: noDrafts, applied: null, errors: [] }
const watchers = new Set<() => void>()

export const store = {
	get: () => state,
	set(next: Partial<State>) {
		state = { ...state, ...next }
		for (const w of watchers) w()
	},
	watch(w: () => void) {
		watchers.add(w)
		return () => watchers.delete(w)
	},
}

/** Tells the bar of a change that is in force, so that it can be undone there. */
export function applied(outcome: Outcome): void {
	if (outcome.dryRun || !outcome.diff?.length) return
	store.set({ applied: { outcome, before: outcome.revision - 1 } })
}
