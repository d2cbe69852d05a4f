import { Check, Copy as CopyIcon } from "lucide-react"
import { type ReactNode, useEffect, useState } from "react"
import { ago, happened, moment } from "./format"
import { announce } from "./toast"
import { t } from "./words"

/** An address, key or name in mono, copied with one press. */
export function Copy({ value, label, short }: { value: string; label?: string; short?: boolean }) {
	const [done, setDone] = useState(false)
	useEffect(() => {
		if (!done) return
		const timer = setTimeout(() => setDone(false), 1500)
		return () => clearTimeout(timer)
	}, [done])
	return (
		<button
			type="button"
			onClick={() =>
				copyText(value).then((ok) => {
					setDone(ok)
					announce(ok ? t("Copied.") : t("The browser refused to copy."))
				})
			}
			title={short ? value : undefined}
			className="group -my-0.5 inline-flex min-h-6 max-w-full items-center gap-1.5 rounded align-baseline font-mono text-sec text-ink decoration-edge underline-offset-4 hover:underline"
		>
			<span className={short ? "truncate" : "[overflow-wrap:anywhere] text-start"}>
				{short && value.length > 16 ? `${value.slice(0, 14)}…` : value}
			</span>
			{done ? (
				<Check size={12} aria-hidden className="text-leaf-ink" />
			) : (
				<CopyIcon size={12} aria-hidden className="text-muted opacity-55 group-hover:opacity-100" />
			)}
			<span className="sr-only">{t("copy {what}", { what: label ?? "" })}</span>
		</button>
	)
}

/** Works without HTTPS too, where the clipboard API is absent. */
export async function copyText(value: string): Promise<boolean> {
	try {
		await navigator.clipboard.writeText(value)
		return true
	} catch {
		const area = document.createElement("textarea")
		area.value = value
		area.style.position = "fixed"
		area.style.opacity = "0"
		const home = document.activeElement?.closest("[role=dialog]") ?? document.body
		const focused = document.activeElement
		home.append(area)
		area.select()
		const ok = document.execCommand("copy")
		area.remove()
		if (focused instanceof HTMLElement) focused.focus()
		return ok
	}
}

/** Hands a text over as a file. */
export function save(name: string, text: string): void {
	const a = document.createElement("a")
	a.download = name
	a.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }))
	a.click()
	setTimeout(() => URL.revokeObjectURL(a.href), 60_000)
}

/** A moment, said as distance from now and kept fresh. */
export function Time({ at }: { at?: string }) {
	const [, tick] = useState(0)
	useEffect(() => {
		const timer = setInterval(() => tick((n) => n + 1), 15_000)
		return () => clearInterval(timer)
	}, [])
	if (!happened(at)) return <span className="text-muted">{t("never")}</span>
	return (
		<time dateTime={at} title={moment(at)} className="whitespace-nowrap">
			{ago(at)}
		</time>
	)
}

export function Mono({ children }: { children: ReactNode }) {
	return <span className="font-mono text-sec [overflow-wrap:anywhere]">{children}</span>
}

/** Nothing to show, said to the eye and to the ear. */
export function None({ children = t("none") }: { children?: ReactNode }) {
	return <span className="text-muted">{children}</span>
}
