import { useDocument, useResolved, useStatus } from "../../api/hooks"
import { DraftText } from "../../change/fields"
import { useChange, useEditable } from "../../change/use"
import { Card, Fact, Facts } from "../../kit/card"
import { Notice } from "../../kit/status"
import { Copy } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"

export function Identity() {
	const doc = useDocument()
	const { data: full } = useResolved()
	const { data: status } = useStatus()
	const { may } = useEditable()
	const { drafts } = useChange()
	const moving = drafts.edits.has("cell.name") || drafts.edits.has("cell.domain")
	return (
		<Loaded of={doc}>
			{(d) => (
				<>
					<Card
						title={t("Who this cell is")}
						hint={t("Its name and domain are part of every address that it serves.")}
					>
						<div className="grid max-w-[560px] gap-4">
							<DraftText
								path="cell.name"
								label={t("Name")}
								hint={t("One word, such as oak")}
								may={may}
								stored={d.cell.name}
							/>
							<DraftText
								path="cell.domain"
								label={t("Domain")}
								hint={t("Empty: the name below home.arpa. A domain of your own works too.")}
								may={may}
								stored={d.cell.domain}
								standard={full?.cell.domain}
								mono
							/>
							{moving && (
								<Notice tone="warn" title={t("Addresses will change")}>
									{t(
										"Web names, mail addresses and certificates follow the domain at once. Programs that were set up with the old names must be set up again.",
									)}
								</Notice>
							)}
						</div>
					</Card>
					<Card title={t("As others see it")}>
						<Facts>
							<Fact name={t("Domain")}>
								<Copy value={full?.cell.domain ?? ""} label={t("the domain")} />
							</Fact>
							<Fact name={t("Mode")}>
								{full?.cell.mode === "trial"
									? t("Trial: high ports on this host, no privileges, no DHCP or firewall")
									: t("Appliance: serves the network on the standard ports")}
							</Fact>
							<Fact name={t("Version")}>{status?.version}</Fact>
							<Fact name={t("Revision")}>{status?.revision}</Fact>
							<Fact name={t("Licences")}>
								<a href="/licenses.txt" className="underline underline-offset-2">
									{t("of the parts of this page")}
								</a>
							</Fact>
						</Facts>
					</Card>
				</>
			)}
		</Loaded>
	)
}
