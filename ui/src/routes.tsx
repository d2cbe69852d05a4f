import {
	CalendarDays,
	FolderClosed,
	Gauge,
	KeyRound,
	type LucideIcon,
	Mail,
	MonitorSmartphone,
	Network,
	Orbit,
	Route,
	ScrollText,
	Server,
	Settings,
	ShieldCheck,
} from "lucide-react"
import { type ComponentType, type LazyExoticComponent, lazy } from "react"
import { t } from "./kit/words"

export interface PageLink {
	path: string
	name: string
	icon: LucideIcon
	/** Said in the command palette beside the name. */
	about: string
	body: LazyExoticComponent<ComponentType>
}

export interface Group {
	name: string
	pages: PageLink[]
}

/** All pages, in the order of the navigation. */
export const groups: Group[] = [
	{
		name: t("Home"),
		pages: [
			{
				path: "/",
				name: t("Dashboard"),
				icon: Gauge,
				about: t("how the cell is"),
				body: lazy(() => import("./pages/dashboard")),
			},
		],
	},
	{
		name: t("Yours"),
		pages: [
			{
				path: "/email",
				name: t("Email"),
				icon: Mail,
				about: t("mailboxes, domains"),
				body: lazy(() => import("./pages/email")),
			},
			{
				path: "/calendar",
				name: t("Calendar"),
				icon: CalendarDays,
				about: t("calendars, contacts"),
				body: lazy(() => import("./pages/calendar")),
			},
			{
				path: "/files",
				name: t("Files"),
				icon: FolderClosed,
				about: t("folders, mounting"),
				body: lazy(() => import("./pages/files")),
			},
		],
	},
	{
		name: t("Network"),
		pages: [
			{
				path: "/peers",
				name: t("Peers"),
				icon: MonitorSmartphone,
				about: t("devices of the VPN"),
				body: lazy(() => import("./pages/peers")),
			},
			{
				path: "/network",
				name: t("Network Services"),
				icon: Network,
				about: t("DNS, DHCP, NTP"),
				body: lazy(() => import("./pages/network")),
			},
			{
				path: "/wireguard",
				name: t("WireGuard"),
				icon: ShieldCheck,
				about: t("the VPN itself"),
				body: lazy(() => import("./pages/wireguard")),
			},
			{
				path: "/routing",
				name: t("Routing"),
				icon: Route,
				about: t("firewall, forwards, web names"),
				body: lazy(() => import("./pages/routing")),
			},
			{
				path: "/cells",
				name: t("Cell Network"),
				icon: Orbit,
				about: t("other cells"),
				body: lazy(() => import("./pages/cells")),
			},
		],
	},
	{
		name: t("Cell"),
		pages: [
			{
				path: "/services",
				name: t("Services"),
				icon: Server,
				about: t("state, restart"),
				body: lazy(() => import("./pages/services")),
			},
			{
				path: "/vault",
				name: t("Vault"),
				icon: KeyRound,
				about: t("certificates, secrets"),
				body: lazy(() => import("./pages/vault")),
			},
			{
				path: "/logs",
				name: t("Logs"),
				icon: ScrollText,
				about: t("lines, timeline"),
				body: lazy(() => import("./pages/logs")),
			},
			{
				path: "/settings",
				name: t("Settings"),
				icon: Settings,
				about: t("identity, people, looks"),
				body: lazy(() => import("./pages/settings")),
			},
		],
	},
]

export const pages: PageLink[] = groups.flatMap((g) => g.pages)

export function isOn(path: string, page: string): boolean {
	return page === "/" ? path === "/" : path === page || path.startsWith(`${page}/`)
}
