import { expect, test } from "vitest"
import { pathOf } from "./qr"

test("each run of dark modules is one rectangle", () => {
	expect(pathOf([[true, true, false, true], [], [false, false, true]])).toBe(
		"M0 0h2v1h-2zM3 0h1v1h-1zM2 2h1v1h-1z",
	)
})
