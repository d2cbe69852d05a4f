import { ShieldOff } from "lucide-react"
import { useState } from "react"
import { useFirewall } from "../../api/hooks"
import type { FirewallRule, Firewall as State } from "../../api/types"
import { useEditable } from "../../change/use"
import { Card } from "../../kit/card"
import { Switch } from "../../kit/field"
import { bytes, count } from "../../kit/format"
import { Empty } from "../../kit/states"
import { Table } from "../../kit/table"
import { Mono, None } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { Blocks } from "./blocks"
import { DraftLimit } from "./limit"
import { chainName, zones } from "./words"

export function Firewall() {
	const firewall = useFirewall()
	return (
		<Loaded of={firewall} rows={8}>
			{(f) => (
				<>
					<Zones f={f} />
					<div className="grid items-start gap-4 full:grid-cols-[2fr_1fr]">
						<Blocks list={f.blocked} />
						<Limits />
					</div>
					{f.rules.length > 0 && <Rules list={f.rules} />}
				</>
			)}
		</Loaded>
	)
}

/** Each side of the cell, and what may be opened from there. */
function Zones({ f }: { f: State }) {
	return (
		<Card
			title={t("Who may open what")}
			hint={
				f.router
					? t("The cell filters everything between the internet, the household and the VPN.")
					: t("The cell filters what touches the VPN; the rest is your router's and the host's.")
			}
			flush
		>
			{f.zones.length ? (
				<Table
					label={t("Who may open what")}
					rows={f.zones}
					id={(z) => z.name}
					columns={[
						{ head: t("From"), cell: (z) => <span className="font-medium">{zones[z.name] ?? z.name}</span> },
						{
							head: t("Card"),
							cell: (z) => (z.interface ? <Mono>{z.interface}</Mono> : <None>{t("any other")}</None>),
							none: (z) => !z.interface,
						},
						{
							head: t("Networks"),
							cell: (z) => (z.nets.length ? <Mono>{z.nets.join(", ")}</Mono> : <None>{t("any")}</None>),
							none: (z) => !z.nets.length,
						},
						{ head: t("May open"), cell: (z) => z.connection },
					]}
				/>
			) : (
				<Empty icon={ShieldOff} title={t("No packet filter is in force")}>
					{t(
						"A cell in trial mode, or without root, leaves the host's packets alone. What devices of the VPN may do is decided all the same.",
					)}
				</Empty>
			)}
		</Card>
	)
}

function Limits() {
	const { doc, may } = useEditable()
	const l = doc?.network?.limits
	return (
		<Card title={t("Against floods")}>
			<div className="grid gap-4">
				<DraftLimit
					path="network.limits.new"
					label={t("New connections from one address")}
					without={t("No limit for one address")}
					hint={t("In a second, from the internet and the VPN")}
					may={may}
					stored={l?.new}
					standard={100}
				/>
				<DraftLimit
					path="network.limits.syn"
					label={t("TCP attempts in all")}
					without={t("No limit for all")}
					hint={t("In a second, from the internet")}
					may={may}
					stored={l?.syn}
					standard={500}
				/>
			</div>
		</Card>
	)
}

/** The rules as they are in the kernel, with what each has met. */
function Rules({ list }: { list: FirewallRule[] }) {
	const [met, only] = useState(false)
	const rows = met ? list.filter((r) => r.packets > 0) : list
	return (
		<Card
			title={t("Rules")}
			hint={t("As the kernel has them, with what each has met so far.")}
			flush
			action={<Switch label={t("Only those that met something")} isSelected={met} onChange={only} />}
		>
			<Table
				label={t("Rules")}
				rows={rows}
				id={(r) => `${r.chain} ${r.handle}`}
				columns={[
					{ head: t("Where"), cell: (r) => chainName(r.chain) },
					{
						head: t("Rule"),
						cell: (r) => (
							<>
								{r.name && <span className="block">{r.name}</span>}
								<Mono>{r.text}</Mono>
							</>
						),
					},
					{ head: t("Packets"), kind: "num", cell: (r) => count(r.packets) },
					{ head: t("Bytes"), kind: "num", cell: (r) => bytes(r.bytes) },
				]}
			/>
		</Card>
	)
}
