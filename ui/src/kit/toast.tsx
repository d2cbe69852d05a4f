import { useEffect, useSyncExternalStore } from "react"

// One short sentence at a time: shown and said, or only said to a screen reader.
let shown = ""
let said = ""
let serial = 0
const watchers = new Set<() => void>()

function tell() {
	serial++
	for (const w of watchers) w()
}

export function toast(sentence: string): void {
	shown = sentence
	tell()
}

/** For what the eye sees anyway. */
export function announce(sentence: string): void {
	said = sentence
	tell()
}

export function Toast() {
	const n = useSyncExternalStore(
		(w) => {
			watchers.add(w)
			return () => watchers.delete(w)
		},
		() => serial,
	)
	// biome-ignore lint/correctness/useExhaustiveDependencies: a new sentence starts the time anew
	useEffect(() => {
		if (!shown && !said) return
		const timer = setTimeout(() => {
			shown = said = ""
			tell()
		}, 5000)
		return () => clearTimeout(timer)
	}, [n])
	return (
		<div
			role="status"
			className="pointer-events-none fixed inset-x-4 bottom-[calc(var(--bottom-bar)+16px)] z-50 flex justify-center"
		>
			{shown && (
				<div className="float pointer-events-auto rounded-card border border-line bg-raised px-4 py-2.5 shadow-float">
					{shown}
				</div>
			)}
			<span className="sr-only">{said}</span>
		</div>
	)
}
