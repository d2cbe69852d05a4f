import { useRoute } from "wouter"
import { Page, Tabs } from "../../kit/page"
import { t } from "../../kit/words"
import { DHCP } from "./dhcp"
import { DNS } from "./dns"
import { NTP } from "./ntp"

const tabs = [
	{ href: "/network", text: t("DNS: names") },
	{ href: "/network/dhcp", text: t("DHCP: addresses") },
	{ href: "/network/ntp", text: t("NTP: time") },
]

export default function NetworkPage() {
	const [dhcp] = useRoute("/network/dhcp")
	const [ntp] = useRoute("/network/ntp")
	const now = dhcp ? tabs[1]! : ntp ? tabs[2]! : tabs[0]!
	return (
		<Page
			title={t("Network Services")}
			about={t("What every device of the household asks first.")}
			tabs={<Tabs label={t("Network services")} tabs={tabs} now={now.href} />}
		>
			{dhcp ? <DHCP /> : ntp ? <NTP /> : <DNS />}
		</Page>
	)
}
