import {
	CircleAlert,
	CircleCheck,
	CircleDashed,
	CircleMinus,
	type LucideIcon,
	TriangleAlert,
} from "lucide-react"
import type { ReactNode } from "react"

export type Tone = "ok" | "warn" | "bad" | "idle" | "busy"

const icons: Record<Tone, LucideIcon> = {
	ok: CircleCheck,
	warn: TriangleAlert,
	bad: CircleAlert,
	idle: CircleMinus,
	busy: CircleDashed,
}
const inks: Record<Tone, string> = {
	ok: "text-leaf-ink",
	warn: "text-warn-ink",
	bad: "text-bad-ink",
	idle: "text-muted",
	busy: "text-warn-ink",
}

/** A state: shape, colour and word, never colour alone. */
export function Status({ tone, children }: { tone: Tone; children: ReactNode }) {
	const Icon = icons[tone]
	return (
		<span className={`inline-flex items-center gap-1.5 whitespace-nowrap font-medium ${inks[tone]}`}>
			<Icon size={14} strokeWidth={2} aria-hidden />
			{children}
		</span>
	)
}

const dots: Record<Tone, string> = {
	ok: "rounded-full bg-leaf",
	warn: "rounded-[1px] bg-warn rotate-45",
	bad: "rounded-[1px] bg-bad",
	idle: "rounded-full shadow-[inset_0_0_0_2px_var(--c-edge)]",
	busy: "rounded-full bg-warn",
}

export function Dot({ tone, label }: { tone: Tone; label: string }) {
	return <span role="img" aria-label={label} className={`inline-block size-2 flex-none ${dots[tone]}`} />
}

export function Badge({ children }: { children: ReactNode }) {
	return (
		<span className="inline-flex h-5 items-center rounded border border-line px-1.5 text-sec text-muted whitespace-nowrap">
			{children}
		</span>
	)
}

const washes: Partial<Record<Tone, string>> = { warn: "bg-warn-wash", bad: "bg-bad-wash", ok: "bg-leaf-wash" }

/** A message within the page. */
export function Notice({
	tone,
	title,
	children,
	action,
}: {
	tone: Tone
	title: ReactNode
	children?: ReactNode
	action?: ReactNode
}) {
	const Icon = icons[tone]
	return (
		<div
			role={tone === "bad" ? "alert" : undefined}
			className={`flex flex-wrap items-start gap-x-3 gap-y-2 rounded-card border border-line px-4 py-3 ${washes[tone] ?? "bg-sunken"}`}
		>
			<Icon size={16} strokeWidth={2} aria-hidden className={`mt-0.5 ${inks[tone]}`} />
			<div className="min-w-0 flex-1 basis-60">
				<p className="font-medium">{title}</p>
				{children && (
					<div className="mt-0.5 max-w-[72ch] text-ink/85 [overflow-wrap:anywhere]">{children}</div>
				)}
			</div>
			{action && <div className="flex gap-2">{action}</div>}
		</div>
	)
}
