import type { Event, Line, Revision } from "../../api/types"

/** Attributes in one line, as the cell's own log writes them. */
export function attrs(l: Line): string {
	return Object.entries(l.attrs ?? {})
		.map(([k, v]) => `${k}=${/[\s"=]/.test(v) ? JSON.stringify(v) : v}`)
		.join(" ")
}

export function hasText(l: Line, text: string): boolean {
	const wanted = text.trim().toLowerCase()
	return !wanted || `${l.unit ?? ""} ${l.msg} ${attrs(l)}`.toLowerCase().includes(wanted)
}

/** The units to choose from: the services, and whatever else has said something. */
export function unitsOf(services: readonly { name: string }[], lines: readonly Line[], chosen: string): string[] {
	const all = new Set([...services.map((s) => s.name), ...lines.map((l) => l.unit ?? ""), chosen])
	all.delete("")
	return [...all].sort()
}

export type Entry = { at: number; key: string } & ({ revision: Revision } | { event: Event })

/** Changes and events in one list, newest first. A change is told once, with its difference. */
export function merge(revisions: readonly Revision[], events: readonly Event[]): Entry[] {
	const known = new Set(revisions.map((r) => r.revision))
	const told = (e: Event) => e.kind.startsWith("change.") && known.has(Number(e.attrs?.revision ?? e.attrs?.rev ?? e.subject))
	return [
		...revisions.map((revision) => ({ at: Date.parse(revision.time), key: `r${revision.revision}`, revision })),
		...events.filter((e) => !told(e)).map((event) => ({ at: Date.parse(event.time), key: `e${event.id}`, event })),
	].sort((a, b) => b.at - a.at)
}

/** By day, in the browser's time zone, keeping the order. */
export function byDay(entries: readonly Entry[]): [day: string, entries: Entry[]][] {
	const days = new Map<string, Entry[]>()
	for (const e of entries) {
		const day = new Date(e.at).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" })
		const list = days.get(day)
		if (list) list.push(e)
		else days.set(day, [e])
	}
	return [...days]
}
