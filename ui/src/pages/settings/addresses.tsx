import { useDocument, useResolved, useStatus } from "../../api/hooks"
import { DraftList, DraftText } from "../../change/fields"
import { useEditable } from "../../change/use"
import { Card } from "../../kit/card"
import { Table } from "../../kit/table"
import { Mono } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"

const ports: [key: string, name: string][] = [
	["ui", t("Web UI")],
	["api", t("API, on this host only")],
	["http", t("Proxy, http")],
	["https", t("Proxy, https")],
	["dns", t("DNS")],
	["ntp", t("NTP")],
	["wireguard", t("WireGuard")],
	["smtp", t("Mail between servers")],
	["submission", t("Mail from programs, STARTTLS")],
	["submissions", t("Mail from programs, TLS")],
	["imaps", t("Mailboxes, TLS")],
	["caldav", t("Calendars, on this host only")],
	["webdav", t("Files, on this host only")],
]

export function Addresses() {
	const doc = useDocument()
	const { data: full } = useResolved()
	const { data: status } = useStatus()
	const { may } = useEditable()
	return (
		<Loaded of={doc}>
			{(d) => (
				<>
					<Card
						title={t("Network")}
						hint={t("Changes here are undone after 90 s unless you confirm that you still reach the cell.")}
					>
						<div className="grid max-w-[560px] gap-5">
							<DraftText
								path="network.lan.name"
								label={t("Network card of the LAN")}
								may={may}
								stored={d.network.lan?.name}
								standard={full?.network.lan?.name || t("such as eth0")}
								mono
							/>
							<DraftText
								path="network.lan.address"
								label={t("Its address")}
								may={may}
								stored={d.network.lan?.address}
								standard={full?.network.lan?.address || "192.168.1.1/24"}
								mono
							/>
							<DraftList
								path="cell.listen"
								label={t("Services answer on")}
								may={may}
								stored={d.cell.listen}
								standard={full?.cell.listen}
								placeholder="192.168.1.1"
								add={t("Add an address")}
							/>
							<DraftList
								path="network.allow"
								label={t("Who may use services that are not public")}
								may={may}
								stored={d.network.allow}
								standard={full?.network.allow}
								placeholder="192.168.1.0/24"
								add={t("Add a network")}
							/>
						</div>
					</Card>
					{status?.ports && (
						<Card title={t("Ports")} flush>
							<Table
								label={t("Ports")}
								rows={ports.filter(([key]) => status.ports[key])}
								id={([key]) => key}
								columns={[
									{ head: t("What"), cell: ([, name]) => name },
									{ head: t("Port"), kind: "num", cell: ([key]) => <Mono>{status.ports[key]}</Mono> },
								]}
							/>
						</Card>
					)}
				</>
			)}
		</Loaded>
	)
}
