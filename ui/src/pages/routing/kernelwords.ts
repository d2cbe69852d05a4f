import { t } from "../../kit/words"

/** The first table of an exit is one more. See docs/network.md. */
const exits = 51800

export function tableName(n: number): string {
	if (n === 254) return t("main")
	if (n > exits && n <= exits + 16) return t("of exit {n}", { n: n - exits })
	return String(n)
}
