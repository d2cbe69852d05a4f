import { expect, test } from "vitest"
import { columns, deviceName, ticks } from "./series"

const at = (s: number) => new Date(s * 1000).toISOString()

test("steps in which nothing was are there, as zero", () =>
	expect(
		columns(
			[
				{ at: at(3600), sent: 1, received: 2 },
				{ at: at(10_800), sent: 3, received: 4 },
			],
			"hour",
			4000,
			12_000,
		),
	).toEqual({ at: [3600, 7200, 10_800], sent: [1, 0, 3], received: [2, 0, 4] }))

test("days begin when the cell's days begin", () =>
	expect(columns([{ at: at(79_200), sent: 5, received: 6 }], "day", 80_000, 170_000)).toEqual({
		at: [79_200, 165_600],
		sent: [5, 0],
		received: [6, 0],
	}))

test("nothing at all is a line of zeros", () =>
	expect(columns([], "minute", 60, 180)).toEqual({
		at: [60, 120, 180],
		sent: [0, 0, 0],
		received: [0, 0, 0],
	}))

test("a chart says the time of the day, and the day where it begins", () => {
	const local = (h: number) => new Date(2026, 4, 2, h).getTime() / 1000
	expect(ticks([local(-2), local(0), local(14)], 7200)).toEqual(["22:00", "2 May", "14:00"])
	expect(ticks([local(6)], 86_400)).toEqual(["2 May"])
})

test("a device is called by the best that is known of it", () => {
	const rest = { kind: "lan" as const, sent: 0, received: 0, sentRate: 0, receivedRate: 0, series: [] }
	expect(deviceName({ ...rest, name: "tv", address: "192.168.1.9", mac: "02:00:5e:00:00:01" })).toBe("tv")
	expect(deviceName({ ...rest, address: "192.168.1.9", mac: "02:00:5e:00:00:01" })).toBe("192.168.1.9")
	expect(deviceName({ ...rest, kind: "peer", publicKey: "abcdefghijklmnop" })).toBe("abcdefghijkl…")
})
