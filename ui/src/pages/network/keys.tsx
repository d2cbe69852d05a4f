import { KeyRound, Trash2 } from "lucide-react"
import { useState } from "react"
import { call, textOf } from "../../api/client"
import type { DNSKey, Outcome } from "../../api/types"
import { useEdit, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field } from "../../kit/field"
import { Empty } from "../../kit/states"
import { Notice } from "../../kit/status"
import { Table } from "../../kit/table"
import { Copy, Mono, None } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"

/** Secrets shared with other name servers and with programs that update zones. */
export function Keys({ may }: { may: boolean }) {
	const { doc } = useEditable()
	const [name, setName] = useState("")
	const keys = doc?.dns.keys ?? []
	const make = useEdit((name: string) =>
		call<Outcome & { key?: DNSKey } & Partial<DNSKey>>("/api/dns/keys", { method: "POST", body: { name } }),
	)
	const remove = useEdit((name: string) =>
		call<Outcome>(`/api/dns/keys/${encodeURIComponent(name)}`, { method: "DELETE" }),
	)
	const made = make.data?.data
	const secret = made?.secret ?? made?.key?.secret
	if (!may) return null
	return (
		<Card
			title={t("Keys (TSIG)")}
			hint={t("For secondaries, and for programs such as certbot or lego that put records here.")}
			flush
		>
			{keys.length ? (
				<Table
					label={t("Keys (TSIG)")}
					rows={keys}
					id={(k) => k.name}
					columns={[
						{ head: t("Name"), cell: (k) => <Mono>{k.name}</Mono> },
						{ head: t("Algorithm"), cell: (k) => k.algorithm ?? "hmac-sha256" },
						{
							head: t("Actions"),
							kind: "end",
							cell: (k) => (
								<IconButton
									icon={Trash2}
									label={t("Remove {name}", { name: k.name })}
									onPress={() => remove.mutate(k.name, { onError: (err) => toast(textOf(err)) })}
								/>
							),
						},
					]}
				/>
			) : (
				<Empty icon={KeyRound} title={t("No key yet")}>
					<None>{t("A key lets one program, and no other, change or copy a zone.")}</None>
				</Empty>
			)}
			<form
				noValidate
				className="flex flex-wrap items-end gap-3 border-t border-line p-4"
				onSubmit={(e) => {
					e.preventDefault()
					make.mutate(name.trim().toLowerCase(), { onSuccess: () => setName("") })
				}}
			>
				<Field
					label={t("Name of a new key")}
					value={name}
					onChange={setName}
					error={make.error ? textOf(make.error) : undefined}
					placeholder="acme"
					mono
					autoComplete="off"
					spellCheck="false"
				/>
				<Button type="submit" icon={KeyRound} isDisabled={!name.trim()} isPending={make.isPending}>
					{t("Make a key")}
				</Button>
			</form>
			{secret && (
				<div className="px-4 pb-4">
					<Notice tone="ok" title={t("The secret, shown once")}>
						<Copy value={secret} label={t("the secret")} />
					</Notice>
				</div>
			)}
		</Card>
	)
}
