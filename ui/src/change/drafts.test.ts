import { beforeEach, describe, expect, test } from "vitest"
import {
	applied,
	confirmSeconds,
	type Drafts,
	draftOf,
	errorFor,
	noDrafts,
	refusals,
	say,
	setDraft,
	store,
	toSend,
} from "./drafts"

describe("a draft", () => {
	test("is kept by path and shown instead of what is stored", () => {
		const d = setDraft(noDrafts, "cell.name", "elm", "oak", 7)
		expect(d.base).toBe(7)
		expect(draftOf(d, "cell.name", "oak", "")).toBe("elm")
		expect(draftOf(d, "cell.domain", "oak.home.arpa", "")).toBe("oak.home.arpa")
	})

	test("vanishes when the stored value is typed again", () => {
		const d = setDraft(setDraft(noDrafts, "cell.name", "elm", "oak", 7), "cell.name", "oak", "oak", 7)
		expect(d).toBe(noDrafts)
	})

	test("that empties a value deletes it", () => {
		const d = setDraft(noDrafts, "dns.upstreams", [], ["1.1.1.1:53"], 7)
		expect(d.edits.get("dns.upstreams")).toEqual({ path: "dns.upstreams", delete: true })
		expect(draftOf<string[]>(d, "dns.upstreams", ["1.1.1.1:53"], [])).toEqual([])
	})

	test("of nothing where nothing is stored is none", () => {
		expect(setDraft(noDrafts, "wireguard.endpoint", "", undefined, 7)).toBe(noDrafts)
	})

	test("does not care for the order of keys", () => {
		expect(
			setDraft(noDrafts, "dns.records", [{ type: "A", name: "nas" }], [{ name: "nas", type: "A" }], 7),
		).toBe(noDrafts)
	})

	test("is sent without the lines of a list that are still empty", () => {
		let d = setDraft(noDrafts, "dns.upstreams", ["9.9.9.9:53", ""], [], 7)
		expect(toSend(d)).toEqual([{ path: "dns.upstreams", value: ["9.9.9.9:53"] }])
		d = setDraft(noDrafts, "dns.upstreams", [""], ["1.1.1.1:53"], 7)
		expect(toSend(d)).toEqual([{ path: "dns.upstreams", delete: true }])
	})

	test("keeps the revision of the first one", () => {
		let d: Drafts = setDraft(noDrafts, "cell.name", "elm", "oak", 7)
		d = setDraft(d, "cell.domain", "elm.example", "oak.example", 9)
		expect(d.base).toBe(7)
		expect([...d.edits.keys()]).toEqual(["cell.name", "cell.domain"])
	})
})

test.each([
	["cell.name", 0],
	["dns.upstreams", 0],
	["cell.listen", 90],
	["web.uiPort", 90],
	["mail.listen", 90],
	["mail.imapPort", 90],
	["wireguard.port", 90],
	["wireguard.endpoint", 0],
	["dhcp.enabled", 90],
])("a change of %s waits %d s for a confirmation", (path, want) => {
	expect(confirmSeconds(setDraft(noDrafts, path, "x", "y", 1))).toBe(want)
})

test("an error inside a list stands at the list's field", () => {
	const errors = [{ path: "dns.upstreams[1]", message: "is no address" }]
	expect(errorFor(errors, "dns.upstreams")).toBe("is no address")
	expect(errorFor(errors, "dns.upstream")).toBeUndefined()
})

test.each([
	["dns.upstreams", "dns.upstreams gains 9.9.9.9:53", "DNS upstreams", "gains 9.9.9.9:53"],
	["peers.phone", "peers.phone added", "Peer phone", "added"],
	["peers.myPhone.split", "peers.myPhone.split set to true", "Peer myPhone split", "set to true"],
	["mail.imapPort", "mail.imapPort 993 → 994", "Email imap port", "993 → 994"],
	[
		'proxy.routes."nas.example"',
		'proxy.routes."nas.example" removed',
		"Routing routes nas.example",
		"removed",
	],
	["x.y", "something else", "x y", "something else"],
])("the difference at %s reads well", (path, text, what, words) => {
	expect(say({ path, text })).toEqual({ what, words })
})

describe("after a change", () => {
	beforeEach(() => store.set({ applied: null }))

	test("the bar offers the revision before", () => {
		applied({ revision: 8, durationMs: 84, diff: [{ path: "cell.name", text: "cell.name oak → elm" }] })
		expect(store.get().applied?.before).toBe(7)
	})

	test("that changed nothing there is nothing to undo", () => {
		applied({ revision: 8, durationMs: 1, diff: [] })
		applied({ revision: 8, durationMs: 1, dryRun: true, diff: [{ path: "a", text: "a" }] })
		expect(store.get().applied).toBeNull()
	})
})

test("a refusal names the field as the pages do", () => {
	expect(
		refusals([
			{ path: "dns.upstreams", message: "is empty" },
			{ path: "password", message: "too short" },
		]),
	).toEqual(["DNS upstreams: is empty", "password: too short"])
})
