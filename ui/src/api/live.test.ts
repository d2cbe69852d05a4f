import { describe, expect, test } from "vitest"
import { errorAt, Problem, revisionOf, sentence, toldByFields } from "./client"
import { addTo, applyLive, applyPulse, levelRank, lineFits, touchedBy } from "./live"
import type { Event, Health, Line, LivePeer, Peer, Pulse } from "./types"

const line = (id: number, level = "INFO", unit = "dns"): Line => ({
	id,
	level,
	unit,
	msg: "m",
	time: "2026-01-01T00:00:00Z",
})

describe("a list that grows", () => {
	test("forgets the oldest", () => {
		expect(addTo([line(1), line(2), line(3)], line(4), 3)?.map((l) => l.id)).toEqual([2, 3, 4])
	})
	test("takes nothing twice, as after a resumed stream", () => {
		const list = [line(1), line(2)]
		expect(addTo(list, line(2), 10)).toBe(list)
		expect(addTo(list, line(1), 10)).toBe(list)
	})
	test("that nobody asked for is not begun", () => {
		expect(addTo(undefined, line(1), 10)).toBeUndefined()
	})
})

describe("a line fits a filter", () => {
	test("by unit and by level and above", () => {
		expect(lineFits(line(1, "WARN"), { unit: "dns", level: "info" })).toBe(true)
		expect(lineFits(line(1, "INFO"), { unit: "", level: "warn" })).toBe(false)
		expect(lineFits(line(1, "ERROR"), { unit: "mail", level: "" })).toBe(false)
	})
	test("between two levels it counts as the lower", () => {
		expect(levelRank("INFO+2")).toBe(levelRank("info"))
	})
})

describe("the small status", () => {
	const pulse = { revision: 4, ok: false, sentence: "dns is not running." } as Pulse
	const health = {
		revision: 3,
		ok: true,
		sentence: "All 9 services are well.",
		pending: { revision: 3 },
		problems: [],
		version: "1",
	} as unknown as Health

	test("changes what it tells, ends a wait that is over, and keeps the rest", () => {
		expect(applyPulse(health, { ...pulse, problems: ["dns/down"] } as Pulse)).toEqual({
			...health,
			...pulse,
			pending: undefined,
			problems: [],
		})
	})
	test("is no status by itself", () => {
		expect(applyPulse(undefined, pulse)).toBeUndefined()
	})
})

test("a lease makes DHCP and the names stale, and nothing else", () => {
	expect(touchedBy({ kind: "lease.given" } as Event)).toEqual(["dhcp", "dns"])
	expect(touchedBy({ kind: "unheard.of" } as Event)).toEqual([])
})

describe("a refusal", () => {
	const p = new Problem(422, "x", [{ path: "password", message: "is shorter than 8 characters" }])
	test("is told beside its field, as a sentence", () => {
		expect(errorAt(p, "password")).toBe("Is shorter than 8 characters.")
		expect(errorAt(p, "name")).toBeUndefined()
		expect(toldByFields(p, ["password"])).toBe(true)
		expect(toldByFields(p, ["name"])).toBe(false)
	})
	test("keeps a leading path as it is", () => {
		expect(sentence("dns.port: is taken")).toBe("dns.port: is taken.")
		expect(sentence("sign in first")).toBe("Sign in first.")
		expect(sentence("")).toBe("")
	})
})

test.each([
	['"12"', 12],
	['W/"12"', 12],
	['"abc"', 0],
	[null, 0],
])("the ETag %s is revision %d", (tag, want) => expect(revisionOf(tag)).toBe(want))

test("news of devices change those and leave the others", () => {
	const list = [
		{ name: "phone", rxTotal: 1 },
		{ name: "tv", rxTotal: 2 },
	] as Peer[]
	const news = [{ name: "phone", rxTotal: 5, connected: true }, { name: "gone" }] as LivePeer[]
	expect(applyLive(list, news)).toEqual([
		{ name: "phone", rxTotal: 5, connected: true },
		{ name: "tv", rxTotal: 2 },
	])
	expect(applyLive(undefined, news)).toBeUndefined()
})
