// Port forwards in words and from words. Pure.
import type { PortForward } from "../../api/types"
import { t } from "../../kit/words"

/** "TCP 8000 to 8010" */
export function ports(f: Pick<PortForward, "protocol" | "port" | "last">): string {
	const range = f.last && f.last !== f.port ? t("{first} to {last}", { first: f.port, last: f.last }) : f.port
	return `${protocols[f.protocol || "tcp"] ?? f.protocol} ${range}`
}

export const protocols: Record<string, string> = { tcp: "TCP", udp: "UDP", both: t("TCP and UDP") }

/** The address and the first port there, as one writes it. */
export function target(f: Pick<PortForward, "to" | "toPort" | "port">): string {
	const port = f.toPort || f.port
	return f.to.includes(":") ? `[${f.to}]:${port}` : `${f.to}:${port}`
}

/** What a person wrote as a port or as a range; undefined where it is neither. */
export function readPorts(text: string): { port: number; last?: number } | undefined {
	const m = /^\s*(\d{1,5})\s*(?:(?:-|–|:|to)\s*(\d{1,5}))?\s*$/.exec(text)
	if (!m) return undefined
	const port = Number(m[1])
	const last = m[2] === undefined ? port : Number(m[2])
	if (port < 1 || last > 65535 || last < port) return undefined
	return last === port ? { port } : { port, last }
}

/** Networks out of a line; an address alone is a network of one. */
export function readNets(text: string): string[] {
	return text
		.split(/[\s,]+/)
		.filter(Boolean)
		.map((n) => (n.includes("/") ? n : `${n}/${n.includes(":") ? 128 : 32}`))
}

/** A network as one writes it: without the length where it is one address. */
export function net(n: string): string {
	return n.replace(n.includes(":") ? /\/128$/ : /\/32$/, "")
}

export interface Known {
	name: string
	address: string
}

/** Devices that a port can lead to, each address once, by name. */
export function devices(...lists: readonly (readonly { name?: string; address?: string }[])[]): Known[] {
	const seen = new Map<string, Known>()
	for (const d of lists.flat()) {
		if (d.address && d.name && !seen.has(d.address)) seen.set(d.address, { name: d.name, address: d.address })
	}
	return [...seen.values()].sort((a, b) => a.name.localeCompare(b.name))
}
