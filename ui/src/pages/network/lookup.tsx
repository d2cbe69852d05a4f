import { useMutation } from "@tanstack/react-query"
import { Search } from "lucide-react"
import { type FormEvent, useState } from "react"
import { call, textOf } from "../../api/client"
import type { DNSAnswer } from "../../api/types"
import { Button } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field, Select } from "../../kit/field"
import { Notice } from "../../kit/status"
import { Mono } from "../../kit/text"
import { t } from "../../kit/words"

const types = ["A", "AAAA", "CNAME", "MX", "TXT", "SRV", "NS", "PTR", "SOA", "CAA"]

/** Asks the cell a name, as a device would. */
export function Lookup({ zone }: { zone: string }) {
	const [name, setName] = useState("")
	const [type, setType] = useState("A")
	const ask = useMutation({
		mutationFn: async () =>
			(await call<DNSAnswer>("/api/dns/lookup", { query: { name: name.trim(), type } })).data,
	})
	const submit = (e: FormEvent) => {
		e.preventDefault()
		ask.mutate()
	}
	return (
		<Card title={t("Look up a name")} hint={t("What this cell answers to its devices.")}>
			<form
				onSubmit={submit}
				noValidate
				className="grid grid-cols-[1fr_110px] gap-3 card:grid-cols-[1fr_110px_auto] card:items-end"
			>
				<Field
					label={t("Name")}
					value={name}
					onChange={setName}
					placeholder={`mail.${zone}`}
					mono
					autoComplete="off"
					autoCapitalize="none"
					spellCheck="false"
				/>
				<Select
					label={t("Type")}
					value={type}
					onChange={setType}
					options={types.map((x) => [x, x] as const)}
				/>
				<Button
					type="submit"
					icon={Search}
					isDisabled={!name.trim()}
					isPending={ask.isPending}
					className="max-card:col-span-2"
				>
					{t("Ask")}
				</Button>
			</form>
			<div role="status" className="mt-4 empty:mt-0">
				{ask.error && <Notice tone="bad" title={textOf(ask.error)} />}
				{ask.data && <Answer of={ask.data} />}
			</div>
		</Card>
	)
}

const froms: Record<string, string> = {
	zone: t("from this cell"),
	cache: t("from memory"),
	upstream: t("from upstream"),
	stale: t("from memory, past its time"),
	policy: t("by rule"),
}

function Answer({ of: a }: { of: DNSAnswer }) {
	const code = a.rcode
	const answers = a.answers ?? []
	return (
		<div className="rounded-control bg-sunken p-3">
			{answers.length ? (
				<ul className="flex flex-col gap-1">
					{answers.map((r) => (
						<li key={`${r.name} ${r.type} ${r.value}`}>
							<Mono>{`${r.name}  ${r.ttl}  ${r.type}  ${r.value}`}</Mono>
						</li>
					))}
				</ul>
			) : (
				<p>
					{code === "NXDOMAIN"
						? t("There is no such name.")
						: code === "NOERROR"
							? t("The name has no record of this type.")
							: a.reason || t("The cell could not find out.")}
				</p>
			)}
			<p className="mt-1.5 text-sec text-muted">
				{[
					code,
					froms[a.source] ?? a.source,
					a.secure && t("checked by DNSSEC"),
					a.verdict && [a.verdict, a.list, a.rule].filter(Boolean).join(" "),
					t("{n} ms", { n: a.durationMs.toFixed(a.durationMs < 10 ? 1 : 0) }),
				]
					.filter(Boolean)
					.join(" · ")}
			</p>
		</div>
	)
}
