import { useSyncExternalStore } from "react"

export type Theme = "light" | "dark" | "system"

const watchers = new Set<() => void>()

function current(): Theme {
	const set = document.documentElement.dataset.theme
	return set === "light" || set === "dark" ? set : "system"
}

export function setTheme(theme: Theme): void {
	if (theme === "system") delete document.documentElement.dataset.theme
	else document.documentElement.dataset.theme = theme
	try {
		if (theme === "system") localStorage.removeItem("theme")
		else localStorage.setItem("theme", theme)
	} catch {
		// Without storage it holds until the page is closed.
	}
	for (const w of watchers) w()
}

export function useTheme(): Theme {
	return useSyncExternalStore((w) => {
		watchers.add(w)
		return () => watchers.delete(w)
	}, current)
}

/** Whether it is dark now, whoever decided so. */
export function isDark(): boolean {
	const set = current()
	return set === "dark" || (set === "system" && matchMedia("(prefers-color-scheme: dark)").matches)
}
