import { useState } from "react"
import type { PortForward } from "../../api/types"
import { Button } from "../../kit/button"
import { Field, Select } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { t } from "../../kit/words"
import { net, protocols, readNets, readPorts } from "./forward"
import { useDevices } from "./known"

const other = "other"

export function EditForward({
	forward: f,
	taken,
	onSave,
	onClose,
}: {
	forward?: PortForward
	taken: readonly string[]
	onSave: (f: PortForward) => void
	onClose: () => void
}) {
	const devices = useDevices()
	const [form, change] = useState({
		name: f?.name ?? "",
		protocol: f?.protocol || "tcp",
		ports: f ? (f.last && f.last !== f.port ? `${f.port}-${f.last}` : String(f.port)) : "",
		to: f?.to ?? "",
		toPort: f?.toPort ? String(f.toPort) : "",
		from: (f?.from ?? []).map(net).join(", "),
	})
	const [typed, type] = useState(false)
	const set = (part: Partial<typeof form>) => change({ ...form, ...part })
	const range = readPorts(form.ports)
	const known = devices.some((d) => d.address === form.to)
	const free = typed || devices.length === 0 || (form.to !== "" && !known)
	const name = form.name.trim().toLowerCase()
	const twice = name !== f?.name && taken.includes(name)
	return (
		<Dialog title={f ? t("Change {name}", { name: f.name }) : t("Add a port forward")} open onClose={onClose}>
			<form
				className="flex flex-col gap-4 pt-2"
				noValidate
				onSubmit={(e) => {
					e.preventDefault()
					if (!range) return
					const from = readNets(form.from)
					onSave({
						name,
						protocol: form.protocol === "tcp" ? undefined : form.protocol,
						...range,
						to: form.to.trim(),
						toPort: Number(form.toPort) || undefined,
						from: from.length ? from : undefined,
						disabled: f?.disabled,
					})
				}}
			>
				<Field
					label={t("Name")}
					value={form.name}
					onChange={(v) => set({ name: v })}
					error={twice ? t("There is a forward of that name.") : undefined}
					hint={t("One word, such as game or camera")}
					autoFocus
					autoComplete="off"
					autoCapitalize="none"
					spellCheck="false"
					isRequired
				/>
				<div className="grid gap-4 card:grid-cols-2">
					<Select
						label={t("Protocol")}
						value={form.protocol}
						onChange={(protocol) => set({ protocol })}
						options={Object.entries(protocols)}
					/>
					<Field
						label={t("Port on the internet side")}
						value={form.ports}
						onChange={(v) => set({ ports: v })}
						error={
							form.ports && !range ? t("A port is 1 to 65535; a range is such as 8000-8010.") : undefined
						}
						hint={t("Or a range: 8000-8010")}
						autoComplete="off"
						isRequired
					/>
				</div>
				{devices.length > 0 && (
					<Select
						label={t("Device")}
						value={free ? other : form.to}
						onChange={(v) => {
							type(v === other)
							set({ to: v === other ? "" : v })
						}}
						options={[
							...(form.to || free ? [] : [["", t("choose…")] as const]),
							...devices.map((d) => [d.address, `${d.name} (${d.address})`] as const),
							[other, t("another address")],
						]}
					/>
				)}
				<div className="grid gap-4 card:grid-cols-2">
					{free && (
						<Field
							label={t("Address of the device")}
							value={form.to}
							onChange={(to) => set({ to })}
							placeholder="192.168.1.10"
							mono
							autoComplete="off"
							spellCheck="false"
							isRequired
						/>
					)}
					<Field
						label={t("Port of the device")}
						value={form.toPort}
						onChange={(v) => set({ toPort: v.replace(/\D/g, "").slice(0, 5) })}
						hint={t("Left empty: the same")}
						inputMode="numeric"
						autoComplete="off"
					/>
				</div>
				<Field
					label={t("Who may use it")}
					value={form.from}
					onChange={(v) => set({ from: v })}
					placeholder={t("everybody")}
					hint={t("Addresses or networks, such as 203.0.113.0/24")}
					mono={form.from !== ""}
					autoComplete="off"
					spellCheck="false"
				/>
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isDisabled={!name || twice || !range || !form.to.trim()}>
						{f ? t("Keep") : t("Add to the changes")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}
