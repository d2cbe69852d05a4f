import { ListPlus, Trash2 } from "lucide-react"
import { type FormEvent, useState } from "react"
import { useDraft } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field, Select } from "../../kit/field"
import { Badge } from "../../kit/status"
import { Table } from "../../kit/table"
import { Copy, Mono, None } from "../../kit/text"
import { t } from "../../kit/words"

const examples: Record<string, string> = {
	A: "192.168.1.10",
	AAAA: "fd00::10",
	CNAME: "nas",
	TXT: "any text",
	MX: "10 mail",
	SRV: "0 1 5060 phone",
	CAA: '0 issue "letsencrypt.org"',
	NS: "ns.example.com.",
	PTR: "nas",
	DNAME: "example.com.",
	HTTPS: "1 . alpn=h2,h3",
	SVCB: "1 dns alpn=dot",
	SSHFP: "4 2 0123abcd…",
	TLSA: "3 1 1 0123abcd…",
	DS: "12345 13 2 0123abcd…",
	NAPTR: '10 10 "u" "E2U+sip" "!^.*$!sip:info@example.com!" .',
	URI: '10 1 "https://example.com/"',
	LOC: "52 22 23.000 N 4 53 32.000 E -2.00m",
	OPENPGPKEY: "mQENBF…",
	SMIMEA: "3 0 0 0123abcd…",
}
type Own = { name: string; type: string; ttl?: number; value: string }

/** The editor of a zone's records. What is wrong with one is said beside it. */
export function Records({
	path,
	stored,
	zone,
	may,
	title = t("Records"),
	hint,
}: {
	path: string
	stored: Own[] | undefined
	zone: string
	may: boolean
	title?: string
	hint?: string
}) {
	const draft = useDraft<Own[]>(path, stored ?? [], [])
	const [form, change] = useState<Own>({ name: "", type: "A", value: "" })
	const add = (e: FormEvent) => {
		e.preventDefault()
		draft.set([...draft.value, { name: form.name.trim() || "@", type: form.type, value: form.value.trim() }])
		change({ name: "", type: form.type, value: "" })
	}
	return (
		<Card title={title} hint={hint} flush>
			{draft.error && <p className="px-4 pb-2 font-medium text-bad-ink">{draft.error}</p>}
			{draft.value.length > 0 ? (
				<Table
					label={t("Records of {zone}", { zone })}
					rows={draft.value.map((r, i) => ({ ...r, i }))}
					id={(r) => r.i}
					columns={[
						{ head: t("Name"), cell: (r) => <Mono>{r.name}</Mono> },
						{ head: t("Type"), cell: (r) => <Badge>{r.type}</Badge> },
						{ head: t("Value"), cell: (r) => <Copy value={r.value} label={t("the value")} /> },
						{
							head: t("TTL"),
							kind: "num",
							cell: (r) => (r.ttl ? t("{n} s", { n: r.ttl }) : <None>{t("default")}</None>),
						},
						...(may
							? [
									{
										head: t("Actions"),
										kind: "end" as const,
										cell: (r: Own & { i: number }) => (
											<IconButton
												icon={Trash2}
												label={t("Remove {name}", { name: `${r.name} ${r.type}` })}
												onPress={() => draft.set(draft.value.filter((_, j) => j !== r.i))}
											/>
										),
									},
								]
							: []),
					]}
				/>
			) : (
				!may && (
					<p className="px-4 pb-4">
						<None>{t("none")}</None>
					</p>
				)
			)}
			{may && (
				<form
					onSubmit={add}
					noValidate
					className={`grid gap-3 p-4 card:grid-cols-[1fr_110px_2fr_auto] card:items-end ${draft.value.length ? "border-t border-line" : ""}`}
				>
					<Field
						label={t("Name")}
						value={form.name}
						onChange={(name) => change({ ...form, name })}
						placeholder={t("nas, or @ for the zone")}
						mono
						autoComplete="off"
						spellCheck="false"
					/>
					<Select
						label={t("Type")}
						value={form.type}
						onChange={(type) => change({ ...form, type })}
						options={Object.keys(examples).map((x) => [x, x] as const)}
					/>
					<Field
						label={t("Value")}
						value={form.value}
						onChange={(value) => change({ ...form, value })}
						placeholder={examples[form.type]}
						mono
						autoComplete="off"
						spellCheck="false"
					/>
					<Button type="submit" icon={ListPlus} isDisabled={!form.value.trim()}>
						{t("Add")}
					</Button>
				</form>
			)}
		</Card>
	)
}
