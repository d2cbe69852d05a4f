// Fields of the kit, bound to a path of the document.
import { Plus, X } from "lucide-react"
import type { ReactNode } from "react"
import { Button, IconButton } from "../kit/button"
import { Field, inputLook, Select, Switch } from "../kit/field"
import { t } from "../kit/words"
import { useDraft } from "./use"

interface Common {
	path: string
	label: string
	hint?: ReactNode
	may: boolean
}

export function DraftText({
	path,
	label,
	hint,
	may,
	stored,
	standard,
	mono,
}: Common & { stored: string | undefined; standard?: string; mono?: boolean }) {
	const d = useDraft(path, stored ?? "", "")
	return (
		<Field
			label={label}
			hint={hint}
			error={d.error}
			value={d.value}
			onChange={(v) => d.set(v.trim())}
			placeholder={standard}
			mono={mono}
			isDisabled={!may}
			autoComplete="off"
			spellCheck="false"
		/>
	)
}

export function DraftNumber({
	path,
	label,
	hint,
	may,
	stored,
	standard,
}: Common & { stored: number | undefined; standard?: number }) {
	const d = useDraft<number | undefined>(path, stored, undefined)
	return (
		<Field
			label={label}
			hint={hint}
			error={d.error}
			value={d.value === undefined ? "" : String(d.value)}
			onChange={(v) => {
				const digits = v.replace(/\D/g, "").slice(0, 6)
				d.set(digits === "" ? undefined : Number(digits))
			}}
			inputMode="numeric"
			placeholder={standard === undefined ? undefined : String(standard)}
			isDisabled={!may}
			autoComplete="off"
		/>
	)
}

export function DraftSelect({
	path,
	label,
	hint,
	may,
	stored,
	options,
}: Common & { stored: string | undefined; options: readonly (readonly [value: string, text: string])[] }) {
	const d = useDraft(path, stored ?? "", "")
	return (
		<Select
			label={label}
			hint={hint}
			error={d.error}
			value={d.value}
			onChange={d.set}
			options={options}
			isDisabled={!may}
		/>
	)
}

export function DraftSwitch({
	path,
	label,
	hint,
	may,
	stored,
	standard,
}: Common & { stored: boolean | undefined; standard: boolean }) {
	const d = useDraft<boolean>(path, stored ?? standard, standard)
	return (
		<div>
			<Switch label={label} hint={hint} isSelected={d.value} onChange={d.set} isDisabled={!may} />
			{d.error && <p className="mt-1 text-sec font-medium text-bad-ink">{d.error}</p>}
		</div>
	)
}

/** A list of words, one field each. */
export function DraftList({
	path,
	label,
	hint,
	may,
	stored,
	standard,
	placeholder,
	add,
}: Common & {
	stored: string[] | undefined
	standard?: readonly string[]
	placeholder: string
	add: string
}) {
	const d = useDraft<string[]>(path, stored ?? [], [])
	const put = (i: number, v: string) => d.set(d.value.map((old, j) => (j === i ? v.trim() : old)))
	return (
		<fieldset className="flex min-w-0 flex-col gap-1">
			<legend className="mb-1 font-medium">{label}</legend>
			<div className="flex flex-col gap-2">
				{d.value.map((v, i) => (
					// biome-ignore lint/suspicious/noArrayIndexKey: the place in the list is what is edited
					<span key={i} className="flex items-center gap-1">
						<input
							aria-label={t("{label}, line {n}", { label, n: i + 1 })}
							value={v}
							placeholder={placeholder}
							disabled={!may}
							spellCheck={false}
							autoComplete="off"
							onChange={(e) => put(i, e.target.value)}
							className={`${inputLook} font-mono text-sec focus:outline-2 focus:-outline-offset-1 focus:outline-leaf`}
						/>
						{may && (
							<IconButton
								icon={X}
								label={t("Remove {name}", { name: v || t("the empty line") })}
								onPress={() => d.set(d.value.filter((_, j) => j !== i))}
							/>
						)}
					</span>
				))}
				{d.value.length === 0 && standard && standard.length > 0 && (
					<p className="font-mono text-sec text-muted [overflow-wrap:anywhere]">
						{t("{list} (by default)", { list: standard.join(", ") })}
					</p>
				)}
				{may && (
					<span>
						<Button kind="quiet" icon={Plus} onPress={() => d.set([...d.value, ""])} className="-ms-3">
							{add}
						</Button>
					</span>
				)}
			</div>
			{d.error ? (
				<p className="text-sec font-medium text-bad-ink">{d.error}</p>
			) : (
				hint && <p className="text-sec text-muted">{hint}</p>
			)}
		</fieldset>
	)
}
