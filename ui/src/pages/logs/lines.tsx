import { ArrowDown, Pause, Play, ScrollText, Search } from "lucide-react"
import { useEffect, useRef, useState } from "react"
import { useSearchParams } from "wouter"
import { useLogs, useStatus } from "../../api/hooks"
import { levelRank } from "../../api/live"
import type { Line } from "../../api/types"
import { Button } from "../../kit/button"
import { inputLook, Select } from "../../kit/field"
import { clock, moment } from "../../kit/format"
import { Empty } from "../../kit/states"
import { t, tn } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { serviceName } from "../../parts/names"
import { attrs, hasText, unitsOf } from "./filter"

const levels = [
	["", t("Every level")],
	["info", t("Info and above")],
	["warn", t("Warnings and errors")],
	["error", t("Errors")],
] as const

/** The live tail. Its filters stand in the URL; pausing holds what is shown. */
export function Lines() {
	const [params, setParams] = useSearchParams()
	const unit = params.get("unit") ?? ""
	const level = params.get("level") ?? ""
	const text = params.get("q") ?? ""
	const logs = useLogs({ unit, level })
	const { data: status } = useStatus()
	const [held, hold] = useState<Line[] | null>(null)
	const put = (key: string, value: string) => {
		hold(null)
		const next = new URLSearchParams(params)
		if (value) next.set(key, value)
		else next.delete(key)
		setParams(next, { replace: true })
	}
	const last = held?.at(-1)?.id ?? 0
	const waiting = held ? (logs.data ?? []).filter((l) => l.id > last).length : 0
	const units = unitsOf(status?.services ?? [], logs.data ?? [], unit)
	return (
		<section
			aria-label={t("Log lines")}
			className="flex min-h-[360px] flex-col rounded-card border border-line bg-surface"
			style={{ blockSize: "max(360px, calc(100dvh - 236px - var(--bottom-bar)))" }}
		>
			<div className="flex flex-wrap items-center gap-2 border-b border-line p-3 max-card:[&>div]:flex-[1_1_42%]">
				<Select
					label={t("Service")}
					hideLabel
					value={unit}
					onChange={(v) => put("unit", v)}
					options={[["", t("Every service")], ...units.map((u) => [u, serviceName(u)] as const)]}
				/>
				<Select
					label={t("Level")}
					hideLabel
					value={level}
					onChange={(v) => put("level", v)}
					options={levels}
				/>
				<label className="relative min-w-36 flex-1">
					<span className="sr-only">{t("Text in the line")}</span>
					<Search
						size={14}
						aria-hidden
						className="pointer-events-none absolute start-2.5 top-1/2 -translate-y-1/2 text-muted"
					/>
					<input
						type="search"
						value={text}
						placeholder={t("Text in the line")}
						onChange={(e) => put("q", e.target.value)}
						className={`${inputLook} ps-8 focus:outline-2 focus:-outline-offset-1 focus:outline-leaf`}
					/>
				</label>
				<Button icon={held ? Play : Pause} onPress={() => hold(held ? null : (logs.data ?? []))}>
					{held ? (waiting ? tn(waiting, "Go on ({n} new)", "Go on ({n} new)") : t("Go on")) : t("Pause")}
				</Button>
			</div>
			<Loaded of={logs} rows={12}>
				{(live) => (
					<Tail
						lines={(held ?? live).filter((l) => hasText(l, text))}
						still={held !== null}
						withUnit={!unit}
					/>
				)}
			</Loaded>
		</section>
	)
}

function Tail({ lines, still, withUnit }: { lines: Line[]; still: boolean; withUnit: boolean }) {
	const box = useRef<HTMLDivElement>(null)
	const [following, follow] = useState(true)
	const newest = lines.at(-1)?.id
	// biome-ignore lint/correctness/useExhaustiveDependencies: with each new line
	useEffect(() => {
		if (following && !still && box.current) box.current.scrollTop = box.current.scrollHeight
	}, [newest, following, still])
	if (lines.length === 0) {
		return (
			<Empty icon={ScrollText} title={t("No line fits")}>
				{t("Nothing was said of this kind yet. Lines show here as soon as they are written.")}
			</Empty>
		)
	}
	return (
		<div className="relative min-h-0 flex-1">
			<div
				ref={box}
				role="log"
				aria-label={t("Log lines")}
				aria-live="off"
				// biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
				tabIndex={0}
				onScroll={(e) => {
					const el = e.currentTarget
					follow(el.scrollHeight - el.scrollTop - el.clientHeight < 24)
				}}
				className="h-full overflow-y-auto py-2 font-mono text-sec -outline-offset-2"
			>
				{lines.map((l) => (
					<Row key={l.id} l={l} withUnit={withUnit} />
				))}
			</div>
			{!following && !still && (
				<div className="absolute inset-x-0 bottom-3 flex justify-center">
					<Button icon={ArrowDown} onPress={() => follow(true)} className="shadow-float">
						{t("To the newest")}
					</Button>
				</div>
			)}
		</div>
	)
}

function Row({ l, withUnit }: { l: Line; withUnit: boolean }) {
	const rank = levelRank(l.level)
	const ink = rank >= 3 ? "text-bad-ink" : rank === 2 ? "text-warn-ink" : "text-muted"
	return (
		<div
			className={`flex gap-3 px-4 py-0.5 hover:bg-sunken max-card:flex-wrap max-card:gap-x-2 max-card:py-1.5 ${rank >= 3 ? "bg-bad-wash" : ""}`}
		>
			<time dateTime={l.time} title={moment(l.time)} className="text-muted">
				{clock(l.time)}
			</time>
			<span className={`w-11 flex-none ${ink}`}>{l.level}</span>
			{withUnit && <span className="w-16 flex-none truncate text-muted">{l.unit ?? ""}</span>}
			<span className="min-w-0 flex-1 [overflow-wrap:anywhere] max-card:basis-full">
				{l.msg} <span className="text-muted">{attrs(l)}</span>
			</span>
		</div>
	)
}
