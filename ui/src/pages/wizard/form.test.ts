import { expect, test } from "vitest"
import { domainOf, type Form, gaps, request, stepOf, tokenIn } from "./form"

const form: Form = {
	token: "t",
	name: "oak",
	domain: "",
	admin: "alice",
	display: "",
	password: "three small words",
	again: "three small words",
}

test.each([
	["#token=abc-def", "abc-def"],
	["#token=a%2Bb&x=1", "a+b"],
	["", ""],
	["#other", ""],
])("the token in %j is %j", (hash, want) => expect(tokenIn(hash)).toBe(want))

test("the domain follows the name unless it is chosen", () => {
	expect(domainOf(form)).toBe("oak.home.arpa")
	expect(domainOf({ ...form, domain: "oak.example" })).toBe("oak.example")
	expect(domainOf({ ...form, name: "" })).toBe("")
})

test("a step with gaps names them by field", () => {
	expect(gaps("token", { ...form, token: " " })).toHaveProperty("token")
	for (const name of ["", "Oak", "-oak", "oak.", "a b"])
		expect(gaps("cell", { ...form, name })).toHaveProperty("name")
	expect(gaps("admin", { ...form, password: "short" })).toHaveProperty("password")
	expect(gaps("admin", { ...form, again: "other" })).toEqual({ again: "The two passwords are not the same." })
	for (const s of ["token", "cell", "admin", "summary"] as const) expect(gaps(s, form)).toEqual({})
})

test("the repeated password is not sent, nor what was left open", () => {
	expect(request(form)).toEqual({
		token: "t",
		name: "oak",
		domain: undefined,
		admin: "alice",
		display: undefined,
		password: "three small words",
	})
})

test.each([
	[["password"], "admin"],
	[["users[0].name"], "admin"],
	[["cell.domain"], "cell"],
	[["token"], "token"],
	[["wireguard.subnet"], undefined],
])("a refusal of %j leads back to %s", (paths, want) => expect(stepOf(paths)).toBe(want))
