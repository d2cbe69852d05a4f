import type { LucideIcon } from "lucide-react"
import type { ReactNode } from "react"
import { Button as Aria, type ButtonProps } from "react-aria-components"
import { Link } from "wouter"

type Look = "primary" | "plain" | "quiet" | "danger"

const base =
	"inline-flex items-center justify-center gap-2 rounded-control text-body font-medium whitespace-nowrap transition-colors duration-[120ms] select-none data-[disabled]:cursor-default data-[disabled]:opacity-50 data-[pending]:cursor-progress data-[pending]:opacity-70"
const looks: Record<Look, string> = {
	primary: "bg-leaf-solid text-white hover:bg-leaf-press",
	plain: "bg-surface text-ink border border-line hover:bg-hover",
	quiet: "text-muted hover:text-ink hover:bg-hover",
	danger: "bg-bad-solid text-white hover:opacity-90",
}

export function look(kind: Look = "plain", small = false): string {
	return `${base} ${small ? "h-7 px-2" : "h-8 px-3 max-wide:h-11 max-wide:px-4"} ${looks[kind]}`
}

interface Props extends Omit<ButtonProps, "className" | "children"> {
	kind?: Look
	icon?: LucideIcon
	children?: ReactNode
	className?: string
	size?: "normal" | "small"
}

export function Button({ kind = "plain", icon: Icon, children, className = "", size, ...rest }: Props) {
	return (
		<Aria {...rest} className={`${look(kind, size === "small")} ${className}`}>
			{Icon && <Icon size={16} strokeWidth={1.75} aria-hidden />}
			{children}
		</Aria>
	)
}

/** A square button of one icon; label is its name for everyone. */
export function IconButton({
	icon: Icon,
	label,
	className = "",
	...rest
}: Omit<ButtonProps, "className" | "children"> & { icon: LucideIcon; label: string; className?: string }) {
	return (
		<Aria
			{...rest}
			aria-label={label}
			className={`inline-grid size-8 max-wide:size-11 place-items-center rounded-control text-muted hover:bg-hover hover:text-ink transition-colors duration-[120ms] ${className}`}
		>
			<Icon size={16} strokeWidth={1.75} aria-hidden />
		</Aria>
	)
}

/** Looks like a button, leads to a page. */
export function ButtonLink({
	href,
	kind,
	icon: Icon,
	children,
}: {
	href: string
	kind?: Look
	icon?: LucideIcon
	children: ReactNode
}) {
	return (
		<Link href={href} className={look(kind)}>
			{Icon && <Icon size={16} strokeWidth={1.75} aria-hidden />}
			{children}
		</Link>
	)
}
