import { expect, test } from "vitest"
import type { Peer } from "../../api/types"
import { fits, label, request, withPort } from "./filter"

const phone = { name: "phone", owner: "anna", address: "10.66.0.2" } as Peer

test.each([
	["", true],
	["PHO", true],
	[" anna ", true],
	["66.0.2", true],
	["bert", false],
])("a device is found by %j: %s", (text, want) => expect(fits(phone, text)).toBe(want))

test.each([
	["phone", "phone"],
	["Anna's Phone", "annas-phone"],
	["Büro – Rechner 2", "buro-rechner-2"],
	["--x--", "x"],
	["日本", ""],
	["a".repeat(80), "a".repeat(63)],
])("%j becomes the label %j", (text, want) => expect(label(text)).toBe(want))

test("what is left open is not asked for", () => {
	expect(
		request(
			{ name: "My Phone", owner: "", device: "", tunnel: "full", how: "now", endpoint: " ", publicKey: "" },
			51820,
		),
	).toEqual({
		name: "my-phone",
		owner: undefined,
		split: false,
		endpoint: undefined,
		publicKey: undefined,
	})
})

test.each([
	["", ""],
	["home.example.org", "home.example.org:51820"],
	["home.example.org:443", "home.example.org:443"],
	["203.0.113.7", "203.0.113.7:51820"],
	["2001:db8::1", "[2001:db8::1]:51820"],
	["[2001:db8::1]", "[2001:db8::1]:51820"],
	["[2001:db8::1]:443", "[2001:db8::1]:443"],
])("the endpoint %j is dialled as %j", (endpoint, want) => expect(withPort(endpoint, 51820)).toBe(want))
