import type { Peer } from "../api/types"
import { happened } from "../kit/format"
import type { Tone } from "../kit/status"
import { t } from "../kit/words"

/** Whether a host name or host:port only holds on the cell itself. */
export function isLoopback(host: string): boolean {
	return /^(localhost|127\.[\d.]+|\[?::1\]?)(:\d+)?$/.test(host)
}

// A peer that carries traffic shakes hands every two minutes.
const alive = 180_000

export function peerState(p: Peer, now = Date.now()): [Tone, string] {
	if (p.disabled) return ["idle", t("switched off")]
	if (p.expired) return ["idle", t("its time is over")]
	if (!happened(p.lastHandshake)) return ["idle", t("never connected")]
	return now - Date.parse(p.lastHandshake) < alive ? ["ok", t("connected")] : ["idle", t("away")]
}

export function isConnected(p: Peer, now = Date.now()): boolean {
	return peerState(p, now)[0] === "ok"
}
