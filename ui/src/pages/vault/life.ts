import type { Tone } from "../../kit/status"

/** How much of a certificate's life is left, in percent. Under a third it is due for renewal, under a tenth it is late. */
export function life(
	c: { notBefore: string; notAfter: string },
	now = Date.now(),
): { left: number; tone: Tone } {
	const from = Date.parse(c.notBefore)
	const to = Date.parse(c.notAfter)
	const left = to > from ? Math.max(0, Math.min(100, Math.round(((to - now) / (to - from)) * 100))) : 0
	return { left, tone: left > 33 ? "ok" : left > 10 ? "warn" : "bad" }
}

/** The names of a certificate as typed: with commas or spaces, whole or below the domain. */
export function namesIn(text: string, domain: string): string[] {
	const words = text
		.toLowerCase()
		.split(/[\s,]+/)
		.filter(Boolean)
	return [...new Set(words.map((w) => (w.includes(".") || !domain ? w : `${w}.${domain}`)))]
}
