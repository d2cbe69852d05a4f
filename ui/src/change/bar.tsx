import { useQuery } from "@tanstack/react-query"
import { Check, CircleCheck, Undo2 } from "lucide-react"
import { type ReactNode, useEffect, useState } from "react"
import { Problem, textOf } from "../api/client"
import { useRefresh, useStatus } from "../api/hooks"
import type { Difference, Pending } from "../api/types"
import { Button } from "../kit/button"
import { t, tn } from "../kit/words"
import { type Applied, confirmSeconds, type Drafts, noDrafts, refusals, say, store } from "./drafts"
import { probe, useApply, useChange, useSettle, useUndo } from "./use"

/** The change bar: drafts with their difference, then what came of them. */
export function ChangeBar() {
	const { drafts, applied } = useChange()
	const { data: status } = useStatus()
	if (drafts.edits.size > 0) return <DraftBar drafts={drafts} />
	if (status?.pending) return <ConfirmBar pending={status.pending} />
	if (applied) return <AppliedBar applied={applied} />
	return null
}

function Bar({ label, children }: { label: string; children: ReactNode }) {
	return (
		<section
			aria-label={label}
			className="fixed inset-x-4 bottom-[calc(var(--bottom-bar)+16px)] z-30 mx-auto flex max-w-[720px] flex-wrap items-center gap-x-4 gap-y-3 rounded-card border border-line bg-raised px-4 py-3 shadow-float max-card:inset-x-2 max-card:bottom-[calc(var(--bottom-bar)+8px)] wide:ms-[calc(50%-360px+116px)]"
		>
			{children}
		</section>
	)
}

function DraftBar({ drafts }: { drafts: Drafts }) {
	const edits = [...drafts.edits.values()]
	const check = useQuery({
		queryKey: ["probe", drafts.base, edits],
		queryFn: probe,
		retry: false,
		staleTime: 0,
		gcTime: 0,
		placeholderData: (before) => before,
	})
	const apply = useApply()
	const refresh = useRefresh()
	useEffect(() => {
		if (check.error instanceof Problem) store.set({ errors: check.error.errors })
	}, [check.error])
	const err = apply.error ?? check.error
	const lost = err instanceof Problem && err.status === 412
	const again = async () => {
		await refresh("config", "status")
		apply.reset()
		store.set({ drafts: { ...drafts, base: 0 } })
	}
	return (
		<Bar label={t("Changes that are not in force yet")}>
			<div className="min-w-0 flex-1 basis-64" role="status">
				{lost ? (
					<p className="font-medium">
						{t("The cell was changed meanwhile. Load what is new, then look at your changes again.")}
					</p>
				) : err ? (
					<Refused err={err} />
				) : (
					<Differences
						list={check.data?.diff ?? []}
						fallback={tn(edits.length, "{n} change", "{n} changes")}
					/>
				)}
				{!err && confirmSeconds(drafts) > 0 && (
					<p className="text-sec text-muted">
						{t("Undone by itself after 90 s, unless you confirm that the cell is still reached.")}
					</p>
				)}
			</div>
			<div className="flex gap-2 max-card:flex-1 max-card:[&>*]:flex-1">
				<Button kind="quiet" onPress={() => store.set({ drafts: noDrafts, errors: [] })}>
					{t("Discard")}
				</Button>
				{lost ? (
					<Button kind="primary" onPress={again}>
						{t("Load what is new")}
					</Button>
				) : (
					<Button
						kind="primary"
						onPress={() => apply.mutate()}
						isDisabled={!!check.error}
						isPending={apply.isPending}
					>
						{apply.isPending ? t("Applying…") : t("Apply")}
					</Button>
				)}
			</div>
		</Bar>
	)
}

function Refused({ err }: { err: unknown }) {
	const lines = err instanceof Problem && err.errors.length > 0 ? refusals(err.errors) : [textOf(err)]
	return lines.map((l) => (
		<p key={l} className="font-medium text-bad-ink [overflow-wrap:anywhere]">
			{l}
		</p>
	))
}

/** What changes, line by line, in the user's words. */
export function Differences({
	list,
	fallback,
	max = 5,
}: {
	list: readonly Difference[]
	fallback?: string
	max?: number
}) {
	if (list.length === 0) return fallback ? <p className="font-medium">{fallback}</p> : null
	return (
		<ul className="flex flex-col gap-0.5">
			{list.slice(0, max).map((d, i) => {
				const { what, words } = say(d)
				return (
					// biome-ignore lint/suspicious/noArrayIndexKey: several revisions may differ at one path
					<li key={`${i} ${d.path}`} className="[overflow-wrap:anywhere]">
						<span className="font-medium">{what}</span> {words}
					</li>
				)
			})}
			{list.length > max && <li className="text-muted">{t("and {n} more", { n: list.length - max })}</li>}
		</ul>
	)
}

function AppliedBar({ applied }: { applied: Applied }) {
	const undo = useUndo()
	const { outcome } = applied
	return (
		<Bar label={t("The last change")}>
			<CircleCheck size={16} strokeWidth={2} aria-hidden className="text-leaf-ink" />
			<div className="min-w-0 flex-1 basis-40" role="status">
				<p className="font-medium">{t("In force in {n} ms", { n: outcome.durationMs })}</p>
				<div className="text-muted">
					<Differences list={outcome.diff} max={2} />
				</div>
				{undo.error && <p className="text-bad-ink">{textOf(undo.error)}</p>}
			</div>
			<div className="flex gap-2">
				<Button
					icon={Undo2}
					onPress={() => undo.mutate({ to: applied.before, from: outcome.revision })}
					isPending={undo.isPending}
				>
					{t("Undo")}
				</Button>
				<Button kind="quiet" onPress={() => store.set({ applied: null })}>
					{t("Close")}
				</Button>
			</div>
		</Bar>
	)
}

function ConfirmBar({ pending }: { pending: Pending }) {
	const settle = useSettle()
	const left = useCountdown(pending.deadline)
	return (
		<Bar label={t("A change waits for your confirmation")}>
			<div className="min-w-0 flex-1 basis-64">
				<p className="font-medium">
					{t("Does the cell still work? The change is undone in")}{" "}
					<span role="timer" className="font-mono">
						{t("{n} s", { n: left })}
					</span>
				</p>
				<p className="text-muted">{t("Revision {n} is in force until then.", { n: pending.revision })}</p>
				{settle.error && <p className="text-bad-ink">{textOf(settle.error)}</p>}
			</div>
			<div className="flex gap-2 max-card:flex-1 max-card:[&>*]:flex-1">
				<Button icon={Undo2} onPress={() => settle.mutate("revert")} isPending={settle.isPending}>
					{t("Undo now")}
				</Button>
				<Button
					kind="primary"
					icon={Check}
					onPress={() => settle.mutate("confirm")}
					isPending={settle.isPending}
				>
					{t("Keep it")}
				</Button>
			</div>
		</Bar>
	)
}

function useCountdown(deadline: string): number {
	const [now, setNow] = useState(Date.now)
	const refresh = useRefresh()
	const left = Math.max(0, Math.ceil((Date.parse(deadline) - now) / 1000))
	useEffect(() => {
		const timer = setInterval(() => setNow(Date.now()), 500)
		return () => clearInterval(timer)
	}, [])
	// biome-ignore lint/correctness/useExhaustiveDependencies: once, when the time is up
	useEffect(() => {
		if (left === 0) refresh("status", "config")
	}, [left === 0])
	return left
}
