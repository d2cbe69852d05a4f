import { useMutation } from "@tanstack/react-query"
import { Pause, RefreshCw, Trash2 } from "lucide-react"
import { call, textOf } from "../../api/client"
import { useMailQueue, useRefresh } from "../../api/hooks"
import type { QueuedMail } from "../../api/types"
import { IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Status } from "../../kit/status"
import { Table } from "../../kit/table"
import { Mono, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"

/** Mail that waits to be sent to other places, and why. Nothing where none waits. */
export function Queue() {
	const { data } = useMailQueue()
	const refresh = useRefresh()
	const move = useMutation({
		mutationFn: ({ m, what }: { m: QueuedMail; what: "retry" | "hold" | "drop" }) =>
			what === "drop"
				? call(`/api/email/queue/${m.id}`, { method: "DELETE" })
				: call(`/api/email/queue/${m.id}/${what}`, { method: "POST" }),
		onError: (err) => toast(textOf(err)),
		onSettled: () => refresh("email"),
	})
	if (!data?.length) return null
	const rows = data.flatMap((m) => (m.recipients ?? []).map((r) => ({ m, r, id: `${m.id} ${r.address}` })))
	return (
		<Card
			title={t("Waiting to be sent")}
			hint={t("Tried again by itself, more and more seldom, for five days. Then the sender is told.")}
			flush
		>
			<Table
				label={t("Waiting to be sent")}
				rows={rows}
				id={(x) => x.id}
				columns={[
					{ head: t("From"), cell: ({ m }) => <Mono>{m.from || "<>"}</Mono> },
					{ head: t("To"), cell: ({ r }) => <Mono>{r.address}</Mono> },
					{ head: t("Subject"), cell: ({ m }) => m.subject },
					{
						head: t("State"),
						cell: ({ m, r }) => {
							if (r.state === "sent") return <Status tone="ok">{t("sent")}</Status>
							if (r.state === "failed") return <Status tone="bad">{t("failed")}</Status>
							if (m.held) return <Status tone="idle">{t("held")}</Status>
							return (
								<span>
									<Status tone="busy">{t("waits")}</Status>{" "}
									{r.next && (
										<span className="text-muted">
											<Time at={r.next} />
										</span>
									)}
								</span>
							)
						},
					},
					{ head: t("Why"), cell: ({ r }) => r.why, none: ({ r }) => !r.why },
					{
						head: t("Actions"),
						kind: "end",
						cell: ({ m }) => (
							<span className="inline-flex">
								<IconButton
									icon={RefreshCw}
									label={t("Try {name} now", { name: m.subject || m.id })}
									onPress={() => move.mutate({ m, what: "retry" })}
								/>
								{!m.held && (
									<IconButton
										icon={Pause}
										label={t("Hold {name}", { name: m.subject || m.id })}
										onPress={() => move.mutate({ m, what: "hold" })}
									/>
								)}
								<IconButton
									icon={Trash2}
									label={t("Drop {name}", { name: m.subject || m.id })}
									onPress={() => move.mutate({ m, what: "drop" })}
								/>
							</span>
						),
					},
				]}
			/>
		</Card>
	)
}
