// Short names for what the API says. schema.d.ts is made from api/openapi.json.
import type { components, paths } from "./schema"

export type Schemas = components["schemas"]

/** What GET answers at a path. */
export type Got<P extends keyof paths> = paths[P] extends {
	get: { responses: { 200: { content: { "application/json": infer R } } } }
}
	? R
	: never

/** The paths that can be read as JSON. */
export type Readable = { [P in keyof paths]: Got<P> extends never ? never : P }[keyof paths]

export type Session = Schemas["Session"]
export type Role = Session["role"]
export type Setup = Schemas["Setup"]
export type SetupState = Schemas["SetupState"]

export type Health = Schemas["Health"]
export type Pulse = Schemas["Pulse"]
export type Pending = Schemas["Pending"]
export type Traffic = Schemas["Traffic"]
export type Service = Schemas["Status"]
export type ServiceState = Service["state"]
export type CellProblem = Schemas["UnitProblem"]

export type Document = Schemas["Document"]
export type Difference = Schemas["Difference"]
export type Edit = Schemas["Edit"]
export type Outcome = Schemas["Outcome"]
export type Revision = Schemas["Revision"]
export type Reservation = Schemas["ConfigReservation"]
export type Route = Schemas["ConfigRoute"]
export type OwnRecord = Schemas["ConfigRecord"]

export type Event = Schemas["Event"]
export type Line = Schemas["Line"]

export type Peer = Schemas["Peer"]
export type NewPeer = Schemas["NewPeer"]
export type PeerOutcome = Schemas["PeerOutcome"]
export type User = Schemas["User"]
export type AppPassword = Schemas["AppPassword"]
export type SignIn = Schemas["SignIn"]
export type Token = Schemas["Token"]
export type Issued = Schemas["Issued"]

export type WireGuard = Schemas["WireGuard"]
export type DNS = Schemas["DNS"]
export type DNSRecord = Schemas["DNSRecord"]
export type DNSAnswer = Schemas["DNSAnswer"]
export type DNSQuery = Schemas["DNSQuery"]
export type DNSQueries = Schemas["DNSQueries"]
export type DNSStats = Schemas["DNSStats"]
export type DNSCount = Schemas["DNSCount"]
export type DNSList = Schemas["DNSList"]
export type DNSZone = Schemas["DNSZone"]
export type DNSKey = Schemas["DNSKey"]
export type Filter = Schemas["ConfigFilter"]
export type FilterGroup = Schemas["ConfigGroup"]
export type FilterClient = Schemas["ConfigClient"]
export type FilterList = Schemas["ConfigList"]
export type Schedule = Schemas["ConfigSchedule"]
export type NTP = Schemas["NTP"]
export type TimeSource = Schemas["TimeSource"]
export type Email = Schemas["Email"]
export type Mailbox = Schemas["Mailbox"]
export type DHCP = Schemas["DHCP"]
export type Lease = Schemas["Lease"]
export type Collection = Schemas["Collection"]
export type FileEntry = Schemas["FileEntry"]
export type Routing = Schemas["Routing"]
export type Firewall = Schemas["Firewall"]
export type FirewallRule = Schemas["FirewallRule"]
export type Blocked = Schemas["Blocked"]
export type PortForward = Schemas["ConfigPortForward"]
export type DynamicName = Schemas["ConfigDynamicName"]
export type NewDynamicName = Schemas["NewDynamicName"]
export type Router = Schemas["Router"]
export type WAN = Schemas["RouterWAN"]
export type Edge = Schemas["Edge"]
export type PublicName = Schemas["PublicName"]
export type ReachStep = Schemas["ReachStep"]
export type TrafficHistory = Schemas["TrafficHistory"]
export type DeviceTraffic = Schemas["DeviceTraffic"]
export type Vault = Schemas["Vault"]
export type Certificate = Schemas["Certificate"]
export type IssuedCertificate = Schemas["IssuedCertificate"]
export type SecretEntry = Schemas["Secret"]
export type CellLink = Schemas["ConfigLink"]
