import { CloudOff, Lock, type LucideIcon, RotateCw } from "lucide-react"
import type { ReactNode } from "react"
import { Button } from "./button"
import { t } from "./words"

/** Nothing here yet: says what this is for and what to do first. */
export function Empty({
	icon: Icon,
	title,
	children,
	action,
}: {
	icon: LucideIcon
	title: string
	children?: ReactNode
	action?: ReactNode
}) {
	return (
		<div className="flex flex-col items-center px-4 py-9 text-center">
			<div className="mb-3 grid size-10 place-items-center rounded-card bg-sunken text-muted">
				<Icon size={20} strokeWidth={1.5} aria-hidden />
			</div>
			<p className="text-section font-strong">{title}</p>
			{children && <div className="mt-1 max-w-[52ch] text-muted">{children}</div>}
			{action && <div className="mt-4 flex flex-wrap justify-center gap-2">{action}</div>}
		</div>
	)
}

/** Reading failed: what happened, and another try. */
export function Failed({ text, retry }: { text: string; retry?: () => void }) {
	return (
		<div role="alert">
			<Empty
				icon={CloudOff}
				title={t("This could not be read")}
				action={
					retry && (
						<Button icon={RotateCw} onPress={retry}>
							{t("Try again")}
						</Button>
					)
				}
			>
				{text}
			</Empty>
		</div>
	)
}

export function NotAllowed() {
	return (
		<Empty icon={Lock} title={t("This is for administrators")}>
			{t(
				"Your account may see and change your own things. Ask whoever runs this cell to give you a role that may see this.",
			)}
		</Empty>
	)
}

/** Grey lines of the height that the content will have. */
export function Skeleton({ rows = 4 }: { rows?: number }) {
	return (
		<div role="status" aria-label={t("Loading")} className="flex flex-col gap-5 p-4">
			{Array.from({ length: rows }, (_, i) => (
				// biome-ignore lint/suspicious/noArrayIndexKey: the lines are all alike
				<div key={i} className="skeleton h-5" style={{ inlineSize: `${92 - ((i * 17) % 40)}%` }} />
			))}
		</div>
	)
}
