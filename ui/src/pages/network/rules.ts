// The rules of groups, in words. Pure.
import type { FilterGroup, Schedule } from "../../api/types"
import { t, tn } from "../../kit/words"

/** "a, b" or one per line → [a, b]. */
export function lines(s: string): string[] {
	return s
		.split(/[\n,]/)
		.map((x) => x.trim())
		.filter(Boolean)
}

export const days = [
	["mon", t("Monday")],
	["tue", t("Tuesday")],
	["wed", t("Wednesday")],
	["thu", t("Thursday")],
	["fri", t("Friday")],
	["sat", t("Saturday")],
	["sun", t("Sunday")],
] as const

/** "mon–fri 21:30 to 07:00: everything". */
export function when(s: Schedule): string {
	const on = s.days?.length ? s.days.join(", ") : t("every day")
	const what = s.services?.length ? s.services.join(", ") : t("everything")
	return t("{days} {from} to {to}: {what}", { days: on, from: s.from, to: s.to, what })
}

/** A group in one line. */
export function says(g: FilterGroup): string {
	if (g.off) return t("nothing is filtered")
	const parts: string[] = []
	if (g.lists?.length) parts.push(t("lists: {names}", { names: g.lists.join(", ") }))
	if (g.rules?.length) parts.push(tn(g.rules.length, "{n} rule", "{n} rules"))
	if (g.services?.length) parts.push(t("without {names}", { names: g.services.join(", ") }))
	if (g.safeSearch !== undefined) parts.push(g.safeSearch ? t("safe search") : t("no safe search"))
	for (const s of g.schedules ?? []) parts.push(when(s))
	if (g.unlogged) parts.push(t("not logged"))
	return parts.join("; ") || t("as for everybody")
}

/** Whether a time can be one of a schedule. */
export function isTime(s: string): boolean {
	return /^([01]\d|2[0-3]):[0-5]\d$/.test(s)
}
