import type { Event, Revision } from "../api/types"
import { t } from "../kit/words"

export type Entry = { at: number; key: string } & ({ revision: Revision } | { event: Event })

/** Changes and events in one list, newest first. A change is told once, with its difference. */
export function merge(revisions: readonly Revision[], events: readonly Event[]): Entry[] {
	const known = new Set(revisions.map((r) => r.revision))
	const told = (e: Event) =>
		e.kind.startsWith("change.") && known.has(Number(e.attrs?.revision ?? e.attrs?.rev ?? e.subject))
	return [
		...revisions.map((revision) => ({
			at: Date.parse(revision.time),
			key: `r${revision.revision}`,
			revision,
		})),
		...together(events.filter((e) => !told(e))).map((event) => ({
			at: Date.parse(event.time),
			key: `e${event.id}`,
			event,
		})),
	].sort((a, b) => b.at - a.at)
}

// Services that start within so many ms start together, as when the cell does.
const apart = 10_000

/** Tells many starts at once as one event. events are in the order of time. */
export function together(events: readonly Event[]): Event[] {
	const out: Event[] = []
	let group: Event[] = []
	const close = () => {
		const first = group[0]
		if (first && group.length > 2) {
			out.push({ ...first, unit: undefined, text: t("{n} parts of the cell started", { n: group.length }) })
		} else out.push(...group)
		group = []
	}
	for (const e of events) {
		const starts = e.kind === "unit.started"
		if (!starts || (group[0] && Date.parse(e.time) - Date.parse(group[0].time) > apart)) close()
		if (starts) group.push(e)
		else out.push(e)
	}
	close()
	return out
}

/** By day, in the browser's time zone, keeping the order. */
export function byDay(entries: readonly Entry[]): [day: string, entries: Entry[]][] {
	const days = new Map<string, Entry[]>()
	for (const e of entries) {
		const day = new Date(e.at).toLocaleDateString("en-GB", {
			weekday: "long",
			day: "numeric",
			month: "long",
			year: "numeric",
		})
		const list = days.get(day)
		if (list) list.push(e)
		else days.set(day, [e])
	}
	return [...days]
}
