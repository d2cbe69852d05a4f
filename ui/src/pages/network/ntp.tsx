import { Clock } from "lucide-react"
import { useNTP } from "../../api/hooks"
import type { NTP as State, TimeSource } from "../../api/types"
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

const heard = (s: TimeSource) => s.reach !== 0

const columns: Column<TimeSource>[] = [
	{ head: t("Source"), cell: (s) => <Copy value={s.name} label={t("the source")} /> },
	{ head: t("State"), cell: (s) => <SourceState of={s} /> },
	{
		head: t("Our clock is off by"),
		kind: "num",
		none: (s) => !heard(s),
		cell: (s) => (heard(s) ? smallSpan(s.offsetSeconds) : "–"),
	},
	{
		head: t("Way there and back"),
		kind: "num",
		none: (s) => !heard(s),
		cell: (s) => (heard(s) ? smallSpan(s.delaySeconds) : "–"),
	},
	{ head: t("Stratum"), kind: "num", none: (s) => !s.stratum, cell: (s) => s.stratum || "–" },
	{ head: t("Last heard"), cell: (s) => <Time at={s.lastSeen} /> },
]

function SourceState({ of: s }: { of: TimeSource }) {
	if (s.state === "waiting") return <Status tone="busy">{t("asking")}</Status>
	if (s.state === "denied") return <Status tone="bad">{t("does not want to be asked")}</Status>
	if (s.state === "unreachable") {
		return (
			<span className="flex flex-col gap-0.5 max-card:items-end">
				<Status tone="bad">{t("does not answer")}</Status>
				{s.error && <span className="text-sec text-muted">{s.error}</span>}
			</span>
		)
	}
	return <Status tone="ok">{s.selected ? t("answers, believed") : t("answers")}</Status>
}

export function NTP() {
	const ntp = useNTP()
	return (
		<Loaded of={ntp} rows={6}>
			{(n) => (
				<>
					{!n.enabled && <Notice tone="idle" title={t("NTP is off")} />}
					<Numbers n={n} />
					<Card
						title={t("Sources")}
						hint={t("The cell compares the host's clock with these. It never sets the clock.")}
						flush
					>
						{n.sources.length ? (
							<Table
								label={t("Sources")}
								columns={columns}
								rows={n.sources}
								id={(s) => `${s.name} ${s.address}`}
							/>
						) : (
							<Empty icon={Clock} title={t("No source")}>
								{t(
									"The cell tells the time of its host and cannot say how right it is. Add two or three servers that can.",
								)}
							</Empty>
						)}
					</Card>
					<Edit />
				</>
			)}
		</Loaded>
	)
}

function Numbers({ n }: { n: State }) {
	return (
		<ul
			aria-label={t("NTP in numbers")}
			className="grid grid-cols-[repeat(auto-fit,minmax(148px,1fr))] gap-2"
		>
			<li>
				<Stat
					label={t("Answers given")}
					value={count(n.served)}
					note={t("{n} refused", { n: count(n.refused) })}
				/>
			</li>
			<li>
				<Stat
					label={t("Stratum")}
					value={n.stratum || "–"}
					note={n.source ?? t("from the host's clock alone")}
				/>
			</li>
			<li>
				<Stat
					label={t("The clock is off by")}
					value={n.source ? smallSpan(n.offsetSeconds) : "–"}
					note={t("at most {span} more", { span: smallSpan(n.dispersionSeconds) })}
				/>
			</li>
			<li>
				<Stat
					label={t("Sources that answer")}
					value={`${n.sources.filter(heard).length} / ${n.sources.length}`}
					note={leaps[n.leap]}
				/>
			</li>
		</ul>
	)
}

const leaps: Record<number, string> = {
	0: t("no leap second ahead"),
	1: t("a second more this month"),
	2: t("a second less this month"),
	3: t("not to be relied on"),
}

function Edit() {
	const { doc, may } = useEditable()
	return (
		<Card title={t("Settings")}>
			<div className="grid max-w-[560px] gap-5">
				<DraftSwitch
					path="ntp.enabled"
					label={t("Tell the time")}
					may={may}
					stored={doc?.ntp.enabled}
					standard={true}
				/>
				<DraftList
					path="ntp.sources"
					label={t("Sources")}
					may={may}
					stored={doc?.ntp.sources}
					placeholder="ntp.example.org"
					add={t("Add a source")}
				/>
			</div>
		</Card>
	)
}
