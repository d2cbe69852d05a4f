import { expect, test } from "vitest"
import { addresses, exitState, nameOf, whileDown } from "./exitwords"

test("the name of an exit comes from its file", () => {
	for (const [file, want] of Object.entries({
		"oslo.conf": "oslo",
		"C:\\Downloads\\SE Stockholm #7.conf": "se-stockholm-7",
		"_.conf": "",
		"mullvad.TXT": "mullvad",
	}))
		expect(nameOf(file)).toBe(want)
})

test("an exit that is off is not called down", () => {
	expect(exitState({ state: "off", disabled: true })[1]).toBe("off")
	expect(exitState({ state: "up", disabled: false })).toEqual(["ok", "up"])
	expect(exitState({ state: "down", disabled: false })[0]).toBe("warn")
	expect(exitState({ state: "down", disabled: false, trouble: "no key" })[0]).toBe("bad")
})

test("who may fall back is told from who has no internet", () => {
	expect(whileDown({ peers: ["a", "b"], fallback: [] })).toMatch(/^No internet/)
	expect(whileDown({ peers: ["a", "b"], fallback: ["b"] })).toBe(
		"b by the cell's own line; no internet for the others",
	)
	expect(whileDown({ peers: ["a"], fallback: ["a"] })).toMatch(/^Everybody/)
})

test("addresses are taken apart by commas and blanks", () => {
	expect(addresses(" 9.9.9.9, 2620:fe::fe\n")).toEqual(["9.9.9.9", "2620:fe::fe"])
})
