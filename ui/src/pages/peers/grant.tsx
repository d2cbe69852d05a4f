import { type FormEvent, useState } from "react"
import { textOf } from "../../api/client"
import { useCells, useGroups, usePeers, useResolved } from "../../api/hooks"
import type { PeerRights, Right } from "../../api/types"
import { Button } from "../../kit/button"
import { Select } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Notice } from "../../kit/status"
import { t } from "../../kit/words"
import { askFor, formOf, type RightsForm } from "./rights"

const services: readonly (readonly [string, string])[] = [
	["ntp", t("Time")],
	["web", t("Web UI")],
	["proxy", t("Web pages")],
	["mail", t("Mail")],
]

/** Says what a device or a group may reach. */
export function Grant({
	title,
	name,
	chosen,
	now,
	pending,
	error,
	onSave,
	onClose,
}: {
	title: string
	name: string
	chosen: PeerRights
	/** What holds now, for the words of what is inherited. */
	now?: Right[]
	pending: boolean
	error: unknown
	onSave: (r: PeerRights) => void
	onClose: () => void
}) {
	const [f, set] = useState<RightsForm>(formOf(chosen))
	const { data: peers } = usePeers()
	const { data: groups } = useGroups()
	const { data: cells } = useCells()
	const { data: doc } = useResolved()
	const inherited = (k: string) => {
		const r = now?.find((r) => r.name === k && r.source !== "own")
		return r ? t("As groups and defaults say: {what}", { what: r.text }) : t("As groups and defaults say")
	}
	const flag = (k: "internet" | "lan" | "fallback", label: string) => (
		<Select
			label={label}
			value={f[k]}
			onChange={(v) => set({ ...f, [k]: v })}
			options={[
				["", inherited(k)],
				["yes", t("Yes")],
				["no", t("No")],
			]}
		/>
	)
	const list = (
		k: "services" | "peers" | "cells",
		label: string,
		options: readonly (readonly [string, string])[],
	) => (
		<Names
			label={label}
			value={f[k]}
			inherited={inherited(k)}
			options={options}
			onChange={(v) => set({ ...f, [k]: v })}
		/>
	)
	const submit = (e: FormEvent) => {
		e.preventDefault()
		onSave(askFor(f))
	}
	const others = [...(peers ?? []).map((p) => p.name), ...(groups ?? []).map((g) => g.name)].filter(
		(n) => n !== name,
	)
	const links = (cells?.links ?? []).map((l) => [l.name, l.name] as const)
	const exits = (doc?.network?.exits ?? []).map((e) => [e.name, e.name] as const)
	return (
		<Dialog title={title} open onClose={onClose} wide>
			<form onSubmit={submit} noValidate className="flex flex-col gap-4 pt-2">
				{flag("internet", t("The internet"))}
				{exits.length > 0 && (
					<>
						<Select
							label={t("By which way?")}
							value={f.exit}
							onChange={(v) => set({ ...f, exit: v })}
							options={[["", inherited("exit")], ["none", t("The cell's own line")], ...exits]}
						/>
						{flag("fallback", t("The cell's own line while the exit is down"))}
					</>
				)}
				{flag("lan", t("The LAN"))}
				{list("services", t("Services of the cell (DNS is always there)"), services)}
				{list(
					"peers",
					t("Other devices"),
					others.map((n) => [n, n] as const),
				)}
				{links.length > 0 && list("cells", t("Linked cells"), links)}
				{!!error && <Notice tone="bad" title={textOf(error)} />}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isPending={pending}>
						{t("Save")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}

/** Some of a list of names, all, none, or what others say. */
function Names({
	label,
	value,
	inherited,
	options,
	onChange,
}: {
	label: string
	value: readonly string[] | null
	inherited: string
	options: readonly (readonly [string, string])[]
	onChange: (v: readonly string[] | null) => void
}) {
	const [some, choose] = useState(value !== null && !value.includes("all") && !value.includes("none"))
	const how = value === null ? "" : some ? "some" : value.includes("all") ? "all" : "none"
	const picked = (value ?? []).filter((n) => n !== "none" && n !== "all")
	return (
		<div className="flex flex-col gap-2">
			<Select
				label={label}
				value={how}
				onChange={(v) => {
					choose(v === "some")
					onChange(v === "" ? null : v === "some" ? [] : [v])
				}}
				options={[
					["", inherited],
					["all", t("All")],
					["none", t("None")],
					...(options.length > 0 ? ([["some", t("Only those chosen")]] as const) : []),
				]}
			/>
			{how === "some" && (
				<fieldset className="flex flex-wrap gap-x-5 gap-y-1">
					<legend className="sr-only">{label}</legend>
					{options.map(([id, text]) => (
						<label key={id} className="flex min-h-6 items-center gap-2 max-wide:min-h-11">
							<input
								type="checkbox"
								checked={picked.includes(id)}
								onChange={(e) =>
									onChange(e.target.checked ? [...picked, id] : picked.filter((n) => n !== id))
								}
								className="size-4 accent-[var(--c-leaf-solid)]"
							/>
							{text}
						</label>
					))}
				</fieldset>
			)}
		</div>
	)
}
