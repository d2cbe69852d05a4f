// What the router's states and numbers mean. Pure.
import type { WAN } from "../../api/types"
import type { Tone } from "../../kit/status"
import { t } from "../../kit/words"

/** The line to the provider, in one word or two. */
export function lineState(
	w: Pick<WAN, "plugged" | "method" | "address" | "addresses6" | "state">,
): [Tone, string] {
	if (!w.plugged) return ["bad", t("no cable")]
	if (w.method === "static") return ["ok", t("fixed address")]
	switch (w.state) {
		case "bound":
			return ["ok", t("connected")]
		case "renewing":
			return ["ok", t("renewing its lease")]
		case "rebinding":
			return ["warn", t("its server does not answer")]
	}
	if (w.address || w.addresses6.length) return ["ok", t("connected")]
	return ["busy", t("waits for an address")]
}

/** 50000 → "50 Mbit/s"; 0 → "unlimited" */
export function rate(kbit: number): string {
	if (!kbit) return t("unlimited")
	if (kbit < 1000) return t("{n} kbit/s", { n: kbit })
	return t("{n} Mbit/s", { n: Number((kbit / 1000).toFixed(1)) })
}

export const queueName = (queue: string) => (queue === "cake" ? "CAKE" : queue)

/** What a chain of the table is about. */
export function chainName(chain: string): string {
	const known: Record<string, string> = {
		input: t("to the cell"),
		forward: t("through the cell"),
		output: t("from the cell"),
		prerouting: t("on arrival"),
		postrouting: t("on the way out"),
	}
	return known[chain] ?? chain
}

/** The sides of the cell, as a person calls them. */
export const zones: Record<string, string> = {
	wan: t("Internet"),
	lan: t("Household"),
	vpn: t("VPN"),
	cell: t("This cell"),
}
