import type { DNS, ServiceState } from "../api/types"
import type { Tone } from "../kit/status"
import { t } from "../kit/words"

const services: Record<string, [name: string, what: string, page: string]> = {
	dns: [t("DNS"), t("Turns names into addresses"), "/network"],
	dhcp: [t("DHCP"), t("Gives addresses to devices of the LAN"), "/network/dhcp"],
	ntp: [t("NTP"), t("Tells the time"), "/network/ntp"],
	network: [t("Network"), t("Interfaces, firewall and the VPN"), "/wireguard"],
	netstack: [t("Network"), t("Interfaces, firewall and the VPN"), "/wireguard"],
	wireguard: [t("WireGuard"), t("The VPN for devices away from home"), "/wireguard"],
	mail: [t("Email"), t("Receives, keeps and sends mail"), "/email"],
	dav: [t("Calendar and files"), t("Calendars, contacts and folders"), "/calendar"],
	proxy: [t("Proxy"), t("Leads web names to servers"), "/routing"],
	ca: [t("Certificates"), t("Issues and renews certificates"), "/vault"],
	people: [t("People"), t("Checks passwords and sessions"), "/settings/people"],
	names: [t("Names"), t("Knows what devices call themselves"), "/network"],
	mode: [t("Mode"), t("Keeps to what the cell may do with this host"), "/settings"],
	storage: [t("Storage"), t("Watches the disk of the data folder"), "/services"],
	config: [t("Configuration"), t("Keeps and applies the settings"), "/logs/timeline"],
	federation: [t("Cell Network"), t("Links to other cells"), "/cells"],
	web: [t("Web UI and API"), t("This page and what it asks"), "/settings/addresses"],
	api: [t("API"), t("What pages and programs ask"), "/settings"],
}

export function serviceName(unit: string): string {
	return services[unit]?.[0] ?? unit
}
export function serviceWork(unit: string): string {
	return services[unit]?.[1] ?? ""
}
export function servicePage(unit: string): string | undefined {
	return services[unit]?.[2]
}

const states: Record<ServiceState, [Tone, string]> = {
	starting: ["busy", t("starting")],
	running: ["ok", t("running")],
	failing: ["bad", t("failing")],
	stopped: ["bad", t("stopped")],
	off: ["idle", t("off")],
}

export function stateOf(s: ServiceState): [Tone, string] {
	return states[s] ?? ["idle", s]
}

/** How many questions DNS was asked, by whatever way they came. */
export function queries(d: DNS): number {
	return (d.stats?.udp ?? 0) + (d.stats?.tcp ?? 0)
}
