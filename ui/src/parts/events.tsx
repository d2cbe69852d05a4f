import { CircleAlert, Info, TriangleAlert } from "lucide-react"
import type { Event } from "../api/types"
import { clock, moment } from "../kit/format"
import { t } from "../kit/words"
import { serviceName } from "./names"

const icons = { info: Info, warning: TriangleAlert, error: CircleAlert }
const inks = { info: "text-muted", warning: "text-warn-ink", error: "text-bad-ink" }

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

export function EventRow({ e, children }: { e: Event; children?: React.ReactNode }) {
	const Icon = icons[e.severity] ?? Info
	const by = [e.actor && t("by {name}", { name: e.actor }), e.unit && serviceName(e.unit)].filter(Boolean).join(" · ")
	return (
		<li className="flex items-start gap-3 border-b border-line px-4 py-2.5 last:border-b-0">
			<Icon size={14} strokeWidth={2} aria-label={e.severity} className={`mt-[3px] ${inks[e.severity] ?? ""}`} />
			<div className="min-w-0 flex-1 [overflow-wrap:anywhere]">
				<p>{e.text}</p>
				{by && <p className="text-sec text-muted">{by}</p>}
				{children}
			</div>
			<time dateTime={e.time} title={moment(e.time)} className="font-mono text-sec text-muted">
				{clock(e.time)}
			</time>
		</li>
	)
}
