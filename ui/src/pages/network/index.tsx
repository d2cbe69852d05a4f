import type { ComponentType } from "react"
import { useLocation } from "wouter"
import { Page, Tabs } from "../../kit/page"
import { t } from "../../kit/words"
import { DHCP } from "./dhcp"
import { DNS } from "./dns"
import { Filter } from "./filter"
import { QueryLog } from "./log"
import { NTP } from "./ntp"
import { Zones } from "./zones"

const tabs = [
	{ href: "/network", text: t("DNS: names") },
	{ href: "/network/log", text: t("Query log") },
	{ href: "/network/filter", text: t("Filter") },
	{ href: "/network/zones", text: t("Zones") },
	{ href: "/network/dhcp", text: t("DHCP: addresses") },
	{ href: "/network/ntp", text: t("NTP: time") },
]

const bodies: Record<string, ComponentType> = {
	"/network/log": QueryLog,
	"/network/filter": Filter,
	"/network/zones": Zones,
	"/network/dhcp": DHCP,
	"/network/ntp": NTP,
}

export default function NetworkPage() {
	const [path] = useLocation()
	const Body = bodies[path] ?? DNS
	const now = bodies[path] ? path : "/network"
	return (
		<Page
			title={t("Network Services")}
			about={t("What every device of the household asks first.")}
			tabs={<Tabs label={t("Network services")} tabs={tabs} now={now} />}
		>
			<Body />
		</Page>
	)
}
