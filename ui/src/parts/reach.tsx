import { RotateCw } from "lucide-react"
import { useReach } from "../api/hooks"
import type { ReachStep } from "../api/types"
import { Button } from "../kit/button"
import { Card } from "../kit/card"
import { Empty } from "../kit/states"
import { Status, type Tone } from "../kit/status"
import { t } from "../kit/words"
import { Loaded } from "./loaded"

const names: Record<ReachStep["name"], string> = {
	endpoint: t("Name or address"),
	address: t("Leads here"),
	port: t("Port"),
	calls: t("Calls"),
}
const outcomes: Record<ReachStep["outcome"], [Tone, string]> = {
	ok: ["ok", t("well")],
	bad: ["bad", t("not well")],
	unknown: ["idle", t("not known")],
}

/** Whether devices on the road find the cell, step by step. Names are asked for, which may take seconds. */
export function Reach() {
	const reach = useReach()
	return (
		<Card
			title={t("Do devices on the road find the cell?")}
			flush
			action={
				<Button icon={RotateCw} onPress={() => reach.refetch()} isPending={reach.isFetching}>
					{reach.isFetching ? t("Checking…") : t("Check now")}
				</Button>
			}
		>
			{reach.isPending && (
				<p className="border-t border-line px-4 py-3 text-muted">{t("Asking for the cell's name…")}</p>
			)}
			{!reach.isPending && (
				<Loaded of={reach}>
					{(steps) =>
						steps.length ? (
							<ol className="divide-y divide-line border-t border-line">
								{steps.map((s) => (
									<li
										key={s.name}
										className="grid gap-x-4 gap-y-1 px-4 py-3 card:grid-cols-[140px_110px_1fr] card:items-start"
									>
										<span className="font-medium">{names[s.name]}</span>
										<Status tone={outcomes[s.outcome][0]}>{outcomes[s.outcome][1]}</Status>
										<span className="min-w-0 [overflow-wrap:anywhere]">
											{s.text}
											{s.fix && <span className="block text-muted">{s.fix}</span>}
										</span>
									</li>
								))}
							</ol>
						) : (
							<Empty icon={RotateCw} title={t("Nothing to check")}>
								{t("The VPN is off.")}
							</Empty>
						)
					}
				</Loaded>
			)}
		</Card>
	)
}
