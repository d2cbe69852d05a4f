import { type ReactNode, useEffect, useRef } from "react"
import { Link } from "wouter"
import { t } from "./words"

/** A page: its one h1, which takes the focus when the page is entered. */
export function Page({
	title,
	heading,
	about,
	actions,
	children,
	tabs,
}: {
	title: string /** In place of the title in the h1. */
	heading?: ReactNode
	about?: ReactNode
	actions?: ReactNode
	children: ReactNode
	tabs?: ReactNode
}) {
	const head = useRef<HTMLHeadingElement>(null)
	useEffect(() => {
		document.title = t("{title} · Personal Internet Cell", { title })
		if (entered) head.current?.focus({ preventScroll: true })
		entered = true
	}, [title])
	return (
		<div className="mx-auto flex max-w-[1120px] flex-col gap-4 p-6 max-wide:p-4">
			<header className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
				<div className="min-w-0">
					<h1 ref={head} tabIndex={-1} className="text-title font-strong tracking-[-0.01em]">
						{heading ?? title}
					</h1>
					{about && <div className="mt-0.5 max-w-[72ch] text-muted">{about}</div>}
				</div>
				{actions && <div className="flex flex-wrap gap-2">{actions}</div>}
			</header>
			{tabs}
			{children}
		</div>
	)
}

// The first page of a visit leaves the focus to the browser.
let entered = false

// On a narrow screen the open tab may lie outside of what is seen.
function show(tab: HTMLAnchorElement | null) {
	tab?.scrollIntoView({ block: "nearest", inline: "center" })
}

/** Tabs that are links: the URL says which one is open. */
export function Tabs({
	label,
	tabs,
	now,
}: {
	label: string
	tabs: readonly { href: string; text: string }[]
	now: string
}) {
	return (
		<nav aria-label={label} className="-mb-px flex gap-1 overflow-x-auto border-b border-line">
			{tabs.map((t) => (
				<Link
					key={t.href}
					href={t.href}
					aria-current={t.href === now ? "page" : undefined}
					ref={t.href === now ? show : undefined}
					className="-mb-px flex h-9 max-wide:h-11 items-center border-b-2 border-transparent px-3 font-medium whitespace-nowrap text-muted transition-colors duration-[120ms] -outline-offset-2 hover:text-ink aria-[current]:border-leaf aria-[current]:text-ink"
				>
					{t.text}
				</Link>
			))}
		</nav>
	)
}
