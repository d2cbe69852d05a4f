import { useRouting } from "../../api/hooks"
import type { KernelRoute, RoutingRule } from "../../api/types"
import { Card } from "../../kit/card"
import { type Column, Table } from "../../kit/table"
import { Mono, None } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { tableName } from "./kernelwords"

const routes: Column<KernelRoute>[] = [
	{ head: t("To"), cell: (r) => (/\/0$/.test(r.to) ? t("everything else") : <Mono>{r.to}</Mono>) },
	{ head: t("Family"), cell: (r) => (r.to.includes(":") ? "IPv6" : "IPv4") },
	{
		head: t("By"),
		cell: (r) => (r.unreachable ? t("nowhere: refused") : <Mono>{r.interface || "?"}</Mono>),
	},
	{ head: t("Next hop"), cell: (r) => (r.via ? <Mono>{r.via}</Mono> : <None>{t("none")}</None>) },
	{ head: t("Table"), cell: (r) => tableName(r.table) },
	{ head: t("Made by"), cell: (r) => r.origin },
	{ head: t("Metric"), kind: "num", cell: (r) => r.metric },
]

const rules: Column<RoutingRule>[] = [
	{ head: t("Priority"), cell: (r) => r.priority },
	{ head: t("Family"), cell: (r) => (r.six ? "IPv6" : "IPv4") },
	{
		head: t("Packets"),
		cell: (r) => {
			const of = [
				r.from && t("from {net}", { net: r.from }),
				r.to && t("to {net}", { net: r.to }),
				r.mark && t("with mark {mark}", { mark: r.mark }),
				r.interface && t("in by {card}", { card: r.interface }),
			].filter(Boolean)
			return of.length ? of.join(", ") : t("all")
		},
	},
	{ head: t("Look into table"), cell: (r) => tableName(r.table) },
]

/** Where the host's kernel sends packets. */
export default function Kernel() {
	const routing = useRouting()
	return (
		<Loaded of={routing} rows={10}>
			{(r) => (
				<>
					<Card
						title={t("Routes")}
						hint={t("The host's main table, and those of the exits, as the kernel has them now.")}
						flush
					>
						{r.kernel.length ? (
							<Table
								label={t("Routes")}
								columns={routes}
								rows={r.kernel}
								id={(x) => [x.table, x.to, x.interface, x.via, x.metric].join()}
							/>
						) : (
							<p className="px-4 pb-4 text-muted">{t("This host does not tell.")}</p>
						)}
					</Card>
					<Card
						title={t("Rules")}
						hint={t("Which packets look into which table, beyond what every host has.")}
						flush
					>
						{r.rules.length ? (
							<Table
								label={t("Rules")}
								columns={rules}
								rows={r.rules}
								id={(x) => `${x.six} ${x.priority} ${x.table}`}
							/>
						) : (
							<p className="px-4 pb-4 text-muted">{t("None: all packets go by the main table.")}</p>
						)}
					</Card>
				</>
			)}
		</Loaded>
	)
}
