import { type FormEvent, useState } from "react"
import { useLocation } from "wouter"
import { call, errorAt, textOf, toldByFields } from "../../api/client"
import { useGroups, useSession, useUsers } from "../../api/hooks"
import type { Peer, PeerEdit, PeerOutcome } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Field, Select, Switch } from "../../kit/field"
import { happened } from "../../kit/format"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Notice } from "../../kit/status"
import { t } from "../../kit/words"
import { label } from "./filter"
import { kindOptions } from "./kinds"

const never = "0001-01-01T00:00:00Z"

/** A time as the field for local times wants it. */
function local(at: string | undefined): string {
	if (!happened(at)) return ""
	const d = new Date(at)
	return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

const words = (text: string) => text.split(/[\s,]+/).filter(Boolean)

/** Changes what is not about rights. What stays as it is, is not asked for. */
export function EditPeer({ peer: p, url, onClose }: { peer: Peer; url: string; onClose: () => void }) {
	const { data: me } = useSession()
	const { data: users } = useUsers()
	const { data: groups } = useGroups()
	const [path, go] = useLocation()
	const admin = me?.role === "admin"
	const before = {
		name: p.name,
		owner: p.owner ?? "",
		device: p.device ?? "",
		split: p.split,
		dns: (p.dns ?? []).join(", "),
		keepalive: String(p.keepalive),
		mac: p.mac ?? "",
		expires: local(p.expires),
		site: (p.site ?? []).join(", "),
		groups: p.groups ?? [],
	}
	const [f, set] = useState(before)
	const save = useEdit(async () => {
		const e: PeerEdit = {}
		if (f.name !== before.name) e.name = label(f.name)
		if (f.device !== before.device) e.device = f.device
		if (f.split !== before.split) e.split = f.split
		if (f.dns !== before.dns) e.dns = words(f.dns)
		if (f.keepalive !== before.keepalive) e.keepalive = Number(f.keepalive) || -1
		if (f.mac !== before.mac) e.mac = f.mac.trim().toLowerCase()
		if (f.owner !== before.owner) e.owner = f.owner
		if (f.site !== before.site) e.site = words(f.site)
		if (f.groups !== before.groups) e.groups = f.groups
		if (f.expires !== before.expires) e.expires = f.expires ? new Date(f.expires).toISOString() : never
		return call<PeerOutcome>(url, { method: "PUT", body: e })
	})
	const at = (field: string) => errorAt(save.error, field) ?? errorAt(save.error, `peers.${p.name}.${field}`)
	const fields = ["name", "owner", "device", "dns", "keepalive", "mac", "expires", "site"]
	const submit = (e: FormEvent) => {
		e.preventDefault()
		save.mutate(undefined, {
			onSuccess: ({ data }) => {
				onClose()
				if (data.peer && path.startsWith("/peers/device/"))
					go(`/peers/device/${data.peer.name}`, { replace: true })
			},
		})
	}
	const text = (field: "name" | "dns" | "mac" | "site", name: string, hint: string, mono = true) => (
		<Field
			label={name}
			value={f[field]}
			onChange={(v) => set({ ...f, [field]: v })}
			error={at(field)}
			hint={hint}
			mono={mono}
			autoComplete="off"
			spellCheck="false"
		/>
	)
	return (
		<Dialog title={t("Change {name}", { name: p.name })} open onClose={onClose}>
			<form onSubmit={submit} noValidate className="flex flex-col gap-4 pt-2">
				{text("name", t("Name"), t("Its name in the network changes with it."), false)}
				<Select
					label={t("What is it?")}
					value={f.device}
					onChange={(device) => set({ ...f, device })}
					options={kindOptions}
				/>
				{admin && (
					<Select
						label={t("Whose is it?")}
						value={f.owner}
						onChange={(owner) => set({ ...f, owner })}
						error={at("owner")}
						options={[
							["", t("nobody's in particular")],
							...(users ?? []).map((u) => [u.name, u.display || u.name] as const),
						]}
					/>
				)}
				{admin && (
					<Field
						label={t("Shut out on")}
						type="datetime-local"
						value={f.expires}
						onChange={(expires) => set({ ...f, expires })}
						error={at("expires")}
						hint={t("For guests. Empty: never.")}
					/>
				)}
				{admin && !!groups?.length && (
					<fieldset className="flex flex-col gap-1">
						<legend className="font-medium">{t("Groups")}</legend>
						<div className="flex flex-wrap gap-x-5">
							{groups.map((g) => (
								<label key={g.name} className="flex min-h-6 items-center gap-2 max-wide:min-h-11">
									<input
										type="checkbox"
										checked={f.groups.includes(g.name)}
										onChange={(e) =>
											set({
												...f,
												groups: e.target.checked
													? [...f.groups, g.name]
													: f.groups.filter((n) => n !== g.name),
											})
										}
										className="size-4 accent-[var(--c-leaf-solid)]"
									/>
									{g.name}
								</label>
							))}
						</div>
					</fieldset>
				)}
				<Switch
					label={t("Only the cell and the home network go through the tunnel")}
					hint={t("A change of this and of what follows needs the device's file anew.")}
					isSelected={f.split}
					onChange={(split) => set({ ...f, split })}
				/>
				<details className="group">
					<summary className="cursor-pointer text-muted hover:text-ink">{t("More")}</summary>
					<div className="mt-3 flex flex-col gap-4">
						{text("dns", t("Name servers"), t("Addresses. Empty: the cell."))}
						<Field
							label={t("Sign of life every")}
							value={f.keepalive}
							onChange={(keepalive) => set({ ...f, keepalive: keepalive.replace(/[^\d-]/g, "") })}
							error={at("keepalive")}
							hint={t("Keeps routers in between from forgetting it. -1: none.")}
							suffix={t("s")}
							inputMode="numeric"
							autoComplete="off"
						/>
						{text("mac", t("Hardware address"), t("To wake it up, such as 02:00:5e:10:00:01"))}
						{admin && text("site", t("Networks behind it"), t("Such as 192.168.9.0/24 of a holiday home"))}
					</div>
				</details>
				{save.error && !toldByFields(save.error, fields) && <Notice tone="bad" title={textOf(save.error)} />}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isPending={save.isPending}>
						{t("Save")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}
