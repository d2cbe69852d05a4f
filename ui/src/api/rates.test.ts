import { expect, test } from "vitest"
import { addSample, rates, type Sample } from "./rates"

const sample = (at: number, bytes: number, queries = 0): Sample => ({ at, bytes, queries })

test("two counters make a rate", () => {
	let list: readonly Sample[] = []
	for (const s of [sample(0, 100, 10), sample(2, 300, 11), sample(6, 300, 11)]) list = addSample(list, s)
	expect(rates(list)).toEqual([sample(2, 100, 0.5), sample(6, 0, 0)])
})

test("one counter makes none", () => {
	expect(rates(addSample([], sample(0, 5)))).toEqual([])
})

test("a counter that fell begins anew, as after a restart", () => {
	expect(addSample([sample(0, 900)], sample(2, 10))).toEqual([sample(2, 10)])
})

test("only the last minute is kept, and nothing twice", () => {
	const list = addSample([sample(0, 1)], sample(100, 2))
	expect(list).toEqual([sample(100, 2)])
	expect(addSample(list, sample(100, 2))).toBe(list)
})
