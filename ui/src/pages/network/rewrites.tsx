import { ListPlus, Trash2 } from "lucide-react"
import { type FormEvent, useState } from "react"
import { useDraft, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field } from "../../kit/field"
import { Table } from "../../kit/table"
import { Mono } from "../../kit/text"
import { t } from "../../kit/words"

type Rewrite = { domain: string; value: string }

/** Names that lead elsewhere. */
export function Rewrites({ may }: { may: boolean }) {
	const { doc } = useEditable()
	const draft = useDraft<Rewrite[]>("dns.filter.rewrites", doc?.dns.filter?.rewrites ?? [], [])
	const [form, set] = useState<Rewrite>({ domain: "", value: "" })
	const add = (e: FormEvent) => {
		e.preventDefault()
		draft.set([...draft.value, { domain: form.domain.trim().toLowerCase(), value: form.value.trim() }])
		set({ domain: "", value: "" })
	}
	if (!may && draft.value.length === 0) return null
	return (
		<Card
			title={t("Rewrites")}
			hint={t("Names that lead elsewhere: to an address, to another name, or nowhere (NXDOMAIN).")}
			flush
		>
			{draft.error && <p className="px-4 pb-2 font-medium text-bad-ink">{draft.error}</p>}
			{draft.value.length > 0 && (
				<Table
					label={t("Rewrites")}
					rows={draft.value.map((r, i) => ({ ...r, i }))}
					id={(r) => r.i}
					columns={[
						{ head: t("Name"), cell: (r) => <Mono>{r.domain}</Mono> },
						{ head: t("Leads to"), cell: (r) => <Mono>{r.value}</Mono> },
						...(may
							? [
									{
										head: t("Actions"),
										kind: "end" as const,
										cell: (r: Rewrite & { i: number }) => (
											<IconButton
												icon={Trash2}
												label={t("Remove {name}", { name: r.domain })}
												onPress={() => draft.set(draft.value.filter((_, j) => j !== r.i))}
											/>
										),
									},
								]
							: []),
					]}
				/>
			)}
			{may && (
				<form
					onSubmit={add}
					noValidate
					className={`grid gap-3 p-4 card:grid-cols-[1fr_1fr_auto] card:items-end ${draft.value.length ? "border-t border-line" : ""}`}
				>
					<Field
						label={t("Name")}
						value={form.domain}
						onChange={(domain) => set({ ...form, domain })}
						placeholder="*.example.com"
						mono
						autoComplete="off"
						spellCheck="false"
					/>
					<Field
						label={t("Leads to")}
						value={form.value}
						onChange={(value) => set({ ...form, value })}
						placeholder="192.168.1.10"
						mono
						autoComplete="off"
						spellCheck="false"
					/>
					<Button type="submit" icon={ListPlus} isDisabled={!form.domain.trim() || !form.value.trim()}>
						{t("Add")}
					</Button>
				</form>
			)}
		</Card>
	)
}
