// Bars of a history. Pure.
import type { PeerHistory } from "../../api/types"

export interface Bar {
	at: number // seconds
	x: number
	rx: number // height, of 40
	tx: number
}

/** A place for each step of the time; steps without traffic are gaps. */
export function bars(
	points: readonly NonNullable<PeerHistory["points"]>[number][],
	step: number,
	hours: number,
	now: number,
): { list: Bar[]; most: number } {
	const last = Math.floor(now / 1000 / step)
	const first = last - Math.ceil((hours * 3600) / step) + 1
	const most = Math.max(...points.map((p) => p.rxBytes + p.txBytes))
	const by = new Map(points.map((p) => [Math.floor(Date.parse(p.time) / 1000 / step), p]))
	const list: Bar[] = []
	for (let n = first; n <= last; n++) {
		const p = by.get(n)
		const height = (v: number | undefined) => (most > 0 && v ? (v / most) * 40 : 0)
		list.push({ at: n * step, x: n - first, rx: height(p?.rxBytes), tx: height(p?.txBytes) })
	}
	return { list, most }
}
