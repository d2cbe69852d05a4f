import { expect, test } from "vitest"
import { bars } from "./bars"

test("each hour has its place, and the highest bar is full", () => {
	const now = Date.parse("2026-03-01T12:30:00Z")
	const { list, most } = bars(
		[
			{ time: "2026-03-01T10:00:00Z", rxBytes: 10, txBytes: 30 },
			{ time: "2026-03-01T12:00:00Z", rxBytes: 20, txBytes: 0 },
		],
		3600,
		3,
		now,
	)
	expect(most).toBe(40)
	expect(list.map((b) => [b.x, b.rx, b.tx])).toEqual([
		[0, 10, 30],
		[1, 0, 0],
		[2, 20, 0],
	])
})
