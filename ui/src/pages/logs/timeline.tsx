import { History, Undo2 } from "lucide-react"
import { useState } from "react"
import { textOf } from "../../api/client"
import { useHistory, useSession, useStatus, useTimeline } from "../../api/hooks"
import type { Revision } from "../../api/types"
import { Differences } from "../../change/bar"
import { useUndo } from "../../change/use"
import { Button } from "../../kit/button"
import { Card } from "../../kit/card"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Empty } from "../../kit/states"
import { Notice } from "../../kit/status"
import { t, tn } from "../../kit/words"
import { EventRow, Happening } from "../../parts/events"
import { Loaded } from "../../parts/loaded"
import { byDay, merge } from "./filter"

export function Timeline() {
	const history = useHistory()
	const timeline = useTimeline()
	const [undoing, undo] = useState<Revision | null>(null)
	return (
		<>
			<Loaded of={history} rows={10}>
				{(revisions) => {
					const days = byDay(merge(revisions, timeline.data ?? []))
					if (days.length === 0) {
						return (
							<Card>
								<Empty icon={History} title={t("Nothing has happened yet")}>
									{t("Every change of the cell will stand here with its difference, and can be undone.")}
								</Empty>
							</Card>
						)
					}
					return days.map(([day, entries]) => (
						<Card key={day} title={day} flush>
							<ol>
								{entries.map((e) =>
									"revision" in e ? <Change key={e.key} r={e.revision} onUndo={() => undo(e.revision)} /> : <EventRow key={e.key} e={e.event} />,
								)}
							</ol>
						</Card>
					))
				}}
			</Loaded>
			{undoing && <Undo to={undoing} all={history.data ?? []} onClose={() => undo(null)} />}
		</>
	)
}

function Change({ r, onUndo }: { r: Revision; onUndo: () => void }) {
	const { data: status } = useStatus()
	const { data: me } = useSession()
	const now = status?.revision === r.revision
	const about = [t("revision {n}", { n: r.revision }), r.actor && t("by {name}", { name: r.actor }), r.diff?.length ? r.reason : "", now && t("in force now")]
	const undo = now ? t("Undo") : t("Back to before")
	return (
		<Happening
			mark={<History size={14} strokeWidth={2} aria-label={t("change")} className="text-leaf-ink" />}
			time={r.time}
			about={about.filter(Boolean).join(" · ")}
			action={
				me?.role === "admin" &&
				r.revision > 1 && (
					<Button kind="quiet" size="small" icon={Undo2} onPress={onUndo} aria-label={`${undo}: ${t("revision {n}", { n: r.revision })}`} className="-my-1 max-card:-mx-2">
						<span className="max-card:hidden">{undo}</span>
					</Button>
				)
			}
		>
			{r.diff?.length ? <Differences list={r.diff} max={8} /> : <p className="font-medium">{r.reason || t("The cell began")}</p>}
		</Happening>
	)
}

/** Going back undoes every change since; they are named first. */
function Undo({ to, all, onClose }: { to: Revision; all: readonly Revision[]; onClose: () => void }) {
	const undo = useUndo()
	const lost = all.filter((r) => r.revision >= to.revision)
	return (
		<Dialog title={t("Back to revision {n}?", { n: to.revision - 1 })} open onClose={onClose} role="alertdialog">
			<p className="pt-1">{tn(lost.length, "This undoes {n} change, as a new revision that can itself be undone:", "This undoes {n} changes, as one new revision that can itself be undone:")}</p>
			<div className="mt-3 max-h-60 overflow-y-auto rounded-control bg-sunken px-3 py-2 text-muted">
				<Differences list={lost.flatMap((r) => r.diff ?? [])} max={20} />
			</div>
			{undo.error && (
				<div className="mt-3">
					<Notice tone="bad" title={textOf(undo.error)} />
				</div>
			)}
			<DialogActions>
				<Button kind="quiet" onPress={onClose} autoFocus>
					{t("Leave it")}
				</Button>
				<Button kind="primary" onPress={() => undo.mutate({ to: to.revision - 1 }, { onSuccess: onClose })} isPending={undo.isPending}>
					{t("Go back")}
				</Button>
			</DialogActions>
		</Dialog>
	)
}
