import type { ReactNode } from "react"
import { useId } from "react"

/** A section of a page with a heading. flush: its body goes to the edge (tables). */
export function Card({
	title,
	hint,
	action,
	flush,
	children,
	className = "",
}: {
	title?: ReactNode
	hint?: ReactNode
	action?: ReactNode
	flush?: boolean
	children: ReactNode
	className?: string
}) {
	const id = useId()
	return (
		<section
			aria-labelledby={title ? id : undefined}
			className={`rounded-card border border-line bg-surface ${className}`}
		>
			{title && (
				<header
					className={`flex flex-wrap items-center justify-between gap-x-4 gap-y-2 px-4 pt-3 ${flush ? "pb-2" : ""}`}
				>
					<div className="min-w-0">
						<h2 id={id} className="text-section font-strong">
							{title}
						</h2>
						{hint && <p className="max-w-[72ch] text-muted">{hint}</p>}
					</div>
					{action && <div className="flex flex-wrap gap-2">{action}</div>}
				</header>
			)}
			<div className={flush ? "" : title ? "p-4 pt-3" : "p-4"}>{children}</div>
		</section>
	)
}

/** One number and what it counts. */
export function Stat({ label, value, note }: { label: string; value: ReactNode; note?: ReactNode }) {
	return (
		<div className="min-w-0 rounded-card border border-line bg-surface px-4 py-3">
			<p className="text-sec text-muted">{label}</p>
			<p className="mt-1 truncate text-figure font-medium tracking-tight">{value}</p>
			{note !== undefined && <p className="mt-1 text-sec text-muted [overflow-wrap:anywhere]">{note}</p>}
		</div>
	)
}

/** Name and value, line by line. */
export function Facts({ children }: { children: ReactNode }) {
	return <dl className="grid grid-cols-[minmax(88px,auto)_minmax(0,1fr)] gap-x-6 gap-y-2">{children}</dl>
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
	return (
		<div className="col-span-2 grid grid-cols-subgrid">
			<dt className="text-muted">{name}</dt>
			<dd className="flex min-w-0 flex-col items-start gap-1 [overflow-wrap:anywhere]">{children}</dd>
		</div>
	)
}

/** How full something is, in a bar and in words. */
export function Meter({
	label,
	used,
	of,
	note,
}: {
	label: string
	used: number
	of: number
	note: ReactNode
}) {
	const part = of > 0 ? Math.min(100, (used / of) * 100) : 0
	return (
		<div>
			<div className="mb-1.5 flex justify-between gap-4">
				<span>{label}</span>
				<span className="text-muted">{note}</span>
			</div>
			<div aria-hidden className="h-2 overflow-hidden rounded-full bg-hover">
				<div
					className={`h-full rounded-full ${part > 90 ? "bg-warn" : "bg-leaf"}`}
					style={{ inlineSize: `${part}%` }}
				/>
			</div>
		</div>
	)
}
