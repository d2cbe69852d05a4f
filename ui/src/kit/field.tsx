import type { ReactNode } from "react"
import { useId } from "react"
import {
	Switch as AriaSwitch,
	FieldError,
	Input,
	Label,
	Radio,
	RadioGroup,
	Text,
	TextField,
	type TextFieldProps,
} from "react-aria-components"

export const inputLook =
	"h-8 max-wide:h-11 w-full min-w-0 rounded-control border border-edge bg-surface px-2.5 text-body max-wide:text-[1rem] text-ink placeholder:text-muted data-[invalid]:border-bad data-[disabled]:opacity-60 data-[focused]:outline-2 data-[focused]:outline-leaf data-[focused]:-outline-offset-1"

interface Common {
	label: string
	hint?: ReactNode
	error?: string
}

export function Field({
	label,
	hint,
	error,
	mono,
	placeholder,
	suffix,
	autoCapitalize,
	...rest
}: Common & { mono?: boolean; placeholder?: string; suffix?: string; autoCapitalize?: string } & Omit<
		TextFieldProps,
		"className" | "children"
	>) {
	return (
		<TextField
			{...rest}
			isInvalid={!!error}
			validationBehavior="aria"
			className="flex min-w-0 flex-col gap-1"
		>
			<Label className="font-medium">{label}</Label>
			<span className="flex items-center gap-2">
				<Input
					placeholder={placeholder}
					autoCapitalize={autoCapitalize}
					className={`${inputLook} ${mono ? "font-mono text-sec" : ""}`}
				/>
				{suffix && <span className="text-muted whitespace-nowrap">{suffix}</span>}
			</span>
			{hint && !error && (
				<Text slot="description" className="text-sec text-muted">
					{hint}
				</Text>
			)}
			<FieldError className="text-sec font-medium text-bad-ink">{error}</FieldError>
		</TextField>
	)
}

/** A native select: every platform's own list, keyboard and screen reader included. */
export function Select({
	label,
	hint,
	error,
	value,
	onChange,
	options,
	hideLabel,
	isDisabled,
}: Common & {
	value: string
	onChange: (v: string) => void
	options: readonly (readonly [value: string, text: string])[]
	hideLabel?: boolean
	isDisabled?: boolean
}) {
	const id = useId()
	return (
		<div className="flex min-w-0 flex-col gap-1">
			<label htmlFor={id} className={hideLabel ? "sr-only" : "font-medium"}>
				{label}
			</label>
			<select
				id={id}
				value={value}
				disabled={isDisabled}
				onChange={(e) => onChange(e.target.value)}
				aria-invalid={!!error}
				aria-describedby={hint || error ? `${id}-about` : undefined}
				className={`${inputLook} pe-8`}
			>
				{options.map(([v, text]) => (
					<option key={v} value={v}>
						{text}
					</option>
				))}
			</select>
			{(hint || error) && (
				<span id={`${id}-about`} className={`text-sec ${error ? "font-medium text-bad-ink" : "text-muted"}`}>
					{error ?? hint}
				</span>
			)}
		</div>
	)
}

export function Switch({
	label,
	hint,
	isSelected,
	onChange,
	isDisabled,
}: {
	label: string
	hint?: ReactNode
	isSelected: boolean
	onChange: (on: boolean) => void
	isDisabled?: boolean
}) {
	return (
		<AriaSwitch
			isSelected={isSelected}
			onChange={onChange}
			isDisabled={isDisabled}
			className="group flex items-start gap-3 data-[disabled]:opacity-60"
		>
			<span className="mt-0.5 flex h-[18px] w-8 flex-none items-center rounded-full bg-edge p-0.5 transition-colors duration-[180ms] group-data-[selected]:bg-leaf-solid group-data-[focus-visible]:outline-2 group-data-[focus-visible]:outline-offset-2 group-data-[focus-visible]:outline-leaf">
				<span className="size-3.5 rounded-full bg-white transition-transform duration-[180ms] group-data-[selected]:translate-x-3.5 rtl:group-data-[selected]:-translate-x-3.5" />
			</span>
			<span>
				<span className="font-medium">{label}</span>
				{hint && <span className="block text-sec text-muted">{hint}</span>}
			</span>
		</AriaSwitch>
	)
}

/** A choice between few things, each explained. */
export function Choice({
	label,
	value,
	onChange,
	options,
}: {
	label: string
	value: string
	onChange: (v: string) => void
	options: { value: string; title: string; text: string }[]
}) {
	return (
		<RadioGroup value={value} onChange={onChange} className="flex flex-col gap-1">
			<Label className="font-medium">{label}</Label>
			<div className="grid gap-2 card:grid-cols-2">
				{options.map((o) => (
					<Radio
						key={o.value}
						value={o.value}
						className="group flex cursor-pointer gap-2.5 rounded-control border border-line p-3 hover:bg-sunken data-[selected]:border-leaf data-[selected]:bg-leaf-wash data-[focus-visible]:outline-2 data-[focus-visible]:outline-leaf"
					>
						<span className="mt-1 size-3.5 flex-none rounded-full border border-edge group-data-[selected]:border-[4.5px] group-data-[selected]:border-leaf-solid" />
						<span>
							<span className="font-medium">{o.title}</span>
							<span className="block text-sec text-muted">{o.text}</span>
						</span>
					</Radio>
				))}
			</div>
		</RadioGroup>
	)
}
