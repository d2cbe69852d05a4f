import { expect, test } from "vitest"
import type { Event, Line, Revision } from "../../api/types"
import { attrs, byDay, hasText, merge, unitsOf } from "./filter"

const line: Line = { id: 1, time: "", level: "INFO", unit: "dns", msg: "serving", attrs: { listen: "127.0.0.1:53", why: "asked \"so\"" } }

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

const revision = (n: number, time: string): Revision => ({ revision: n, time, actor: "alice", diff: [] })
const event = (id: number, kind: string, time: string, attrs?: Record<string, string>): Event => ({ id, kind, time, severity: "info", text: "", attrs })

test("changes and events make one list, newest first, each change once", () => {
	const merged = merge(
		[revision(2, "2026-05-01T12:00:00Z"), revision(1, "2026-05-01T10:00:00Z")],
		[
			event(5, "change.applied", "2026-05-01T12:00:00Z", { revision: "2" }),
			event(6, "lease.given", "2026-05-01T11:00:00Z"),
			event(4, "change.applied", "2026-04-01T11:00:00Z", { revision: "77" }), // no longer kept
		],
	)
	expect(merged.map((e) => e.key)).toEqual(["r2", "e6", "r1", "e4"])
})

test("days keep the order", () => {
	const days = byDay(merge([revision(2, "2026-05-03T12:00:00Z"), revision(1, "2026-05-01T12:00:00Z")], [event(1, "x", "2026-05-03T11:30:00Z")]))
	expect(days.map(([, list]) => list.map((e) => e.key))).toEqual([["r2", "e1"], ["r1"]])
})

test("what has said something can be chosen, and what is chosen stays", () => {
	expect(unitsOf([{ name: "ntp" }], [line, { ...line, unit: undefined }], "mail")).toEqual(["dns", "mail", "ntp"])
})
