import { useMutation, useQuery } from "@tanstack/react-query"
import { Copy as CopyIcon, Download } from "lucide-react"
import { useEffect, useState } from "react"
import { call, Problem, textOf } from "../../api/client"
import type { Enrolment } from "../../api/types"
import { Button } from "../../kit/button"
import { moment } from "../../kit/format"
import { QR } from "../../kit/qr"
import { Skeleton } from "../../kit/states"
import { Notice } from "../../kit/status"
import { copyText, save } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { makeKeys, withKey } from "./keys"

interface Done extends Enrolment {
	config: string
	own: boolean
}

/** What a one-time link opens, for somebody who is not signed in. */
export default function Enrol() {
	// The token is taken once; the address forgets it when it is used up.
	const [token] = useState(() => location.hash.slice(1))
	useEffect(() => {
		document.title = t("Join the network · Personal Internet Cell")
	}, [])
	const about = useQuery({
		queryKey: ["enrol"],
		queryFn: async () => (await call<Enrolment>("/api/enrol/look", { method: "POST", body: { token } })).data,
		enabled: token !== "",
		retry: (n, err) => n < 2 && err instanceof Problem && err.status === 0,
		refetchOnWindowFocus: false,
		staleTime: Number.POSITIVE_INFINITY,
	})
	const join = useMutation({
		mutationFn: async (): Promise<Done> => {
			const keys = await makeKeys()
			const { data } = await call<Enrolment>("/api/enrol", {
				method: "POST",
				body: { token, publicKey: keys?.public },
			})
			const config = data.config ?? ""
			return { ...data, own: !!keys, config: keys ? withKey(config, keys.private) : config }
		},
		onSuccess: () => history.replaceState(null, "", "/enrol"),
	})
	const failure = about.error ?? (token ? null : t("This link is not whole: what follows the # is missing."))
	return (
		<main className="mx-auto max-w-[680px] p-6 max-wide:p-4">
			<img src="/favicon.svg" alt="" width={36} height={36} />
			{join.data ? (
				<Result d={join.data} />
			) : failure ? (
				<>
					<h1 className="mt-4 text-title font-strong tracking-[-0.01em]">{t("This link opens nothing")}</h1>
					<div className="mt-4">
						<Notice tone="bad" title={typeof failure === "string" ? failure : textOf(failure)} />
					</div>
				</>
			) : !about.data ? (
				<Skeleton />
			) : (
				<>
					<h1 className="mt-4 text-title font-strong tracking-[-0.01em]">
						{t("{name} joins {cell}", { name: about.data.name, cell: about.data.cell })}
					</h1>
					<p className="mt-1 max-w-[60ch] text-muted">
						{t(
							"{by} made this link. It works once, until {end}. Open it on the device itself, or on a computer to scan the code with the device.",
							{ by: about.data.by, end: moment(about.data.expires) },
						)}
					</p>
					{join.error && (
						<div className="mt-4">
							<Notice tone="bad" title={textOf(join.error)} />
						</div>
					)}
					<Button kind="primary" onPress={() => join.mutate()} isPending={join.isPending} className="mt-5">
						{join.isPending ? t("Making the keys…") : t("Set up {name}", { name: about.data.name })}
					</Button>
				</>
			)}
		</main>
	)
}

function Result({ d }: { d: Done }) {
	const file = `${d.name}.conf`
	const code = <QR text={d.config} label={t("QR code with the configuration of {name}", { name: d.name })} />
	const download = (
		<Button kind="primary" icon={Download} onPress={() => save(file, d.config)}>
			{t("Download {file}", { file })}
		</Button>
	)
	// A phone cannot scan its own screen: there the file comes first.
	const phone = matchMedia("(pointer: coarse)").matches
	return (
		<>
			<h1 className="mt-4 text-title font-strong tracking-[-0.01em]">
				{t("{name} may come in", { name: d.name })}
			</h1>
			<div className="mt-4 grid gap-5 card:grid-cols-[272px_1fr]">
				{!phone && code}
				<div className="flex min-w-0 flex-col gap-3">
					<ol className="flex list-decimal flex-col gap-1.5 ps-4 marker:text-muted">
						<li>{t("Install the WireGuard app on the device.")}</li>
						<li>
							{phone
								? t("Download the file and open it with WireGuard, or choose “Import from file” there.")
								: t("Choose “Add a tunnel”, then “Scan from QR code”; or import the file on this computer.")}
						</li>
						<li>{t("Switch the tunnel on.")}</li>
					</ol>
					<div className="flex flex-wrap gap-2">
						{download}
						<Button
							icon={CopyIcon}
							onPress={() =>
								copyText(d.config).then((ok) => toast(ok ? t("Copied.") : t("The browser refused to copy.")))
							}
						>
							{t("Copy as text")}
						</Button>
					</div>
				</div>
				{phone && code}
			</div>
			<div className="mt-5">
				<Notice tone="warn" title={t("This is shown once")}>
					{d.own
						? t("The key was made in this browser and is nowhere else. Save it before you close the page.")
						: t(
								"The cell made the key and has forgotten it. Save it before you close the page. Over HTTPS the browser makes the key itself.",
							)}
				</Notice>
			</div>
		</>
	)
}
