import { type FormEvent, useState } from "react"
import { call, errorAt, textOf, toldByFields } from "../../api/client"
import { useResolved, useSession, useUsers } from "../../api/hooks"
import type { PeerOutcome } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Choice, Field, Select } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Notice } from "../../kit/status"
import { t } from "../../kit/words"
import { isLoopback } from "../../parts/peer"
import { type Form, label, request, withPort } from "./filter"
import { Handover } from "./handover"
import { kindOptions } from "./kinds"
import { LinkHandover } from "./link"

const fields = ["name", "owner", "endpoint", "publicKey"]

/** Asks for a device, makes it, and hands over what the device needs. */
export function AddPeer({ onClose }: { onClose: () => void }) {
	const { data: me } = useSession()
	const { data: users } = useUsers()
	const { data: doc } = useResolved()
	const [form, change] = useState<Form>({
		name: "",
		owner: me?.user ?? "",
		device: "",
		tunnel: "full",
		how: "now",
		endpoint: "",
		publicKey: "",
	})
	const port = doc?.wireguard?.port ?? 51820
	const set = (part: Partial<Form>) => change({ ...form, ...part })
	const add = useEdit((f: Form) =>
		call<PeerOutcome>("/api/peers", { method: "POST", body: request(f, port) }),
	)
	const submit = (e: FormEvent) => {
		e.preventDefault()
		add.mutate(form)
	}
	const made = add.data?.data
	if (made?.peer) {
		const { peer, config, link } = made
		return (
			<Dialog title={t("{name} may come in", { name: peer.name })} open onClose={onClose} wide>
				{link ? (
					<LinkHandover name={peer.name} link={link} />
				) : (
					<Handover name={peer.name} config={config} endpoint={withPort(form.endpoint, port)} />
				)}
				<DialogActions>
					<Button kind="primary" onPress={onClose}>
						{t("Done")}
					</Button>
				</DialogActions>
			</Dialog>
		)
	}
	const name = label(form.name)
	const known = doc?.wireguard?.endpoint ?? ""
	const here = !known || isLoopback(known)
	const endpoint = (
		<Field
			label={t("Where the device finds the cell")}
			value={form.endpoint}
			onChange={(v) => set({ endpoint: v })}
			error={errorAt(add.error, "endpoint")}
			placeholder={here ? `home.example.org:${port}` : known}
			hint={
				here
					? t(
							"Host and port as seen from the internet. Without it, only this host itself finds the cell. Say it once for all on the page WireGuard.",
						)
					: t("Only if it differs for this device.")
			}
			mono
			autoComplete="off"
			spellCheck="false"
		/>
	)
	return (
		<Dialog title={t("Add a device")} open onClose={onClose}>
			<form onSubmit={submit} className="flex flex-col gap-4 pt-2" noValidate>
				<Field
					label={t("Name")}
					value={form.name}
					onChange={(v) => set({ name: v })}
					error={errorAt(add.error, "name")}
					hint={
						name && doc?.cell.domain
							? t("Its name in the network: {name}", { name: `${name}.vpn.${doc.cell.domain}` })
							: t("Such as phone or laptop")
					}
					autoFocus
					autoComplete="off"
					isRequired
				/>
				<Select
					label={t("What is it?")}
					value={form.device}
					onChange={(v) => set({ device: v })}
					error={errorAt(add.error, "device")}
					options={kindOptions}
				/>
				{users && users.length > 1 && (
					<Select
						label={t("Whose is it?")}
						value={form.owner}
						onChange={(v) => set({ owner: v })}
						error={errorAt(add.error, "owner")}
						options={[
							["", t("nobody's in particular")],
							...users.map((u) => [u.name, u.display || u.name] as const),
						]}
					/>
				)}
				<Choice
					label={t("What goes through the cell?")}
					value={form.tunnel}
					onChange={(v) => set({ tunnel: v as Form["tunnel"] })}
					options={[
						{
							value: "full",
							title: t("Everything"),
							text: t("Safe in foreign networks; needs the cell to be reachable."),
						},
						{
							value: "split",
							title: t("Only the cell and the home network"),
							text: t("The rest goes its usual way."),
						},
					]}
				/>
				<Choice
					label={t("How does it get its key?")}
					value={form.how}
					onChange={(v) => set({ how: v as Form["how"] })}
					options={[
						{ value: "now", title: t("Code or file, now"), text: t("The device is at hand.") },
						{
							value: "link",
							title: t("One-time link"),
							text: t("To be opened on the device within a day. It makes its own key."),
						},
					]}
				/>
				{here && endpoint}
				<details
					className="group"
					open={!!errorAt(add.error, "endpoint") || !!errorAt(add.error, "publicKey") || undefined}
				>
					<summary className="cursor-pointer text-muted hover:text-ink">{t("More")}</summary>
					<div className="mt-3 flex flex-col gap-4">
						{!here && endpoint}
						<Field
							label={t("Its public key")}
							value={form.publicKey}
							onChange={(v) => set({ publicKey: v })}
							error={errorAt(add.error, "publicKey")}
							hint={t("Only if the device made its key itself. Else the cell makes one.")}
							mono
							autoComplete="off"
						/>
					</div>
				</details>
				{add.error && !toldByFields(add.error, fields) && <Notice tone="bad" title={textOf(add.error)} />}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isDisabled={!name} isPending={add.isPending}>
						{add.isPending ? t("Adding…") : t("Add")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}
