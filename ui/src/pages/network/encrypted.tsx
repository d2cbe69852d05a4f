import { useResolved } from "../../api/hooks"
import { DraftSwitch } from "../../change/fields"
import { useEditable } from "../../change/use"
import { Card, Fact, Facts } from "../../kit/card"
import { Copy, None } from "../../kit/text"
import { t } from "../../kit/words"
import { withStandardPort } from "./label"

/** Where phones and browsers find DNS that nobody on the way can read. */
export function Encrypted({ zone }: { zone: string }) {
	const { data: r } = useResolved()
	const { doc, may } = useEditable()
	const host = `dns.${zone}`
	const tls = r?.dns.tls && r.dns.tlsPort
	const https = r?.dns.https && r.proxy.enabled && r.proxy.httpsPort
	return (
		<Card
			title={t("Encrypted DNS")}
			hint={t(
				"Devices that trust the cell's root certificate switch over by themselves, or take these names.",
			)}
		>
			<div className="flex flex-col gap-4">
				<Facts>
					<Fact name={t("Android: private DNS")}>
						{tls ? <Copy value={host} label={t("the host name")} /> : <None>{t("off")}</None>}
					</Fact>
					<Fact name={t("DNS over TLS and QUIC")}>
						{tls ? (
							<Copy value={withStandardPort(host, tls, 853)} label={t("the server")} />
						) : (
							<None>{t("off")}</None>
						)}
					</Fact>
					<Fact name={t("DNS over HTTPS")}>
						{https ? (
							<Copy
								value={`https://${withStandardPort(host, https, 443)}/dns-query`}
								label={t("the address")}
							/>
						) : (
							<None>{t("off")}</None>
						)}
					</Fact>
				</Facts>
				<DraftSwitch
					path="dns.tls"
					label={t("DNS over TLS and QUIC")}
					may={may}
					stored={doc?.dns.tls}
					standard={true}
				/>
				<DraftSwitch
					path="dns.https"
					label={t("DNS over HTTPS")}
					may={may}
					stored={doc?.dns.https}
					standard={true}
				/>
			</div>
		</Card>
	)
}
