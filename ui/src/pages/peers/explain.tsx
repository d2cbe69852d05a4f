import { useQuery } from "@tanstack/react-query"
import { Check, CircleAlert } from "lucide-react"
import { type FormEvent, useState } from "react"
import { useSearchParams } from "wouter"
import { call, errorAt, textOf, toldByFields } from "../../api/client"
import { usePeers } from "../../api/hooks"
import type { Explanation } from "../../api/types"
import { Button } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field, Select } from "../../kit/field"
import { Skeleton } from "../../kit/states"
import { Notice } from "../../kit/status"
import { t } from "../../kit/words"

/** Whether one reaches another, and who has a say in it. */
export function Explain() {
	const [params, setParams] = useSearchParams()
	const { data: peers } = usePeers()
	const [from, setFrom] = useState(params.get("from") ?? "")
	const [to, setTo] = useState(params.get("to") ?? "")
	const [protocol, setProtocol] = useState(params.get("protocol") ?? "tcp")
	const [port, setPort] = useState(params.get("port") ?? "443")
	const asked = { from: params.get("from"), to: params.get("to") }
	const answer = useQuery({
		queryKey: ["explain", params.toString()],
		queryFn: async () =>
			(await call<Explanation>("/api/explain", { query: Object.fromEntries(params.entries()) })).data,
		enabled: !!asked.from && !!asked.to,
		retry: false,
		staleTime: 0,
	})
	const submit = (e: FormEvent) => {
		e.preventDefault()
		const next = { from: from.trim(), to: to.trim(), protocol, port: protocol === "icmp" ? "0" : port }
		if (new URLSearchParams(next).toString() === params.toString()) answer.refetch()
		else setParams(next)
	}
	return (
		<Card
			title={t("Who reaches whom?")}
			hint={t("The cell says step by step what becomes of a connection, by what is in force now.")}
		>
			<form
				onSubmit={submit}
				noValidate
				className="grid gap-4 card:grid-cols-[1fr_1fr_120px_110px_auto] card:items-start"
			>
				<Field
					label={t("From")}
					value={from}
					onChange={setFrom}
					error={errorAt(answer.error, "from")}
					hint={
						peers?.[0]
							? t("A device such as {name}, or an address", { name: peers[0].name })
							: t("A device or an address")
					}
					autoComplete="off"
					autoCapitalize="none"
				/>
				<Field
					label={t("To")}
					value={to}
					onChange={setTo}
					error={errorAt(answer.error, "to")}
					hint={t("A device, a name, an address, or cell")}
					autoComplete="off"
					autoCapitalize="none"
				/>
				<Select
					label={t("Protocol")}
					value={protocol}
					onChange={setProtocol}
					options={[
						["tcp", "TCP"],
						["udp", "UDP"],
						["icmp", t("Ping")],
					]}
				/>
				<Field
					label={t("Port")}
					value={protocol === "icmp" ? "" : port}
					onChange={(v) => setPort(v.replace(/\D/g, "").slice(0, 5))}
					isDisabled={protocol === "icmp"}
					inputMode="numeric"
					autoComplete="off"
				/>
				<Button kind="primary" type="submit" isDisabled={!from.trim() || !to.trim()} className="card:mt-6">
					{t("Explain")}
				</Button>
			</form>
			<div className="mt-4" aria-live="polite">
				{answer.data ? (
					<Steps e={answer.data} />
				) : answer.error && !toldByFields(answer.error, ["from", "to"]) ? (
					<Notice tone="bad" title={textOf(answer.error)} />
				) : answer.isLoading ? (
					<Skeleton />
				) : null}
			</div>
		</Card>
	)
}

function Steps({ e }: { e: Explanation }) {
	return (
		<div className="flex flex-col gap-3">
			<Notice tone={e.allow ? "ok" : "warn"} title={e.allow ? t("Yes") : t("No")}>
				{e.text}
			</Notice>
			<ol className="flex flex-col gap-2">
				{e.steps?.map((s) => (
					<li key={s.text} className="flex gap-2">
						{s.ok ? (
							<Check
								size={16}
								aria-label={t("passes")}
								role="img"
								className="mt-0.5 flex-none text-leaf-ink"
							/>
						) : (
							<CircleAlert
								size={16}
								aria-label={t("stops")}
								role="img"
								className="mt-0.5 flex-none text-bad-ink"
							/>
						)}
						<span className="min-w-0 [overflow-wrap:anywhere]">{s.text}</span>
					</li>
				))}
			</ol>
		</div>
	)
}
