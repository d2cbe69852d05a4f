// What is said of exits. Pure.
import type { Exit } from "../../api/types"
import type { Tone } from "../../kit/status"
import { t } from "../../kit/words"

export function exitState(e: Pick<Exit, "state" | "disabled" | "trouble">): readonly [Tone, string] {
	if (e.disabled) return ["idle", t("off")]
	if (e.state === "up") return ["ok", t("up")]
	if (e.state === "off") return ["idle", t("not in use: there is no VPN")]
	return e.trouble ? ["bad", t("cannot be had")] : ["warn", t("down: it does not answer")]
}

/** What becomes of those who use it while it is down. */
export function whileDown(e: Pick<Exit, "peers" | "fallback">): string {
	const shut = e.peers.filter((p) => !e.fallback.includes(p))
	const names = e.fallback.join(", ")
	if (!e.fallback.length) return t("No internet for those who use it")
	if (!shut.length) return t("Everybody goes by the cell's own line")
	return t("{names} by the cell's own line; no internet for the others", { names })
}

/** The name for an exit, from that of its file. */
export function nameOf(file: string): string {
	return file
		.replace(/^.*[\\/]/, "")
		.replace(/\.(conf|txt)$/i, "")
		.toLowerCase()
		.replace(/[^a-z0-9]+/g, "-")
		.replace(/^-+|-+$/g, "")
		.slice(0, 63)
}

export const addresses = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean)
