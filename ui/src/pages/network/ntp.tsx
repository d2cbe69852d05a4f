import { Clock } from "lucide-react"
import { useNTP } from "../../api/hooks"
import type { NTPSource } from "../../api/types"
import { DraftList, DraftSwitch } from "../../change/fields"
import { useEditable } from "../../change/use"
import { Card, Stat } from "../../kit/card"
import { count, smallSpan } from "../../kit/format"
import { Empty } from "../../kit/states"
import { Notice, Status } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Copy, Time } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"

const columns: Column<NTPSource>[] = [
	{ head: t("Source"), cell: (s) => <Copy value={s.name} label={t("the source")} /> },
	{ head: t("State"), cell: (s) => (s.error ? <Status tone="bad">{s.error}</Status> : s.reach === 0 ? <Status tone="busy">{t("asking")}</Status> : <Status tone="ok">{t("answers")}</Status>) },
	{ head: t("Our clock is off by"), kind: "num", cell: (s) => smallSpan(s.offsetSeconds) },
	{ head: t("Way there and back"), kind: "num", cell: (s) => smallSpan(s.delaySeconds) },
	{ head: t("Stratum"), kind: "num", cell: (s) => s.stratum || "–" },
	{ head: t("Last heard"), cell: (s) => <Time at={s.lastSeen} /> },
]

export function NTP() {
	const ntp = useNTP()
	const { doc, may } = useEditable()
	return (
		<Loaded of={ntp} rows={6}>
			{(n) => (
				<>
					{!n.enabled && <Notice tone="idle" title={t("NTP is off")} />}
					<ul aria-label={t("NTP in numbers")} className="grid grid-cols-2 gap-2 card:grid-cols-3">
						<li>
							<Stat label={t("Answers given")} value={count(n.served ?? 0)} />
						</li>
						<li>
							<Stat label={t("Stratum")} value={n.stratum || "–"} note={n.sources?.length ? undefined : t("from the host's clock alone")} />
						</li>
						<li>
							<Stat label={t("Sources that answer")} value={`${(n.sources ?? []).filter((s) => !s.error && s.reach !== 0).length} / ${n.sources?.length ?? 0}`} />
						</li>
					</ul>
					<Card title={t("Sources")} hint={t("The cell compares the host's clock with these. It never sets the clock.")} flush>
						{n.sources?.length ? (
							<Table label={t("Sources")} columns={columns} rows={n.sources} id={(s) => `${s.name} ${s.address}`} />
						) : (
							<Empty icon={Clock} title={t("No source")}>
								{t("The cell tells the time of its host and cannot say how right it is. Add two or three servers that can.")}
							</Empty>
						)}
					</Card>
					<Card title={t("Settings")}>
						<div className="grid max-w-[560px] gap-5">
							<DraftSwitch path="ntp.enabled" label={t("Tell the time")} may={may} stored={doc?.ntp.enabled} standard={true} />
							<DraftList path="ntp.sources" label={t("Sources")} may={may} stored={doc?.ntp.sources} placeholder="ntp.example.org" add={t("Add a source")} />
						</div>
					</Card>
				</>
			)}
		</Loaded>
	)
}
