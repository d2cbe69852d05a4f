// What the first run asks, and how it is sent. Pure.

import type { Setup } from "../../api/types"
import { t } from "../../kit/words"

export interface Form {
	token: string
	name: string
	domain: string
	admin: string
	display: string
	password: string
	again: string
}

export const steps = ["token", "cell", "admin", "summary"] as const
export type Step = (typeof steps)[number]

/** The fields of each step, by the names that the API gives its errors. */
export const fieldsOf: Record<Step, readonly string[]> = {
	token: ["token"],
	cell: ["name", "domain", "cell.name", "cell.domain"],
	admin: ["admin", "display", "password", "users"],
	summary: [],
}

/** The token comes in the fragment, which no server and no referrer sees. */
export function tokenIn(hash: string): string {
	return new URLSearchParams(hash.replace(/^#/, "")).get("token")?.trim() ?? ""
}

export function domainOf(f: Form): string {
	return f.domain.trim() || (f.name.trim() ? `${f.name.trim()}.home.arpa` : "")
}

/** What keeps a step from being left, by field. The cell itself has the last word. */
export function gaps(step: Step, f: Form): Record<string, string> {
	const out: Record<string, string> = {}
	if (step === "token" && !f.token.trim()) out.token = t("Copy it from the output of pic serve.")
	if (step === "cell" && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(f.name.trim()))
		out.name = t("Use small letters, digits and hyphens, such as oak.")
	if (step === "admin") {
		if (!f.admin.trim()) out.admin = t("Choose the name that you will sign in with.")
		if (f.password.length < 8)
			out.password = t("Use at least 8 characters; a few words are easy to keep in mind.")
		else if (f.password !== f.again) out.again = t("The two passwords are not the same.")
	}
	return out
}

export function request(f: Form): Setup {
	return {
		token: f.token.trim(),
		name: f.name.trim(),
		domain: f.domain.trim() || undefined,
		admin: f.admin.trim(),
		display: f.display.trim() || undefined,
		password: f.password,
	}
}

/** The step to go back to for a refusal of the cell. */
export function stepOf(paths: readonly string[]): Step | undefined {
	return steps.find((s) =>
		paths.some((p) => fieldsOf[s].some((f) => p === f || p.startsWith(`${f}.`) || p.startsWith(`${f}[`))),
	)
}
