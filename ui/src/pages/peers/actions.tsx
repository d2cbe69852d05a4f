import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { KeyRound, Link2, Pencil, Power, QrCode, Trash2 } from "lucide-react"
import { useState } from "react"
import { call, errorAt, textOf } from "../../api/client"
import type { EnrolLink, Outcome, Peer, PeerOutcome } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Field } from "../../kit/field"
import { Dialog, DialogActions, Menu } from "../../kit/overlay"
import { Failed, Skeleton } from "../../kit/states"
import { Notice } from "../../kit/status"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { EditPeer } from "./edit"
import { withPort } from "./filter"
import { Handover } from "./handover"
import { LinkHandover } from "./link"

export function Actions({ peer }: { peer: Peer }) {
	const [open, show] = useState<"code" | "remove" | "edit" | "link" | "keys" | null>(null)
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
					{ id: "link", text: t("One-time link…"), icon: Link2, onAction: () => show("link") },
					{ id: "edit", text: t("Change…"), icon: Pencil, onAction: () => show("edit") },
					...(peer.hasConfig
						? [{ id: "keys", text: t("New keys…"), icon: KeyRound, onAction: () => show("keys") }]
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
			{open === "link" && <MakeLink peer={peer} url={url} onClose={close} />}
			{open === "keys" && <NewKeys peer={peer} url={url} onClose={close} />}
			{open === "edit" && <EditPeer peer={peer} url={url} onClose={close} />}
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

function MakeLink({ peer, url, onClose }: { peer: Peer; url: string; onClose: () => void }) {
	const qc = useQueryClient()
	const make = useMutation({
		mutationFn: async () => (await call<EnrolLink>(`${url}/link`, { method: "POST", body: {} })).data,
		onSuccess: () => qc.invalidateQueries({ queryKey: ["peers"] }),
	})
	return (
		<Dialog title={t("A link for {name}", { name: peer.name })} open onClose={onClose} wide>
			{make.data ? (
				<LinkHandover name={peer.name} link={make.data} />
			) : (
				<div className="flex flex-col gap-3 pt-1">
					<p>
						{t(
							"Whoever opens the link within a day sets up {name} with new keys; its present ones are worth nothing from then on. A former link ends now.",
							{ name: peer.name },
						)}
					</p>
					{make.error && <Notice tone="bad" title={textOf(make.error)} />}
					<DialogActions>
						<Button kind="quiet" onPress={onClose}>
							{t("Cancel")}
						</Button>
						<Button kind="primary" onPress={() => make.mutate()} isPending={make.isPending}>
							{t("Make the link")}
						</Button>
					</DialogActions>
				</div>
			)}
		</Dialog>
	)
}

/** New keys; the former ones stay good until the device uses the new ones. */
function NewKeys({ peer, url, onClose }: { peer: Peer; url: string; onClose: () => void }) {
	const rotate = useEdit(() => call<PeerOutcome>(`${url}/rotate`, { method: "POST", body: {} }))
	const made = rotate.data?.data
	return (
		<Dialog title={t("New keys for {name}", { name: peer.name })} open onClose={onClose} wide>
			{made ? (
				<Handover name={peer.name} config={made.config} />
			) : (
				<div className="flex flex-col gap-3 pt-1">
					<p>
						{t(
							"{name} gets a new code and file. Its present keys work until it first uses the new ones, at most for a week.",
							{ name: peer.name },
						)}
					</p>
					{rotate.error && <Notice tone="bad" title={textOf(rotate.error)} />}
					<DialogActions>
						<Button kind="quiet" onPress={onClose}>
							{t("Cancel")}
						</Button>
						<Button kind="primary" onPress={() => rotate.mutate(undefined)} isPending={rotate.isPending}>
							{t("Make new keys")}
						</Button>
					</DialogActions>
				</div>
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
