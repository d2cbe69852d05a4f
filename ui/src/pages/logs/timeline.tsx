import { History } from "lucide-react"
import { useState } from "react"
import { textOf } from "../../api/client"
import { useHistory, useTimeline } from "../../api/hooks"
import type { Revision } from "../../api/types"
import { Differences } from "../../change/bar"
import { useUndo } from "../../change/use"
import { Button } from "../../kit/button"
import { Card } from "../../kit/card"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Empty } from "../../kit/states"
import { Notice } from "../../kit/status"
import { t, tn } from "../../kit/words"
import { ChangeRow, EventRow } from "../../parts/events"
import { Loaded } from "../../parts/loaded"
import { byDay, merge } from "../../parts/timeline"

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
									"revision" in e ? (
										<ChangeRow key={e.key} r={e.revision} onUndo={() => undo(e.revision)} />
									) : (
										<EventRow key={e.key} e={e.event} />
									),
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

/** Going back undoes every change since; they are named first. */
function Undo({ to, all, onClose }: { to: Revision; all: readonly Revision[]; onClose: () => void }) {
	const undo = useUndo()
	const lost = all.filter((r) => r.revision >= to.revision)
	return (
		<Dialog
			title={t("Back to revision {n}?", { n: to.revision - 1 })}
			open
			onClose={onClose}
			role="alertdialog"
		>
			<p className="pt-1">
				{tn(
					lost.length,
					"This undoes {n} change, as a new revision that can itself be undone:",
					"This undoes {n} changes, as one new revision that can itself be undone:",
				)}
			</p>
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
				<Button
					kind="primary"
					onPress={() => undo.mutate({ to: to.revision - 1 }, { onSuccess: onClose })}
					isPending={undo.isPending}
				>
					{t("Go back")}
				</Button>
			</DialogActions>
		</Dialog>
	)
}
