// The form of rights, and what it asks of the API. Pure.
import type { Peer, PeerRights } from "../../api/types"

export const flags = ["internet", "lan", "fallback"] as const
export const lists = ["services", "peers", "cells"] as const

/** "" is: as groups and defaults say. */
export interface RightsForm {
	internet: "" | "yes" | "no"
	lan: "" | "yes" | "no"
	fallback: "" | "yes" | "no"
	services: readonly string[] | null
	peers: readonly string[] | null
	cells: readonly string[] | null
	exit: string
}

/** What was chosen for the thing itself. */
export function formOf(chosen: PeerRights): RightsForm {
	const flag = (v: boolean | undefined) => (v === undefined ? "" : v ? "yes" : "no")
	return {
		internet: flag(chosen.internet),
		lan: flag(chosen.lan),
		fallback: flag(chosen.fallback),
		services: chosen.services ?? null,
		peers: chosen.peers ?? null,
		cells: chosen.cells ?? null,
		exit: chosen.exit ?? "",
	}
}

/** A device's own rights: those that come from nobody else. */
export function ownOf(p: Peer): PeerRights {
	const own = new Set((p.rights ?? []).filter((r) => r.source === "own").map((r) => r.name))
	const pick = <K extends keyof PeerRights & keyof Peer>(k: K) => (own.has(k as never) ? p[k] : undefined)
	return {
		internet: pick("internet"),
		lan: pick("lan"),
		fallback: pick("fallback"),
		services: pick("services"),
		peers: pick("peers"),
		cells: pick("cells"),
		exit: own.has("exit") ? p.exit || "none" : undefined,
	} as PeerRights
}

/** What is asked of the API: every right, chosen or inherited. */
export function askFor(f: RightsForm): PeerRights {
	const out: Record<string, unknown> = {}
	const inherit: string[] = []
	for (const k of flags) {
		if (f[k] === "") inherit.push(k)
		else out[k] = f[k] === "yes"
	}
	for (const k of lists) {
		if (f[k] === null) inherit.push(k)
		else out[k] = f[k].length === 0 ? ["none"] : f[k]
	}
	if (f.exit === "") inherit.push("exit")
	else out.exit = f.exit
	return { ...out, inherit } as PeerRights
}
