import { CircleAlert, TriangleAlert } from "lucide-react"
import type { ReactNode } from "react"
import type { Event } from "../api/types"
import { clock, moment } from "../kit/format"
import { t } from "../kit/words"
import { serviceName } from "./names"

/** What happened, newest first. */
export function EventList({ events, label }: { events: readonly Event[]; label: string }) {
	return (
		<ol aria-label={label} className="flex flex-col">
			{events.map((e) => (
				<EventRow key={e.id} e={e} />
			))}
		</ol>
	)
}

export function EventRow({ e }: { e: Event }) {
	const by = [e.actor && t("by {name}", { name: e.actor }), e.unit && serviceName(e.unit)].filter(Boolean).join(" · ")
	return (
		<Happening mark={<Mark severity={e.severity} />} time={e.time} about={by}>
			{e.text}
		</Happening>
	)
}

/** One line of what happened; about stands beside it, on a phone below. */
export function Happening({ mark, time, about, children, action }: { mark: ReactNode; time: string; about?: ReactNode; children: ReactNode; action?: ReactNode }) {
	return (
		<li className="flex items-start gap-3 border-b border-line px-4 py-2 last:border-b-0">
			<span className="grid h-5 w-3.5 flex-none place-items-center">{mark}</span>
			<div className="flex min-w-0 flex-1 flex-wrap items-baseline gap-x-4 max-card:flex-col">
				<div className="min-w-0 [overflow-wrap:anywhere]">{children}</div>
				{about && <p className="ms-auto text-sec text-muted max-card:ms-0">{about}</p>}
			</div>
			{action}
			<time dateTime={time} title={moment(time)} className="font-mono text-sec leading-5 text-muted">
				{clock(time)}
			</time>
		</li>
	)
}

function Mark({ severity }: { severity: Event["severity"] }) {
	if (severity === "error") return <CircleAlert size={14} strokeWidth={2} aria-label={t("error")} className="text-bad-ink" />
	if (severity === "warning") return <TriangleAlert size={14} strokeWidth={2} aria-label={t("warning")} className="text-warn-ink" />
	return <span className="size-1.5 rounded-full bg-edge" />
}
