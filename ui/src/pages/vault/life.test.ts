import { expect, test } from "vitest"
import { life, namesIn } from "./life"

const cert = { notBefore: "2026-01-01T00:00:00Z", notAfter: "2026-04-11T00:00:00Z" } // 100 days

test.each([
	["2026-01-01T00:00:00Z", 100, "ok"],
	["2026-03-08T00:00:00Z", 34, "ok"],
	["2026-03-12T00:00:00Z", 30, "warn"],
	["2026-04-05T00:00:00Z", 6, "bad"],
	["2027-01-01T00:00:00Z", 0, "bad"],
	["2025-01-01T00:00:00Z", 100, "ok"], // a clock that is behind
])("at %s there are %d %% left", (now, left, tone) => {
	expect(life(cert, Date.parse(now))).toEqual({ left, tone })
})

test.each([
	["", []],
	["printer", ["printer.oak.home.arpa"]],
	["Printer, nas.oak.home.arpa  printer", ["printer.oak.home.arpa", "nas.oak.home.arpa"]],
])("the names in %j are %j", (text, want) => expect(namesIn(text, "oak.home.arpa")).toEqual(want))
