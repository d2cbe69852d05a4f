import {
	KeyRound,
	type LucideIcon,
	MonitorSmartphone,
	Moon,
	Plus,
	RotateCw,
	Search,
	Sun,
	UserRound,
} from "lucide-react"
import {
	Autocomplete,
	Dialog,
	Input,
	Menu,
	MenuItem,
	Modal,
	ModalOverlay,
	SearchField,
	useFilter,
} from "react-aria-components"
import { useLocation } from "wouter"
import { call, textOf } from "../api/client"
import { usePeers, useSession, useStatus, useUsers } from "../api/hooks"
import { toast } from "../kit/toast"
import { t } from "../kit/words"
import { pages } from "../routes"
import { isDark, setTheme } from "./theme"

interface Entry {
	id: string
	text: string
	about: string
	icon: LucideIcon
	act: () => void
}

/** Everything by its name: pages, devices, people, actions. */
export default function Palette({ onClose }: { onClose: () => void }) {
	const { contains } = useFilter({ sensitivity: "base", ignorePunctuation: true })
	const entries = useEntries()
	return (
		<ModalOverlay
			isOpen
			isDismissable
			onOpenChange={(o) => !o && onClose()}
			className="float fixed inset-0 z-40 flex justify-center bg-shade p-4 pt-[12dvh] max-card:pt-4"
		>
			<Modal className="float h-fit max-h-[min(480px,80dvh)] w-full max-w-[560px] overflow-hidden rounded-dialog border border-line bg-raised shadow-float">
				<Dialog aria-label={t("Search or do")} className="flex max-h-[inherit] flex-col outline-none">
					<Autocomplete filter={contains}>
						<SearchField
							aria-label={t("Search or do")}
							autoFocus
							className="flex items-center gap-3 border-b border-line px-4"
						>
							<Search size={16} strokeWidth={1.75} aria-hidden className="text-muted" />
							<Input
								placeholder={t("A page, a device, a person, or what to do")}
								className="h-12 w-full bg-transparent text-section outline-none placeholder:text-muted [&::-webkit-search-cancel-button]:hidden"
							/>
						</SearchField>
						<Menu
							aria-label={t("What was found")}
							className="min-h-0 overflow-y-auto p-1.5 outline-none"
							renderEmptyState={() => (
								<p className="px-3 py-6 text-center text-muted">{t("Nothing has that name.")}</p>
							)}
						>
							{entries.map((e) => (
								<MenuItem
									key={e.id}
									id={e.id}
									textValue={`${e.text} ${e.about}`}
									onAction={() => {
										onClose()
										e.act()
									}}
									className="flex h-9 cursor-pointer items-center gap-3 rounded-control px-2.5 outline-none data-[focused]:bg-hover max-wide:h-11"
								>
									<e.icon size={16} strokeWidth={1.75} aria-hidden className="text-muted" />
									<span className="truncate">{e.text}</span>
									<span className="ms-auto truncate ps-4 text-sec text-muted">{e.about}</span>
								</MenuItem>
							))}
						</Menu>
					</Autocomplete>
				</Dialog>
			</Modal>
		</ModalOverlay>
	)
}

function useEntries(): Entry[] {
	const [, go] = useLocation()
	const { data: me } = useSession()
	const { data: peers } = usePeers()
	const { data: users } = useUsers()
	const { data: status } = useStatus()
	const dark = isDark()
	const admin = me?.role === "admin"
	const restart = (name: string) => () =>
		call(`/api/services/${name}/restart`, { method: "POST" }).then(
			() => toast(t("{name} was restarted.", { name })),
			(err) => toast(textOf(err)),
		)
	return [
		...pages.map((p) => ({
			id: `page ${p.path}`,
			text: p.name,
			about: p.about,
			icon: p.icon,
			act: () => go(p.path),
		})),
		{ id: "do add", text: t("Add a device"), about: t("action"), icon: Plus, act: () => go("/peers?add") },
		{
			id: "do theme",
			text: dark ? t("Use the light theme") : t("Use the dark theme"),
			about: t("action"),
			icon: dark ? Sun : Moon,
			act: () => setTheme(dark ? "light" : "dark"),
		},
		{
			id: "do root",
			text: t("Trust this cell's certificates"),
			about: t("action"),
			icon: KeyRound,
			act: () => go("/vault"),
		},
		...(peers ?? []).map((p) => ({
			id: `peer ${p.name}`,
			text: p.name,
			about: t("device · {address}", { address: p.address }),
			icon: MonitorSmartphone,
			act: () => go(`/peers?q=${encodeURIComponent(p.name)}`),
		})),
		...(users ?? []).map((u) => ({
			id: `user ${u.name}`,
			text: u.display || u.name,
			about: t("person · {name}", { name: u.name }),
			icon: UserRound,
			act: () => go("/settings/people"),
		})),
		...(admin ? (status?.services ?? []) : [])
			.filter((s) => s.state !== "off")
			.map((s) => ({
				id: `restart ${s.name}`,
				text: t("Restart {name}", { name: s.name }),
				about: t("action"),
				icon: RotateCw,
				act: restart(s.name),
			})),
	]
}
