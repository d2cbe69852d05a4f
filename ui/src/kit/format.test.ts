import { describe, expect, test } from "vitest"
import { ago, bytes, happened, smallSpan, span, tidy } from "./format"

test("bytes are rounded to what a person reads", () => {
	expect([0, 999, 1000, 1_234_567, 123_456_789, 999_960].map(bytes)).toEqual([
		"0 B",
		"999 B",
		"1.0 kB",
		"1.2 MB",
		"123 MB",
		"1.0 MB",
	])
	expect(bytes(undefined)).toBe("–")
	expect(bytes(-1)).toBe("–")
})

describe("times", () => {
	const now = Date.parse("2026-05-01T12:00:00Z")
	test.each([
		["2026-05-01T11:59:58Z", "just now"],
		["2026-05-01T11:57:00Z", "3 minutes ago"],
		["2026-04-30T11:57:00Z", "yesterday"],
		["2026-07-29T13:00:00Z", "in 2 months"],
		["2026-06-20T13:00:00Z", "in 50 days"],
		["0001-01-01T00:00:00Z", "never"],
		["nonsense", "never"],
	])("%s is %s", (t, want) => expect(ago(t, now)).toBe(want))

	test("a time that never was has not happened", () => {
		expect([undefined, null, "", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00Z"].map(happened)).toEqual([
			false,
			false,
			false,
			false,
			true,
		])
	})

	test("spans keep two units", () => {
		expect([0, 59, 60, 3661, 93784].map(span)).toEqual(["0 s", "59 s", "1 min", "1 h 1 min", "1 d 2 h"])
	})

	test("clock offsets pick their unit and keep their sign", () => {
		expect([0.0000123, -0.0021, 3.5, undefined].map(smallSpan)).toEqual(["12.3 µs", "-2.1 ms", "3.5 s", "–"])
	})
})

test("times within a text are said shorter", () => {
	expect(tidy("until 2036-05-01T12:00:00.123456789Z, then")).toMatch(/^until 1 May 2036, \d\d:00:00, then$/)
	expect(tidy("127.0.0.1:53")).toBe("127.0.0.1:53")
})
