// What the query log says, in words. Pure.
import { Problem } from "../../api/client"
import type { QueryFilter } from "../../api/hooks"
import type { DNSQuery } from "../../api/types"
import { t } from "../../kit/words"

/** Whether a new query belongs to what is shown. The cell judges the older ones. */
export function fits(q: DNSQuery, f: QueryFilter): boolean {
	const has = (s: string | undefined, part: string) => (s ?? "").toLowerCase().includes(part.toLowerCase())
	if (f.verdict && q.verdict !== f.verdict) return false
	if (f.type && q.type !== f.type) return false
	if (f.name && !has(q.name, f.name)) return false
	return !f.client || q.client === f.client || has(q.device, f.client)
}

const from: Record<string, string> = {
	zone: t("from this cell"),
	cache: t("from memory"),
	upstream: t("from upstream"),
	stale: t("from memory, past its time"),
	policy: t("by rule"),
}

/** The reason of a verdict in one line. */
export function why(q: DNSQuery): string {
	if (q.verdict === "blocked" || q.verdict === "rewritten" || q.verdict === "allowed") {
		const rule = [q.list, q.rule].filter(Boolean).join(": ")
		if (rule) return rule
		if (q.reason) return q.reason
	}
	if (q.verdict === "failed" || q.verdict === "refused") return [q.rcode, q.reason].filter(Boolean).join(": ")
	if (q.verdict === "limited") return q.reason ?? ""
	const parts = [from[q.source] ?? q.source]
	if (q.source === "upstream" && q.upstream) parts[0] = t("from {upstream}", { upstream: q.upstream })
	if (q.rcode !== "NOERROR") parts.push(q.rcode)
	if (q.secure) parts.push(t("checked"))
	return parts.filter(Boolean).join(", ")
}

/** How long an answer took; most from memory take no time that matters. */
export function took(ms: number): string {
	if (ms < 0.1) return t("< 0.1 ms")
	return t("{n} ms", { n: ms.toFixed(ms < 10 ? 1 : 0) })
}

export function isForbidden(err: unknown): boolean {
	return err instanceof Problem && err.status === 403
}
