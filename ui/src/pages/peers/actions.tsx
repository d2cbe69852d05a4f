import { useQuery } from "@tanstack/react-query"
import { Power, QrCode, Trash2 } from "lucide-react"
import { useState } from "react"
import { call, errorAt, textOf } from "../../api/client"
import type { Outcome, Peer, PeerOutcome } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Field } from "../../kit/field"
import { Dialog, DialogActions, Menu } from "../../kit/overlay"
import { Failed, Skeleton } from "../../kit/states"
import { Notice } from "../../kit/status"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { withPort } from "./filter"
import { Handover } from "./handover"

export function Actions({ peer }: { peer: Peer }) {
	const [open, show] = useState<"code" | "remove" | null>(null)
	const url = `/api/peers/${encodeURIComponent(peer.name)}`
	const toggle = useEdit((disabled: boolean) => call<PeerOutcome>(url, { method: "PUT", body: { disabled } }))
	const close = () => show(null)
	return (
		<>
			<Menu
				label={t("What to do with {name}", { name: peer.name })}
				entries={[
					...(peer.hasConfig
						? [{ id: "code", text: t("Show code and file"), icon: QrCode, onAction: () => show("code") }]
						: []),
					{
						id: "power",
						text: peer.disabled ? t("Switch on") : t("Switch off"),
						icon: Power,
						onAction: () => toggle.mutate(!peer.disabled, { onError: (err) => toast(textOf(err)) }),
					},
					{ id: "remove", text: t("Remove…"), icon: Trash2, danger: true, onAction: () => show("remove") },
				]}
			/>
			{open === "code" && <Code peer={peer} url={url} onClose={close} />}
			{open === "remove" && <Remove peer={peer} url={url} onClose={close} />}
		</>
	)
}

function Code({ peer, url, onClose }: { peer: Peer; url: string; onClose: () => void }) {
	const [typed, type] = useState("")
	const [endpoint, choose] = useState("")
	const config = useQuery({
		queryKey: ["peers", peer.name, "config", endpoint],
		queryFn: async () => (await call<string>(`${url}/config`, { as: "text", query: { endpoint } })).data,
		gcTime: 0,
		retry: false,
	})
	const unknown = errorAt(config.error, "endpoint")
	return (
		<Dialog title={t("Connect {name}", { name: peer.name })} open onClose={onClose} wide>
			{config.data ? (
				<Handover name={peer.name} config={config.data} endpoint={endpoint} />
			) : unknown ? (
				<form
					noValidate
					className="flex flex-col gap-4 pt-2"
					onSubmit={(e) => {
						e.preventDefault()
						choose(withPort(typed, 51820))
					}}
				>
					<Field
						label={t("Where the device finds the cell")}
						value={typed}
						onChange={type}
						error={endpoint && unknown}
						hint={t(
							"Host and port as seen from the internet. Say it once for all devices on the page WireGuard.",
						)}
						placeholder="home.example.org:51820"
						mono
						autoFocus
						autoComplete="off"
					/>
					<DialogActions>
						<Button kind="primary" type="submit" isDisabled={!typed.trim()}>
							{t("Show code and file")}
						</Button>
					</DialogActions>
				</form>
			) : config.error ? (
				<Failed text={textOf(config.error)} retry={() => config.refetch()} />
			) : (
				<Skeleton />
			)}
		</Dialog>
	)
}

/** Names what is lost before it is. */
function Remove({ peer, url, onClose }: { peer: Peer; url: string; onClose: () => void }) {
	const remove = useEdit(() => call<Outcome>(url, { method: "DELETE" }))
	return (
		<Dialog title={t("Remove {name}?", { name: peer.name })} open onClose={onClose} role="alertdialog">
			<ul className="flex list-disc flex-col gap-1 ps-4 pt-1 marker:text-muted">
				<li>{t("Its connection ends at once, and it cannot come back with its present code or file.")}</li>
				<li>{t("Its address {address} and its name are free for others.", { address: peer.address })}</li>
				{peer.owner && <li>{t("Mail, calendars and files of {owner} stay.", { owner: peer.owner })}</li>}
			</ul>
			{remove.error && (
				<div className="mt-3">
					<Notice tone="bad" title={textOf(remove.error)} />
				</div>
			)}
			<DialogActions>
				<Button kind="quiet" onPress={onClose} autoFocus>
					{t("Keep it")}
				</Button>
				<Button
					kind="danger"
					onPress={() => remove.mutate(undefined, { onSuccess: onClose })}
					isPending={remove.isPending}
				>
					{t("Remove {name}", { name: peer.name })}
				</Button>
			</DialogActions>
		</Dialog>
	)
}
