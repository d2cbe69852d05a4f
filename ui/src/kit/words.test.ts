import { afterEach, expect, test } from "vitest"
import { speak, t, tn } from "./words"

afterEach(() => speak("en", {}))

test("English needs no table", () => {
	expect(t("Remove {name}?", { name: "phone" })).toBe("Remove phone?")
	expect(t("{what} stays", {})).toBe("{what} stays")
	expect([0, 1, 2].map((n) => tn(n, "{n} device", "{n} devices"))).toEqual([
		"0 devices",
		"1 device",
		"2 devices",
	])
})

test("another language says it in its own order and plurals", () => {
	speak("pl", {
		"Remove {name}?": "{name}: usunąć?",
		"{n} devices#few": "{n} urządzenia",
		"{n} devices#many": "{n} urządzeń",
	})
	expect(t("Remove {name}?", { name: "phone" })).toBe("phone: usunąć?")
	expect([3, 5].map((n) => tn(n, "{n} device", "{n} devices"))).toEqual(["3 urządzenia", "5 urządzeń"])
	expect(t("Apply")).toBe("Apply")
})
