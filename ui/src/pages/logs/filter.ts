import type { Line } from "../../api/types"

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
export function unitsOf(
	services: readonly { name: string }[],
	lines: readonly Line[],
	chosen: string,
): string[] {
	const all = new Set([...services.map((s) => s.name), ...lines.map((l) => l.unit ?? ""), chosen])
	all.delete("")
	return [...all].sort()
}
