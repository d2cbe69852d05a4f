// Numbers and times in words. Pure; the locale is the browser's.

const units = ["B", "kB", "MB", "GB", "TB", "PB"]

/** 1234567 → "1.2 MB". Decimal units, as disks and lines are sold. */
export function bytes(n: number | undefined): string {
	if (n === undefined || !Number.isFinite(n) || n < 0) return "–"
	let i = 0
	while (n >= 999.5 && i < units.length - 1) {
		n /= 1000
		i++
	}
	return `${i === 0 || n >= 99.95 ? Math.round(n) : n.toFixed(1)} ${units[i]}`
}

export function count(n: number): string {
	return new Intl.NumberFormat(undefined).format(n)
}

/** Whether a time of the API means that the thing has happened at all. */
export function happened(t: string | undefined | null): t is string {
	return !!t && !t.startsWith("0001-") && !Number.isNaN(Date.parse(t))
}

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
	["year", 31_536_000],
	["month", 2_592_000],
	["day", 86_400],
	["hour", 3600],
	["minute", 60],
]

/** "3 minutes ago", "in 89 days", "just now". */
export function ago(t: string | undefined, now = Date.now()): string {
	if (!happened(t)) return "never"
	const s = (Date.parse(t) - now) / 1000
	const fmt = new Intl.RelativeTimeFormat("en", { numeric: "auto" })
	for (const [unit, len] of steps) {
		if (unit === "month" && Math.abs(s) < 2 * len) continue // "in 45 days" says more than "next month"
		if (Math.abs(s) >= len) return fmt.format(Math.trunc(s / len), unit)
	}
	return s > 0 ? "in a moment" : "just now"
}

/** 93784 → "1 d 2 h", the two largest units. */
export function span(seconds: number): string {
	const parts: string[] = []
	for (const [name, len] of [
		["d", 86_400],
		["h", 3600],
		["min", 60],
		["s", 1],
	] as const) {
		const n = Math.floor(seconds / len)
		seconds -= n * len
		if (n > 0 || (name === "s" && parts.length === 0)) parts.push(`${n} ${name}`)
		if (parts.length === 2) break
	}
	return parts.join(" ")
}

/** 0.0000123 → "12.3 µs"; keeps the sign. */
export function smallSpan(seconds: number | undefined): string {
	if (seconds === undefined || !Number.isFinite(seconds)) return "–"
	const a = Math.abs(seconds)
	const [n, unit] = a >= 1 ? [seconds, "s"] : a >= 1e-3 ? [seconds * 1e3, "ms"] : [seconds * 1e6, "µs"]
	return `${n.toFixed(Math.abs(n) >= 100 ? 0 : 1)} ${unit}`
}

export function clock(t: string): string {
	return new Date(t).toLocaleTimeString("en-GB", { hour12: false })
}

export function moment(t: string): string {
	return new Date(t).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })
}

export function day(t: string): string {
	return new Date(t).toLocaleDateString("en-GB", { dateStyle: "medium" })
}

/** Times inside a text of the cell, such as 2026-05-01T12:00:00.123456Z, said shorter. */
export function tidy(text: string): string {
	return text.replace(/\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)\b/g, (all) =>
		moment(all),
	)
}
