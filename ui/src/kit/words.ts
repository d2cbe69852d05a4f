// Every sentence of the UI goes through t(), so that it can be said in another
// language: the English sentence is the key, {name} stands for a value.

export type Words = Record<string, string>

let words: Words = {}
let rules = new Intl.PluralRules("en")

/** Uses another language. What it lacks is said in English. */
export function speak(language: string, table: Words): void {
	words = table
	rules = new Intl.PluralRules(language)
}

export function t(sentence: string, values?: Record<string, string | number>): string {
	const s = words[sentence] ?? sentence
	return values ? s.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all)) : s
}

/** tn(2, "{n} device", "{n} devices"). A table may hold "{n} devices#few" and the like. */
export function tn(n: number, one: string, other: string, values?: Record<string, string | number>): string {
	const rule = rules.select(n)
	const key = rule === "one" ? one : other
	const chosen = words[`${other}#${rule}`] ? `${other}#${rule}` : key
	return t(chosen, { n: new Intl.NumberFormat(undefined).format(n), ...values })
}
