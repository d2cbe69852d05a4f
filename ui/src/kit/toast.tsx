import { useEffect, useSyncExternalStore } from "react"

// One short sentence at a time, said to the eye and to the screen reader.
let text = ""
let serial = 0
const watchers = new Set<() => void>()

export function toast(sentence: string): void {
	text = sentence
	serial++
	for (const w of watchers) w()
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
		if (!text) return
		const timer = setTimeout(() => toast(""), 5000)
		return () => clearTimeout(timer)
	}, [n])
	return (
		<div role="status" className="pointer-events-none fixed inset-x-4 bottom-[calc(var(--bottom-bar)+16px)] z-50 flex justify-center">
			{text && <div className="float pointer-events-auto rounded-card border border-line bg-raised px-4 py-2.5 shadow-float">{text}</div>}
		</div>
	)
}
