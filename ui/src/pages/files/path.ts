import type { FileEntry } from "../../api/types"

/** "alice/photos" → the way there, beginning with the top. */
export function crumbs(path: string): { name: string; path: string }[] {
	const parts = path.split("/").filter(Boolean)
	return [
		{ name: "", path: "" },
		...parts.map((name, i) => ({ name, path: parts.slice(0, i + 1).join("/") })),
	]
}

export function below(path: string, name: string): string {
	return [...path.split("/").filter(Boolean), name].join("/")
}

/** Folders first, then by name as people sort: 2 before 10. */
export function sorted(entries: readonly FileEntry[]): FileEntry[] {
	return [...entries].sort(
		(a, b) => Number(b.dir) - Number(a.dir) || a.name.localeCompare(b.name, undefined, { numeric: true }),
	)
}
