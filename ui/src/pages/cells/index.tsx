import { Orbit } from "lucide-react"
import { useCells, useResolved } from "../../api/hooks"
import type { CellLink } from "../../api/types"
import { Card } from "../../kit/card"
import { Page } from "../../kit/page"
import { Empty } from "../../kit/states"
import { type Column, Table } from "../../kit/table"
import { Copy, None } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"

const columns: Column<CellLink>[] = [
	{ head: t("Cell"), cell: (l) => <span className="font-medium">{l.name}</span> },
	{
		head: t("Domain"),
		cell: (l) => <Copy value={l.domain} label={t("the domain of {name}", { name: l.name })} />,
	},
	{ head: t("Networks"), cell: (l) => (l.subnets?.length ? l.subnets.join(", ") : <None />) },
	{ head: t("Found at"), cell: (l) => (l.endpoints?.length ? l.endpoints.join(", ") : <None />) },
	{
		head: t("Public key"),
		cell: (l) => <Copy value={l.publicKey} label={t("the key of {name}", { name: l.name })} short />,
	},
]

export default function Cells() {
	const cells = useCells()
	const { data: full } = useResolved()
	const trial = full?.cell.mode === "trial"
	return (
		<Page title={t("Cell Network")} about={t("Other households' cells that this one trusts.")}>
			<Card flush>
				<Loaded of={cells}>
					{(c) =>
						c.links?.length ? (
							<Table label={t("Linked cells")} columns={columns} rows={c.links} id={(l) => l.name} />
						) : (
							<Empty icon={Orbit} title={t("This cell stands alone")}>
								{trial
									? t(
											"Links between cells need cards and routes of the host, which a trial leaves alone. They come with the installed cell.",
										)
									: t(
											"Cells of friends and family reach each other over WireGuard, as far as each lets the other. A link is written into the configuration (“links”); its traffic then goes through the tunnel.",
										)}
							</Empty>
						)
					}
				</Loaded>
			</Card>
		</Page>
	)
}
