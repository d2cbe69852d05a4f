import { describe, expect, test } from "vitest"
import type { DNSQuery } from "../../api/types"
import { fits, took, why } from "./queries"

const q: DNSQuery = {
	id: "1",
	time: "2026-01-01T00:00:00Z",
	client: "192.168.1.7",
	device: "anna's phone",
	name: "ads.example.com",
	type: "A",
	proto: "udp",
	rcode: "NOERROR",
	verdict: "answered",
	source: "upstream",
	upstream: "9.9.9.9:53",
	durationMs: 12,
}

describe("a query fits a filter", () => {
	for (const [name, f, want] of [
		["without one", {}, true],
		["by a part of its name", { name: "EXAMPLE" }, true],
		["not by another name", { name: "example.org" }, false],
		["by its device", { client: "Anna" }, true],
		["by its whole address", { client: "192.168.1.7" }, true],
		["not by a part of its address", { client: "192.168.1" }, false],
		["by its verdict", { verdict: "answered" }, true],
		["not by another verdict", { verdict: "blocked" }, false],
	] as const) {
		test(name, () => expect(fits(q, f)).toBe(want))
	}
})

describe("the reason of a verdict", () => {
	test("names list and rule", () =>
		expect(why({ ...q, verdict: "blocked", list: "ads", rule: "||example.com^" })).toBe(
			"ads: ||example.com^",
		))
	test("names the upstream", () => expect(why(q)).toBe("from 9.9.9.9:53"))
	test("says that DNSSEC was checked", () =>
		expect(why({ ...q, secure: true, source: "cache" })).toBe("from memory, checked"))
	test("says why it failed", () =>
		expect(why({ ...q, verdict: "failed", rcode: "SERVFAIL", reason: "no upstream answers" })).toBe(
			"SERVFAIL: no upstream answers",
		))
})

test("a time that does not matter is said so", () => {
	expect(took(0.012)).toBe("< 0.1 ms")
	expect(took(4.26)).toBe("4.3 ms")
	expect(took(31.7)).toBe("32 ms")
})
