import { useState } from "react"
import { call, errorAt, textOf, toldByFields } from "../../api/client"
import { useCells } from "../../api/hooks"
import type { Exit, ExitEdit, NewExit, Outcome } from "../../api/types"
import { useEdit } from "../../change/use"
import { Button } from "../../kit/button"
import { Field, Select } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Notice } from "../../kit/status"
import { t } from "../../kit/words"
import { addresses, nameOf } from "./exitwords"

/** Takes a provider's .conf, whose keys go into the vault, or a linked cell. */
export function AddExit({ onClose }: { onClose: () => void }) {
	const { data: cells } = useCells()
	const links = (cells?.links ?? []).map((l) => l.name)
	const [f, change] = useState({ name: "", conf: "", link: "" })
	const set = (part: Partial<typeof f>) => change({ ...f, ...part })
	const put = useEdit((body: NewExit) => call<Outcome>("/api/exits", { method: "POST", body }))
	const name = f.name.trim().toLowerCase()
	const error = (field: string) =>
		errorAt(put.error, field) ??
		errorAt(put.error, `network.exits.${name}.${field}`) ??
		errorAt(put.error, `network.exits."${name}".${field}`)
	const conf = error("conf")
	const told = toldByFields(put.error, ["conf", "name"]) || !!error("name")
	return (
		<Dialog title={t("Add an exit")} open onClose={onClose} wide>
			<form
				className="flex flex-col gap-4 pt-2"
				noValidate
				onSubmit={(e) => {
					e.preventDefault()
					put.mutate(f.link ? { name, link: f.link } : { name, conf: f.conf }, { onSuccess: onClose })
				}}
			>
				{links.length > 0 && (
					<Select
						label={t("By which way?")}
						value={f.link}
						onChange={(link) => set({ link, name: f.name || link })}
						options={[
							["", t("a WireGuard provider")],
							...links.map((l) => [l, t("the linked cell {name}", { name: l })] as const),
						]}
						hint={f.link && t("It has to let this cell out (“out” in its link to us).")}
					/>
				)}
				{!f.link && (
					<div className="flex flex-col gap-2">
						<label className="flex flex-col gap-1">
							<span className="font-medium">{t("The provider's file")}</span>
							<textarea
								value={f.conf}
								onChange={(e) => set({ conf: e.target.value })}
								rows={9}
								spellCheck={false}
								autoComplete="off"
								aria-invalid={!!conf}
								aria-describedby="exit-conf"
								placeholder={
									"[Interface]\nPrivateKey = …\nAddress = …\n\n[Peer]\nPublicKey = …\nEndpoint = …"
								}
								className="w-full rounded-control border border-edge bg-surface px-2.5 py-1.5 font-mono text-sec focus:outline-2 focus:-outline-offset-1 focus:outline-leaf"
							/>
						</label>
						<p id="exit-conf" className={`text-sec ${conf ? "font-medium text-bad-ink" : "text-muted"}`}>
							{conf ??
								t(
									"The .conf for WireGuard, pasted or chosen. Its keys go into the vault and are never shown again.",
								)}
						</p>
						<label className="flex flex-wrap items-center gap-2">
							<span className="text-muted">{t("or choose it:")}</span>
							<input
								type="file"
								accept=".conf,.txt,text/plain"
								className="min-w-0 max-w-full"
								onChange={async (e) => {
									const file = e.target.files?.[0]
									if (file) set({ conf: await file.text(), name: f.name || nameOf(file.name) })
								}}
							/>
						</label>
					</div>
				)}
				<Field
					label={t("Name")}
					value={f.name}
					onChange={(v) => set({ name: v })}
					error={error("name")}
					hint={t("As devices will have it to choose, such as oslo")}
					autoComplete="off"
					autoCapitalize="none"
					spellCheck="false"
					isRequired
				/>
				{put.error && !told && <Notice tone="bad" title={textOf(put.error)} />}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button
						kind="primary"
						type="submit"
						isDisabled={!name || !(f.link || f.conf.trim())}
						isPending={put.isPending}
					>
						{t("Add")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}

/** Says who is asked about names by the exit. */
export function NameServers({ exit, url, onClose }: { exit: Exit; url: string; onClose: () => void }) {
	const [text, set] = useState(exit.dns.join(", "))
	const put = useEdit((body: ExitEdit) => call<Outcome>(url, { method: "PUT", body }))
	return (
		<Dialog title={t("Name servers of {name}", { name: exit.name })} open onClose={onClose}>
			<form
				className="flex flex-col gap-4 pt-2"
				noValidate
				onSubmit={(e) => {
					e.preventDefault()
					put.mutate({ dns: addresses(text) }, { onSuccess: onClose })
				}}
			>
				<Field
					label={t("Name servers")}
					value={text}
					onChange={set}
					error={put.error ? textOf(put.error) : undefined}
					hint={t("Addresses, asked through the exit and by no other way. Empty: public ones.")}
					mono
					autoFocus
					autoComplete="off"
					spellCheck="false"
				/>
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isPending={put.isPending}>
						{t("Save")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}
