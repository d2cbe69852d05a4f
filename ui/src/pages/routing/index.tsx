import type { ComponentType } from "react"
import { useLocation } from "wouter"
import { Page, Tabs } from "../../kit/page"
import { t } from "../../kit/words"
import { Firewall } from "./firewall"
import { Forwards } from "./forwards"
import { Names } from "./names"
import { Overview } from "./overview"
import { Router } from "./router"
import { Traffic } from "./traffic"

const tabs = [
	{ href: "/routing", text: t("Overview") },
	{ href: "/routing/names", text: t("Web names") },
	{ href: "/routing/forwards", text: t("Port forwards") },
	{ href: "/routing/firewall", text: t("Firewall") },
	{ href: "/routing/traffic", text: t("Traffic") },
	{ href: "/routing/router", text: t("Settings") },
]

const bodies: Record<string, ComponentType> = {
	"/routing/names": Names,
	"/routing/forwards": Forwards,
	"/routing/firewall": Firewall,
	"/routing/traffic": Traffic,
	"/routing/router": Router,
}

export default function RoutingPage() {
	const [path] = useLocation()
	const Body = bodies[path] ?? Overview
	return (
		<Page
			title={t("Routing")}
			about={t("What goes where: between the internet, the household and the VPN.")}
			tabs={<Tabs label={t("Routing")} tabs={tabs} now={bodies[path] ? path : "/routing"} />}
		>
			<Body />
		</Page>
	)
}
