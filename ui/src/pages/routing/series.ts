// The traffic of a device over time, for a chart. Pure.
import type { DeviceTraffic, TrafficHistory } from "../../api/types"

const lengths: Record<TrafficHistory["step"], number> = { minute: 60, hour: 3600, day: 86_400 }

export interface Columns {
	/** Unix seconds, the start of each step. */
	at: number[]
	sent: number[]
	received: number[]
}

/** Every step from since until now; the API leaves out those in which nothing was. */
export function columns(
	series: DeviceTraffic["series"],
	step: TrafficHistory["step"],
	since: number,
	now: number,
): Columns {
	const len = lengths[step]
	// Days of the cell may begin at another hour than those of UTC: the buckets say when.
	const first = series[0] ? Date.parse(series[0].at) / 1000 : 0
	const offset = first % len
	const by = new Map(series.map((b) => [Date.parse(b.at) / 1000, b]))
	const out: Columns = { at: [], sent: [], received: [] }
	for (let s = Math.floor((since - offset) / len) * len + offset; s <= now; s += len) {
		const b = by.get(s)
		out.at.push(s)
		out.sent.push(b?.sent ?? 0)
		out.received.push(b?.received ?? 0)
	}
	return out
}

/** The words below a chart: the time of the day, or the day where one begins. */
export function ticks(seconds: readonly number[], apart: number): string[] {
	return seconds.map((s) => {
		const d = new Date(s * 1000)
		return apart >= 86_400 || (d.getHours() === 0 && d.getMinutes() === 0)
			? d.toLocaleDateString("en-GB", { day: "numeric", month: "short" })
			: d.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })
	})
}

/** What a device is called: by name, else by address, card or key. */
export function deviceName(d: DeviceTraffic): string {
	return d.name || d.address || d.mac || (d.publicKey ? `${d.publicKey.slice(0, 12)}…` : "")
}

/** Something that tells one device from all others. */
export function deviceID(d: DeviceTraffic): string {
	return `${d.kind} ${d.mac || d.publicKey || d.address || ""}`
}
