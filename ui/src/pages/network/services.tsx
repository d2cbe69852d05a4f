import { Check } from "lucide-react"
import { Checkbox, CheckboxGroup, Label } from "react-aria-components"
import { useDNSServices } from "../../api/hooks"
import { DraftSwitch } from "../../change/fields"
import { useDraft, useEditable } from "../../change/use"
import { Card } from "../../kit/card"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"

export function SafeSearch({ may }: { may: boolean }) {
	const { doc } = useEditable()
	return (
		<Card title={t("Safe search")}>
			<DraftSwitch
				path="dns.filter.safeSearch"
				label={t("Strict results for everybody")}
				hint={t("Search engines and YouTube leave out what is not for children.")}
				may={may}
				stored={doc?.dns.filter?.safeSearch}
				standard={false}
			/>
		</Card>
	)
}

/** Services that are blocked for everybody. */
export function Services({ may }: { may: boolean }) {
	const { doc } = useEditable()
	const draft = useDraft<string[]>("dns.filter.services", doc?.dns.filter?.services ?? [], [])
	return (
		<Card title={t("Blocked services")} hint={t("All names of a service at once, for every device.")}>
			<Choose label={t("Services")} value={draft.value} onChange={draft.set} may={may} error={draft.error} />
		</Card>
	)
}

/** Boxes for all services that the cell knows. */
export function Choose({
	label,
	value,
	onChange,
	may,
	error,
}: {
	label: string
	value: string[]
	onChange: (ids: string[]) => void
	may: boolean
	error?: string
}) {
	const services = useDNSServices()
	return (
		<Loaded of={services} rows={3}>
			{(list) => (
				<CheckboxGroup value={value} onChange={onChange} isDisabled={!may} className="flex flex-col gap-2">
					<Label className="sr-only">{label}</Label>
					<div className="grid grid-cols-[repeat(auto-fill,minmax(150px,1fr))] gap-x-4 gap-y-1">
						{list.map((s) => (
							<Checkbox
								key={s.id}
								value={s.id}
								className="group flex min-h-8 max-wide:min-h-11 items-center gap-2 rounded-control data-[disabled]:opacity-60 data-[focus-visible]:outline-2 data-[focus-visible]:outline-leaf"
							>
								<span className="grid size-4 flex-none place-items-center rounded border border-edge text-white group-data-[selected]:border-leaf-solid group-data-[selected]:bg-leaf-solid">
									<Check
										size={12}
										strokeWidth={3}
										aria-hidden
										className="invisible group-data-[selected]:visible"
									/>
								</span>
								{s.name}
							</Checkbox>
						))}
					</div>
					{error && <p className="text-sec font-medium text-bad-ink">{error}</p>}
				</CheckboxGroup>
			)}
		</Loaded>
	)
}
