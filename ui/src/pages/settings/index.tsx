import type { ComponentType } from "react"
import { useRoute } from "wouter"
import { useSession } from "../../api/hooks"
import { Page, Tabs } from "../../kit/page"
import { t } from "../../kit/words"
import { Account } from "./account"
import { Addresses } from "./addresses"
import { Appearance } from "./appearance"
import { Identity } from "./identity"
import { People } from "./people"

const all: { id: string; text: string; body: ComponentType; seen: (role: string) => boolean }[] = [
	{ id: "", text: t("Identity"), body: Identity, seen: (r) => r !== "user" },
	{ id: "people", text: t("People"), body: People, seen: (r) => r !== "user" },
	{ id: "addresses", text: t("Addresses and ports"), body: Addresses, seen: (r) => r !== "user" },
	{ id: "account", text: t("My account"), body: Account, seen: () => true },
	{ id: "appearance", text: t("Appearance"), body: Appearance, seen: () => true },
]

export default function Settings() {
	const { data: me } = useSession()
	const [, params] = useRoute("/settings/:tab")
	const tabs = all.filter((x) => x.seen(me?.role ?? "user"))
	const now = tabs.find((x) => x.id === (params?.tab ?? "")) ?? tabs[0]!
	const href = (id: string) => (id ? `/settings/${id}` : "/settings")
	return (
		<Page
			title={t("Settings")}
			tabs={
				<Tabs
					label={t("Parts of the settings")}
					tabs={tabs.map((x) => ({ href: href(x.id), text: x.text }))}
					now={href(now.id)}
				/>
			}
		>
			<now.body />
		</Page>
	)
}
