import { expect, test } from "vitest"
import type { Peer } from "../api/types"
import { isConnected, isLoopback, peerState } from "./peer"

const now = Date.parse("2026-05-01T12:00:00Z")
const peer = (part: Partial<Peer>): Peer => ({ name: "phone", disabled: false, ...part }) as Peer

test.each([
	[peer({ lastHandshake: "2026-05-01T11:58:00Z" }), "connected"],
	[peer({ lastHandshake: "2026-05-01T11:56:00Z" }), "away"],
	[peer({}), "never connected"],
	[peer({ lastHandshake: "2026-05-01T11:58:00Z", disabled: true }), "switched off"],
])("a peer's state follows its last handshake", (p, want) => {
	expect(peerState(p, now)[1]).toBe(want)
	expect(isConnected(p, now)).toBe(want === "connected")
})

test.each([
	["127.0.0.1:51820", true],
	["localhost", true],
	["[::1]:51820", true],
	["home.example.org:51820", false],
	["192.168.1.1:51820", false],
])("%s holds on the cell alone: %s", (host, want) => expect(isLoopback(host)).toBe(want))
