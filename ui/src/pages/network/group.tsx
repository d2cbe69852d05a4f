import { Plus, Trash2 } from "lucide-react"
import { type FormEvent, useState } from "react"
import { ToggleButton, ToggleButtonGroup } from "react-aria-components"
import type { FilterGroup, Schedule } from "../../api/types"
import { Button, IconButton } from "../../kit/button"
import { Field, Select, Switch } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { t } from "../../kit/words"
import { days, isTime, lines } from "./rules"
import { Choose } from "./services"

/** Changes one group. It becomes a draft; nothing is in force before Apply. */
export function EditGroup({
	group,
	taken,
	lists,
	onSave,
	onClose,
}: {
	group: FilterGroup | undefined
	taken: string[]
	lists: string[]
	onSave: (g: FilterGroup) => void
	onClose: () => void
}) {
	const [g, set] = useState<FilterGroup>(group ?? { name: "" })
	const [rules, setRules] = useState((group?.rules ?? []).join("\n"))
	const name = g.name.trim()
	const clash = name !== group?.name && taken.includes(name)
	const bad = (g.schedules ?? []).some((s) => !isTime(s.from) || !isTime(s.to))
	const submit = (e: FormEvent) => {
		e.preventDefault()
		const own = lines(rules)
		onSave({ ...g, name, rules: own.length ? own : undefined })
	}
	return (
		<Dialog
			title={group ? t("Group {name}", { name: group.name }) : t("A new group")}
			open
			onClose={onClose}
			wide
		>
			<form onSubmit={submit} noValidate className="flex flex-col gap-4 pt-2">
				<Field
					label={t("Name")}
					value={g.name}
					onChange={(name) => set({ ...g, name })}
					error={clash ? t("There is a group of that name.") : undefined}
					placeholder={t("Children")}
					autoComplete="off"
					autoFocus
				/>
				<Switch
					label={t("Filter nothing")}
					hint={t("For devices that must reach everything.")}
					isSelected={!!g.off}
					onChange={(off) => set({ ...g, off: off || undefined })}
				/>
				{!g.off && (
					<>
						{lists.length > 0 && (
							<Lists
								all={lists}
								chosen={g.lists ?? []}
								set={(l) => set({ ...g, lists: l.length ? l : undefined })}
							/>
						)}
						<Area label={t("Rules")} hint={t("One a line.")} value={rules} onChange={setRules} />
						<Select
							label={t("Safe search")}
							value={g.safeSearch === undefined ? "" : g.safeSearch ? "on" : "off"}
							onChange={(v) => set({ ...g, safeSearch: v === "" ? undefined : v === "on" })}
							options={[
								["", t("as for everybody")],
								["on", t("on")],
								["off", t("off")],
							]}
						/>
						<section aria-label={t("Blocked services")}>
							<h3 className="mb-1 font-medium">{t("Blocked services")}</h3>
							<Choose
								label={t("Blocked services")}
								value={g.services ?? []}
								onChange={(s) => set({ ...g, services: s.length ? s : undefined })}
								may
							/>
						</section>
						<Schedules
							value={g.schedules ?? []}
							set={(s) => set({ ...g, schedules: s.length ? s : undefined })}
						/>
					</>
				)}
				<Switch
					label={t("Keep its queries out of the log")}
					isSelected={!!g.unlogged}
					onChange={(on) => set({ ...g, unlogged: on || undefined })}
				/>
				<DialogActions>
					<Button onPress={onClose}>{t("Cancel")}</Button>
					<Button type="submit" kind="primary" isDisabled={!name || clash || bad}>
						{group ? t("Change") : t("Add")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}

function Lists({ all, chosen, set }: { all: string[]; chosen: string[]; set: (l: string[]) => void }) {
	return (
		<div>
			<p className="mb-1 font-medium">{t("Lists")}</p>
			<Toggles label={t("Lists")} all={all.map((l) => [l, l] as const)} chosen={chosen} set={set} />
			<p className="mt-1 text-sec text-muted">{t("None chosen: all of them.")}</p>
		</div>
	)
}

function Toggles({
	label,
	all,
	chosen,
	set,
}: {
	label: string
	all: readonly (readonly [id: string, text: string])[]
	chosen: string[]
	set: (ids: string[]) => void
}) {
	return (
		<ToggleButtonGroup
			aria-label={label}
			selectionMode="multiple"
			selectedKeys={chosen}
			onSelectionChange={(keys) => set(all.map(([id]) => id).filter((id) => keys.has(id)))}
			className="flex flex-wrap gap-1"
		>
			{all.map(([id, text]) => (
				<ToggleButton
					key={id}
					id={id}
					className="h-8 max-wide:h-11 rounded-control border border-line px-2.5 text-muted data-[selected]:border-leaf data-[selected]:bg-leaf-wash data-[selected]:text-ink data-[focus-visible]:outline-2 data-[focus-visible]:outline-leaf"
				>
					{text}
				</ToggleButton>
			))}
		</ToggleButtonGroup>
	)
}

function Area({
	label,
	hint,
	value,
	onChange,
}: {
	label: string
	hint: string
	value: string
	onChange: (v: string) => void
}) {
	return (
		<label className="flex flex-col gap-1">
			<span className="font-medium">{label}</span>
			<textarea
				value={value}
				onChange={(e) => onChange(e.target.value)}
				rows={3}
				spellCheck={false}
				className="w-full rounded-control border border-edge bg-surface px-2.5 py-1.5 font-mono text-sec focus:outline-2 focus:-outline-offset-1 focus:outline-leaf"
			/>
			<span className="text-sec text-muted">{hint}</span>
		</label>
	)
}

function Schedules({ value, set }: { value: Schedule[]; set: (s: Schedule[]) => void }) {
	const put = (i: number, change: Partial<Schedule>) =>
		set(value.map((s, j) => (j === i ? { ...s, ...change } : s)))
	return (
		<section aria-label={t("Hours of rest")} className="flex flex-col gap-3">
			<div>
				<h3 className="font-medium">{t("Hours of rest")}</h3>
				<p className="text-sec text-muted">{t("Nothing outside of the house is resolved then.")}</p>
			</div>
			{value.map((s, i) => (
				// biome-ignore lint/suspicious/noArrayIndexKey: the place in the list is what is edited
				<div key={i} className="flex flex-wrap items-end gap-2 rounded-control bg-sunken p-3">
					<Toggles
						label={t("Days")}
						all={days.map(([id, day]) => [id, day.slice(0, 2)] as const)}
						chosen={s.days ?? []}
						set={(d) => put(i, { days: d.length ? d : undefined })}
					/>
					<span className="w-24">
						<Field
							label={t("From")}
							value={s.from}
							onChange={(from) => put(i, { from })}
							error={isTime(s.from) ? undefined : t("such as 21:30")}
							mono
						/>
					</span>
					<span className="w-24">
						<Field
							label={t("To")}
							value={s.to}
							onChange={(to) => put(i, { to })}
							error={isTime(s.to) ? undefined : t("such as 07:00")}
							mono
						/>
					</span>
					<IconButton
						icon={Trash2}
						label={t("Remove these hours")}
						onPress={() => set(value.filter((_, j) => j !== i))}
					/>
				</div>
			))}
			<span>
				<Button
					kind="quiet"
					icon={Plus}
					onPress={() => set([...value, { from: "21:30", to: "07:00" }])}
					className="-ms-3"
				>
					{t("Add hours of rest")}
				</Button>
			</span>
		</section>
	)
}
