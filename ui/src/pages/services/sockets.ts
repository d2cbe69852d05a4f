/** Sockets of one host, such as 127.0.0.1 with tcp 25 and 587. */
export interface Group {
	host: string
	/** What stands behind the address, such as (VPN). */
	note: string
	ports: string
}

const socket = /^(\S+) (.+):(\d+)(?: (.*))?$/

/** "tcp 127.0.0.1:25" and its like, by host, in the order in which they came. */
export function byHost(sockets: readonly string[]): Group[] {
	const groups = new Map<string, { host: string; note: string; ports: Map<string, number[]> }>()
	for (const s of sockets) {
		const [, proto = "", host = s, port, note = ""] = socket.exec(s) ?? []
		const key = `${host} ${note}`
		const g = groups.get(key) ?? { host, note, ports: new Map() }
		groups.set(key, g)
		if (port) g.ports.set(proto, [...(g.ports.get(proto) ?? []), Number(port)])
	}
	return [...groups.values()].map(({ host, note, ports }) => ({
		host: host.replace(/^\[(.*)\]$/, "$1"),
		note,
		ports: [...ports].map(([proto, list]) => `${proto} ${list.sort((a, b) => a - b).join(" ")}`).join(", "),
	}))
}
