import { Orbit } from "lucide-react"
import { useCells } from "../../api/hooks"
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
	return (
		<Page title={t("Cell Network")} about={t("Other households' cells that this one trusts.")}>
			<Card flush>
				<Loaded of={cells}>
					{(c) =>
						c.links?.length ? (
							<Table label={t("Linked cells")} columns={columns} rows={c.links} id={(l) => l.name} />
						) : (
							<Empty icon={Orbit} title={t("This cell stands alone")}>
								{t(
									"Cells of friends and family can share names and services over WireGuard. This version keeps links in its configuration and checks them, but does not yet build the tunnels between cells.",
								)}
							</Empty>
						)
					}
				</Loaded>
			</Card>
		</Page>
	)
}
