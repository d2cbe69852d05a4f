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
	tunnel: "full" | "split"
	endpoint: string
	publicKey: string
}

/** What the API is asked for; what was left open stays out. */
export function request(f: Form): NewPeer {
	return {
		name: label(f.name),
		owner: f.owner || undefined,
		split: f.tunnel === "split",
		endpoint: f.endpoint.trim() || undefined,
		publicKey: f.publicKey.trim() || undefined,
	}
}
