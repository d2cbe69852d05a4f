import { Plus } from "lucide-react"
import { useLocation, useSearchParams } from "wouter"
import { useSession } from "../../api/hooks"
import { Button } from "../../kit/button"
import { Page, Tabs } from "../../kit/page"
import { t } from "../../kit/words"
import { AddPeer } from "./add"
import { Device } from "./device"
import { Devices } from "./devices"
import { Explain } from "./explain"
import { Groups } from "./groups"

const tabs = [
	{ href: "/peers", text: t("Devices") },
	{ href: "/peers/groups", text: t("Groups") },
	{ href: "/peers/explain", text: t("Who reaches whom") },
]

export default function Peers() {
	const { data: me } = useSession()
	const [params] = useSearchParams()
	const [path, go] = useLocation()
	const may = me?.role !== "viewer"
	const add = () => go("/peers?add")
	const device = /^\/peers\/device\/([^/]+)$/.exec(path)?.[1]
	const tab = tabs.some((x) => x.href === path) ? path : "/peers"
	if (device) return <Device name={decodeURIComponent(device)} may={may} />
	return (
		<Page
			title={t("Peers")}
			about={t("Devices that reach this cell through the VPN, wherever they are.")}
			actions={
				may && (
					<Button kind="primary" icon={Plus} onPress={add}>
						{t("Add a device")}
					</Button>
				)
			}
			tabs={me?.role !== "user" && <Tabs label={t("Devices of the VPN")} tabs={tabs} now={tab} />}
		>
			{tab === "/peers/groups" ? (
				<Groups />
			) : tab === "/peers/explain" ? (
				<Explain />
			) : (
				<Devices may={may} add={add} />
			)}
			{params.has("add") && <AddPeer onClose={() => go("/peers", { replace: true })} />}
		</Page>
	)
}
