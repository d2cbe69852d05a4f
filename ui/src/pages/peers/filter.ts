import type { NewPeer, Peer } from "../../api/types"

export function fits(p: Peer, text: string): boolean {
	const wanted = text.trim().toLowerCase()
	return [p.name, p.owner, p.address, p.address6].some((v) => v?.toLowerCase().includes(wanted))
}

/** "Anna's phone" → "annas-phone": what a DNS label may be. */
export function label(text: string): string {
	return text
		.normalize("NFD")
		.replace(/[\u0300-\u036f'’]/g, "")
		.toLowerCase()
		.replace(/[^a-z0-9-]+/g, "-")
		.replace(/^-+|-+$/g, "")
		.slice(0, 63)
		.replace(/-+$/, "")
}

export interface Form {
	name: string
	owner: string
	device: string
	tunnel: "full" | "split"
	/** now: a code and a file. link: the device enrols itself later. */
	how: "now" | "link"
	endpoint: string
	publicKey: string
}

/** host:port, with the cell's own port where none is given. */
export function withPort(endpoint: string, port: number): string {
	const e = endpoint.trim()
	if (e === "" || /^(\[.*\]|[^:]*):\d+$/.test(e)) return e
	if (e.startsWith("[") || !e.includes(":")) return `${e}:${port}`
	return `[${e}]:${port}` // an IPv6 address without brackets
}

/** What the API is asked for; what was left open stays out. */
export function request(f: Form, port: number): NewPeer {
	return {
		name: label(f.name),
		owner: f.owner || undefined,
		device: f.device || undefined,
		link: f.how === "link" || undefined,
		split: f.tunnel === "split",
		endpoint: withPort(f.endpoint, port) || undefined,
		publicKey: f.publicKey.trim() || undefined,
	}
}
