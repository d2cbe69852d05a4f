import { describe, expect, test } from "vitest"
import { isTime, lines, says } from "./rules"

test("a field of several words becomes a list", () => expect(lines(" a, b\nc,, ")).toEqual(["a", "b", "c"]))

describe("a group says what counts for it", () => {
	for (const [name, g, want] of [
		["nothing of its own", { name: "g" }, "as for everybody"],
		["no filter", { name: "g", off: true, rules: ["x"] }, "nothing is filtered"],
		[
			"services and bedtime",
			{
				name: "g",
				services: ["tiktok"],
				schedules: [{ from: "21:30", to: "07:00" }],
			},
			"without tiktok; every day 21:30 to 07:00: everything",
		],
	] as const) {
		// The fixtures are read only; the function does not change them either.
		test(name, () => expect(says(g as never)).toBe(want))
	}
})

describe("a time of a schedule", () => {
	for (const [s, want] of [
		["21:30", true],
		["24:00", false],
		["7:00", false],
		["", false],
	] as const) {
		test(s || "nothing", () => expect(isTime(s)).toBe(want))
	}
})
