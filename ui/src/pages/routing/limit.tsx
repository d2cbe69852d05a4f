import { DraftNumber } from "../../change/fields"
import { useDraft } from "../../change/use"
import { Switch } from "../../kit/field"
import { t } from "../../kit/words"

/** A number that may also be no limit at all, which the document says by -1. */
export function DraftLimit({
	path,
	label,
	without,
	hint,
	may,
	stored,
	standard,
}: {
	path: string
	label: string
	/** The name of the switch that takes the limit away. */
	without: string
	hint: string
	may: boolean
	stored?: number
	standard: number
}) {
	const d = useDraft<number | undefined>(path, stored, undefined)
	const none = (d.value ?? 0) < 0
	return (
		<div className="grid gap-2">
			{none ? (
				<p>
					<span className="font-medium">{label}</span>
					<span className="block text-sec text-muted">{t("Any number passes.")}</span>
				</p>
			) : (
				<DraftNumber path={path} label={label} hint={hint} may={may} stored={stored} standard={standard} />
			)}
			<Switch
				label={without}
				isSelected={none}
				onChange={(on) => d.set(on ? -1 : undefined)}
				isDisabled={!may}
			/>
		</div>
	)
}
