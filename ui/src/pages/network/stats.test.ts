import { describe, expect, test } from "vitest"
import { median, share } from "./stats"

describe("the median of buckets", () => {
	test("is the edge of the bucket that holds it", () =>
		expect(
			median([
				{ upToMs: 0.25, count: 10 },
				{ upToMs: 4, count: 30 },
				{ upToMs: 64, count: 9 },
			]),
		).toBe("4"))
	test("keeps parts of a millisecond", () => expect(median([{ upToMs: 0.25, count: 1 }])).toBe("0.25"))
	test("is 0 of nothing", () => expect(median([])).toBe("0"))
})

test("a share is in whole percent, and nothing of nothing", () => {
	expect(share(1, 3)).toBe("33 %")
	expect(share(0, 0)).toBe("")
})
