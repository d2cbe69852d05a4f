import type { EnrolLink } from "../../api/types"
import { moment } from "../../kit/format"
import { QR } from "../../kit/qr"
import { Copy } from "../../kit/text"
import { t } from "../../kit/words"

/** A one-time link, to be sent or to be scanned with the camera. */
export function LinkHandover({ name, link }: { name: string; link: EnrolLink }) {
	// The page that is open knows an address that works from here.
	const [, token] = link.url.split("#")
	const here = `${location.origin}/enrol#${token}`
	const known = [link.url, link.plain].includes(here) || /^https?:\/\/(localhost|127\.)/.test(here)
	return (
		<div className="grid gap-5 pt-1 card:grid-cols-[272px_1fr]">
			<QR text={link.url} label={t("QR code with the link for {name}", { name })} />
			<div className="flex min-w-0 flex-col items-start gap-3">
				<p>
					{t(
						"Open this link on {name}, or scan the code with its camera, while it is at home. It makes its own key and gets its configuration.",
						{ name },
					)}
				</p>
				<Copy value={link.url} label={t("the link")} />
				<p className="text-sec text-muted">
					{t(
						"From the internet the link does not open. A device that is away gets the file or the QR code of its configuration instead.",
					)}
				</p>
				{link.plain && (
					<>
						<p className="text-muted">{t("Where the device does not know that name yet:")}</p>
						<Copy value={link.plain} label={t("the link by address")} />
					</>
				)}
				{!known && (
					<>
						<p className="text-muted">{t("As this page was opened:")}</p>
						<Copy value={here} label={t("the link by this page's address")} />
					</>
				)}
				<p className="text-sec text-muted">
					{t("It works once, until {end}. Whoever opens it first comes in as {name}.", {
						end: moment(link.expires),
						name,
					})}
				</p>
			</div>
		</div>
	)
}
