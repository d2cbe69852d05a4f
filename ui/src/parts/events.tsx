import { CircleAlert, History, TriangleAlert, Undo2 } from "lucide-react"
import type { ReactNode } from "react"
import { useSession, useStatus } from "../api/hooks"
import type { Event, Revision } from "../api/types"
import { Differences } from "../change/bar"
import { Button } from "../kit/button"
import { clock, moment } from "../kit/format"
import { t } from "../kit/words"
import { serviceName } from "./names"

export function EventRow({ e }: { e: Event }) {
	const by = [e.actor && t("by {name}", { name: e.actor }), e.unit && serviceName(e.unit)]
		.filter(Boolean)
		.join(" · ")
	return (
		<Happening mark={<Mark severity={e.severity} />} time={e.time} about={by}>
			{e.text}
		</Happening>
	)
}

/** One line of what happened; about stands beside it, on a phone below. */
function Happening({
	mark,
	time,
	about,
	children,
	action,
}: {
	mark: ReactNode
	time: string
	about?: ReactNode
	children: ReactNode
	action?: ReactNode
}) {
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

/** A revision with its difference; with onUndo, an administrator can go back before it. */
export function ChangeRow({ r, onUndo }: { r: Revision; onUndo?: () => void }) {
	const { data: status } = useStatus()
	const { data: me } = useSession()
	const now = status?.revision === r.revision
	const about = [
		t("revision {n}", { n: r.revision }),
		r.actor && t("by {name}", { name: r.actor }),
		r.diff.length && r.revision > 1 ? r.reason : "",
		now && t("in force now"),
	]
	const undo = now ? t("Undo") : t("Back to before")
	return (
		<Happening
			mark={<History size={14} strokeWidth={2} aria-label={t("change")} className="text-leaf-ink" />}
			time={r.time}
			about={about.filter(Boolean).join(" · ")}
			action={
				onUndo &&
				me?.role === "admin" &&
				r.revision > 1 && (
					<Button
						kind="quiet"
						size="small"
						icon={Undo2}
						onPress={onUndo}
						aria-label={`${undo}: ${t("revision {n}", { n: r.revision })}`}
						className="-my-1 max-card:-mx-2"
					>
						<span className="max-card:hidden">{undo}</span>
					</Button>
				)
			}
		>
			{r.diff.length && r.revision > 1 ? (
				<Differences list={r.diff} max={8} />
			) : (
				<p className="font-medium">{t("The cell began")}</p>
			)}
		</Happening>
	)
}

function Mark({ severity }: { severity: Event["severity"] }) {
	if (severity === "error")
		return <CircleAlert size={14} strokeWidth={2} aria-label={t("error")} className="text-bad-ink" />
	if (severity === "warning")
		return <TriangleAlert size={14} strokeWidth={2} aria-label={t("warning")} className="text-warn-ink" />
	return <span className="size-1.5 rounded-full bg-edge" />
}
