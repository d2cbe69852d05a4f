import { expect, test } from "vitest"
import type { Peer } from "../../api/types"
import { askFor, formOf, ownOf } from "./rights"

const peer = {
	internet: false,
	lan: true,
	services: ["mail"],
	peers: ["none"],
	rights: [
		{ name: "internet", text: "", source: "own" },
		{ name: "lan", text: "", source: "group", groups: ["kids"] },
		{ name: "services", text: "", source: "own" },
		{ name: "exit", text: "", source: "own" },
	],
} as Peer

test("only a device's own rights are in its form", () => {
	expect(formOf(ownOf(peer))).toEqual({
		internet: "no",
		lan: "",
		fallback: "",
		services: ["mail"],
		peers: null,
		cells: null,
		exit: "none",
	})
})

test("what is not chosen is inherited", () => {
	expect(askFor({ ...formOf(ownOf(peer)), services: [] })).toEqual({
		internet: false,
		services: ["none"],
		exit: "none",
		inherit: ["lan", "fallback", "peers", "cells"],
	})
})
