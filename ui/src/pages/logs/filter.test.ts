import { expect, test } from "vitest"
import type { Line } from "../../api/types"
import { attrs, hasText, unitsOf } from "./filter"

const line: Line = {
	id: 1,
	time: "",
	level: "INFO",
	unit: "dns",
	msg: "serving",
	attrs: { listen: "127.0.0.1:53", why: 'asked "so"' },
}

test("attributes read as in the log file", () => {
	expect(attrs(line)).toBe('listen=127.0.0.1:53 why="asked \\"so\\""')
	expect(attrs({ ...line, attrs: undefined })).toBe("")
})

test.each([
	["", true],
	["DNS", true],
	["listen=127", true],
	[" Serving ", true],
	["mail", false],
])("the text %j is in the line: %s", (text, want) => expect(hasText(line, text)).toBe(want))

test("what has said something can be chosen, and what is chosen stays", () => {
	expect(unitsOf([{ name: "ntp" }], [line, { ...line, unit: undefined }], "mail")).toEqual([
		"dns",
		"mail",
		"ntp",
	])
})
