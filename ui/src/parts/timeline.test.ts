import { expect, test } from "vitest"
import type { Event, Revision } from "../api/types"
import { byDay, merge, together } from "./timeline"

const revision = (n: number, time: string): Revision => ({ revision: n, time, actor: "alice", diff: [] })
const event = (id: number, kind: string, time: string, attrs?: Record<string, string>): Event => ({
	id,
	kind,
	time,
	severity: "info",
	text: "",
	attrs,
})

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
	const days = byDay(
		merge(
			[revision(2, "2026-05-03T12:00:00Z"), revision(1, "2026-05-01T12:00:00Z")],
			[event(1, "x", "2026-05-03T11:30:00Z")],
		),
	)
	expect(days.map(([, list]) => list.map((e) => e.key))).toEqual([["r2", "e1"], ["r1"]])
})

test("a start of many services is told once, a restart of one as it is", () => {
	const start = (id: number, unit: string, time: string): Event => ({
		...event(id, "unit.started", time),
		unit,
		text: `${unit} runs`,
	})
	const told = together([
		start(1, "dns", "2026-05-01T12:00:00Z"),
		start(2, "ntp", "2026-05-01T12:00:00Z"),
		start(3, "mail", "2026-05-01T12:00:01Z"),
		event(4, "user.signedin", "2026-05-01T12:00:02Z"),
		start(5, "dns", "2026-05-01T13:00:00Z"),
		start(6, "ntp", "2026-05-01T14:00:00Z"),
	])
	expect(told.map((e) => [e.id, e.text])).toEqual([
		[1, "3 parts of the cell started"],
		[4, ""],
		[5, "dns runs"],
		[6, "ntp runs"],
	])
})
