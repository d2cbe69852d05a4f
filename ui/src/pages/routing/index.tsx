import { type ComponentType, lazy, Suspense } from "react"
import { useLocation } from "wouter"
import { Page, Tabs } from "../../kit/page"
import { Skeleton } from "../../kit/states"
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
	{ href: "/routing/exits", text: t("Exits") },
	{ href: "/routing/routes", text: t("Routes") },
	{ href: "/routing/traffic", text: t("Traffic") },
	{ href: "/routing/router", text: t("Settings") },
]

// Pages of their own for the browser: most visits want neither.
const Exits = lazy(() => import("./exits"))
const Kernel = lazy(() => import("./kernel"))

const bodies: Record<string, ComponentType> = {
	"/routing/names": Names,
	"/routing/forwards": Forwards,
	"/routing/firewall": Firewall,
	"/routing/exits": Exits,
	"/routing/routes": Kernel,
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
			<Suspense fallback={<Skeleton rows={6} />}>
				<Body />
			</Suspense>
		</Page>
	)
}
