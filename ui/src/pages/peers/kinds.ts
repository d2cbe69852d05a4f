import {
	CircleHelp,
	HardDrive,
	Laptop,
	type LucideIcon,
	Monitor,
	Router,
	Smartphone,
	Tablet,
	Tv,
} from "lucide-react"
import { t } from "../../kit/words"

/** What a device can be: its sign and its word. */
export const kinds: Record<string, readonly [icon: LucideIcon, word: string]> = {
	phone: [Smartphone, t("Phone")],
	laptop: [Laptop, t("Laptop")],
	desktop: [Monitor, t("Desktop")],
	tablet: [Tablet, t("Tablet")],
	tv: [Tv, t("TV")],
	server: [HardDrive, t("Server")],
	router: [Router, t("Router")],
	other: [CircleHelp, t("Something else")],
}

export function kindOf(device: string | undefined): readonly [LucideIcon, string] {
	return kinds[device ?? ""] ?? kinds.other!
}

export const kindOptions: (readonly [string, string])[] = [
	["", t("not said")],
	...Object.entries(kinds).map(([id, [, word]]) => [id, word] as const),
]
