import { expect, test } from "vitest"
import { fromURL, makeKeys, withKey } from "./keys"

test("keys are written as wg writes them", () => {
	expect(fromURL("_-8")).toBe("/+8=")
	const clamped = atob(fromURL(`${"_".repeat(42)}8`, true))
	expect([clamped.charCodeAt(0), clamped.charCodeAt(31)]).toEqual([248, 127])
})

test("a pair is made, each time another, or none where the browser cannot", async () => {
	const [a, b] = [await makeKeys(), await makeKeys()]
	if (a === null) return // this Node has no X25519
	expect(a.private).toHaveLength(44)
	expect(a.public).toHaveLength(44)
	expect(a.private).not.toBe(b?.private)
})

test("the file gets the key that the cell never saw", () => {
	const file = "[Interface]\n# PrivateKey = (the device's own)\nAddress = 10.0.0.2/32\n"
	expect(withKey(file, "KEY=")).toBe("[Interface]\nPrivateKey = KEY=\nAddress = 10.0.0.2/32\n")
})
