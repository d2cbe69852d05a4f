import { Copy as CopyIcon, Download } from "lucide-react"
import { useState } from "react"
import { Button } from "../../kit/button"
import { Notice } from "../../kit/status"
import { copyText, save } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"

/** What a device needs to come in: a code to scan, a file, a text. */
export function Handover({ name, config, endpoint }: { name: string; config?: string; endpoint?: string }) {
	const [shown, show] = useState(true)
	const at = `/api/peers/${encodeURIComponent(name)}`
	const query = endpoint ? `?endpoint=${encodeURIComponent(endpoint)}` : ""
	return (
		<div className="flex flex-col gap-4 pt-1">
			<div className="grid gap-5 card:grid-cols-[272px_1fr]">
				{shown && (
					<img
						src={`${at}/qr${query}`}
						alt={t("QR code with the configuration of {name}", { name })}
						width={272}
						height={272}
						onError={() => show(false)}
						className="aspect-square w-full max-w-[272px] rounded-card border border-line bg-white max-card:max-w-[320px] [image-rendering:pixelated] max-card:mx-auto"
					/>
				)}
				<div className="flex min-w-0 flex-col gap-3">
					<ol className="flex list-decimal flex-col gap-1.5 ps-4 marker:text-muted">
						<li>{t("Install the WireGuard app on the device.")}</li>
						<li>{t("Choose “Add a tunnel”, then “Scan from QR code”.")}</li>
						<li>{t("Switch the tunnel on. The device shows here as connected.")}</li>
					</ol>
					<div className="flex flex-wrap gap-2">
						{config && (
							<Button icon={Download} onPress={() => save(`${name}.conf`, config)}>
								{t("Download {file}", { file: `${name}.conf` })}
							</Button>
						)}
						{config && (
							<Button
								icon={CopyIcon}
								onPress={() =>
									copyText(config).then((ok) => toast(ok ? t("Copied.") : t("The browser refused to copy.")))
								}
							>
								{t("Copy as text")}
							</Button>
						)}
					</div>
					<p className="text-sec text-muted">
						{t(
							"Code and file hold the key of this device: whoever has them comes in. Show them to nobody, use them on one device only.",
						)}
					</p>
				</div>
			</div>
			{!shown && (
				<Notice tone="warn" title={t("There is no code to scan")}>
					{t("The cell does not have this device's private key, or could not draw it. Use the file.")}
				</Notice>
			)}
			{config && (
				<details>
					<summary className="cursor-pointer text-muted hover:text-ink">{t("Show the text")}</summary>
					{/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
					<pre tabIndex={0} className="mt-2 overflow-x-auto rounded-control bg-sunken p-3 font-mono text-sec">
						{config}
					</pre>
				</details>
			)}
		</div>
	)
}
