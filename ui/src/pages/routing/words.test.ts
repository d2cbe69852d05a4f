import { describe, expect, test } from "vitest"
import { lineState, rate } from "./words"

describe("the line to the provider", () => {
	const line = { plugged: true, method: "dhcp" as const, addresses6: [] }
	for (const [name, w, want] of [
		["without a cable", { ...line, plugged: false, state: "bound" }, "no cable"],
		["with a fixed address", { ...line, method: "static" as const }, "fixed address"],
		["with a lease", { ...line, state: "bound" }, "connected"],
		["whose server is gone", { ...line, state: "rebinding" }, "its server does not answer"],
		["without an address", { ...line, state: "selecting" }, "waits for an address"],
		["with IPv6 only", { ...line, state: "selecting", addresses6: ["2001:db8::5/128"] }, "connected"],
	] as const)
		test(name, () => expect(lineState({ ...w, addresses6: [...w.addresses6] })[1]).toBe(want))
})

test("rates are said in the unit of the line's contract", () => {
	expect(rate(0)).toBe("unlimited")
	expect(rate(640)).toBe("640 kbit/s")
	expect(rate(47_500)).toBe("47.5 Mbit/s")
	expect(rate(250_000)).toBe("250 Mbit/s")
})
