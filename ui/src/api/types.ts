// What the API says. See api/wire.

export interface Session { user: string; display: string; role: Role; csrf?: string }
export type Role = "admin" | "viewer" | "user"

export interface SetupState { needed: boolean; suggestion: { name: string; domain: string; mode: string } }
export interface Setup { token: string; name: string; domain?: string; admin: string; display?: string; password: string }

export type ServiceState = "starting" | "running" | "failing" | "stopped" | "off"
export interface Fact { name: string; value: string }
export interface CellProblem { code: string; title: string; text?: string; fix?: string; severity: "warning" | "failure"; since: string; unit?: string }
export interface Service {
	name: string
	state: ServiceState
	since: string
	restarts: number
	sockets?: string[]
	facts?: Fact[]
	problems?: CellProblem[]
}
export interface Pending { revision: number; base: number; deadline: string }
export interface Pulse { revision: number; ok: boolean; sentence: string; pending: Pending | null }
export interface Health extends Pulse {
	cell: { name: string; domain: string; mode: string }
	version: string
	uptimeSeconds: number
	memoryBytes: number
	services: Service[]
	problems: CellProblem[]
	ports: Record<string, number>
}

export interface Traffic { time: string; rxBytes: number; txBytes: number; dnsQueries: number }

export interface Difference { path: string; before?: unknown; after?: unknown; text: string }
export interface Outcome { revision: number; dryRun?: boolean; durationMs: number; diff: Difference[]; pending?: Pending }
export interface Revision { revision: number; time: string; actor: string; reason?: string; diff: Difference[] }
export interface Edit { path: string; value?: unknown; delete?: boolean }

export interface Event {
	id: number
	time: string
	kind: string
	severity: "info" | "warning" | "error"
	unit?: string
	actor?: string
	subject?: string
	text: string
	attrs?: Record<string, string>
}
export interface Line { id: number; time: string; level: string; unit?: string; msg: string; attrs?: Record<string, string> }

export interface Peer {
	name: string
	owner?: string
	address: string
	address6?: string
	publicKey: string
	hasConfig: boolean
	disabled: boolean
	internet: boolean
	lan: boolean
	split: boolean
	endpoint?: string
	lastHandshake?: string
	rxBytes: number
	txBytes: number
}
export interface NewPeer { name: string; owner?: string; endpoint?: string; publicKey?: string; split?: boolean; internet?: boolean; lan?: boolean }
export interface PeerOutcome extends Outcome { peer: Peer; config?: string }

export interface User { name: string; display: string; role: Role; groups: string[]; disabled: boolean; peers: string[] }
export interface AppPassword { id: string; label: string; scopes: string[]; created: string; used?: string }
export interface Token { id: string; user: string; label: string; role: Role; created: string; used?: string }
export interface Issued { id: string; secret: string }

export interface WireGuard {
	enabled: boolean
	interface: string
	publicKey: string
	port: number
	endpoint?: string
	subnet: string
	subnet6?: string
	mtu: number
	nat?: string[]
	backend: string
	peers: Peer[]
}

export interface Upstream { address: string; healthy?: boolean; ok?: boolean; latencyMs?: number; error?: string }
export interface DNS { enabled: boolean; zone: string; zones: string[]; upstreams: Upstream[]; stats: Record<string, number>; cacheEntries: number }
export interface DNSRecord { name: string; type: string; ttl: number; value: string; source?: string }
export interface DNSAnswer { name: string; type: string; status?: string; rcode?: string; answers: DNSRecord[]; durationMs?: number }

export interface DHCP { enabled: boolean; interface: string; first: string; last: string; size: number; used: number }
export interface Lease { address: string; mac: string; host?: string; name?: string; expires: string; state?: string; reserved?: boolean }

export interface NTPSource { name: string; address?: string; offsetSeconds?: number; delaySeconds?: number; stratum?: number; reach?: number; lastSeen?: string; error?: string }
export interface NTP { enabled: boolean; sources: NTPSource[]; stratum: number; leap: string | number; served: number }

export interface Mailbox { user: string; messages: number; unseen: number; bytes: number }
export interface Email { enabled: boolean; domains: string[]; mailboxes: Mailbox[]; ports: Record<string, number> }
export interface Collection { owner: string; name: string; kind: string; display: string; objects: number; url: string }
export interface FileEntry { name: string; dir: boolean; size: number; modified: string }
export interface Listing { path: string; entries: FileEntry[] }

export interface RouteState { name?: string; host: string; upstream: string; access: string; ok: boolean; error?: string }
export interface Routing { routes: RouteState[]; own: { host: string; what: string }[]; kernel: unknown[]; nat: unknown[] }

export interface Certificate { names: string[] | null; addresses: string[] | null; notBefore: string; notAfter: string; serial: string; issuer: string; serving: boolean }
export interface SecretEntry { id: string; kind: string; created: string }
export interface Vault { root: { subject: string; domain: string; sha256: string; notBefore: string; notAfter: string; pem: string } | null; certificates: Certificate[]; secrets: SecretEntry[] }

export interface CellLink { name: string; domain: string; publicKey: string; endpoints?: string[]; subnets: string[]; dns?: string }

/** The parts of the document that this UI edits. What is left open is absent. */
export interface Document {
	revision: number
	cell: { name: string; domain?: string; mode?: string; listen?: string[] }
	network: { lan?: { name?: string; address?: string }; wan?: { name?: string; address?: string }; allow?: string[] }
	dns: { enabled?: boolean; upstreams?: string[]; records?: { name: string; type: string; ttl?: number; value: string }[]; port?: number }
	dhcp: { enabled?: boolean; interface?: string; first?: string; last?: string; lease?: string; router?: string; reservations?: Reservation[] }
	ntp: { enabled?: boolean; sources?: string[] }
	wireguard: { enabled?: boolean; port?: number; subnet?: string; subnet6?: string; endpoint?: string; mtu?: number }
	peers?: { name: string }[]
	mail: { enabled?: boolean; domains?: string[]; aliases?: { name: string; to: string[] }[] }
	dav: { enabled?: boolean }
	proxy: { enabled?: boolean; routes?: Route[] }
	ca: { life?: string; names?: string[] }
	links?: CellLink[]
}
export interface Reservation { name: string; mac: string; address: string }
export interface Route { name: string; upstream: string; access?: string; insecure?: boolean }
