import { Ellipsis, LogOut, Moon, Search, Settings, Sun, User } from "lucide-react"
import { lazy, type ReactNode, Suspense, useEffect, useState } from "react"
import { Link, useLocation } from "wouter"
import { call } from "../api/client"
import { leave, useLink, useSession, useStatus } from "../api/hooks"
import { ChangeBar } from "../change/bar"
import { useChange } from "../change/use"
import { IconButton } from "../kit/button"
import { Dialog, Menu } from "../kit/overlay"
import { Dot, type Tone } from "../kit/status"
import { t } from "../kit/words"
import { groups, isOn, type PageLink, pages } from "../routes"
import { isDark, setTheme, useTheme } from "./theme"

const Palette = lazy(() => import("./palette"))
const Pulse = lazy(() => import("./pulse"))

export function Shell({ children }: { children: ReactNode }) {
	const [searching, search] = useState(false)
	const { drafts, applied } = useChange()
	const pending = useStatus().data?.pending
	useEffect(() => {
		const onKey = (e: KeyboardEvent) => {
			if ((e.metaKey || e.ctrlKey) && !e.altKey && e.key.toLowerCase() === "k") {
				e.preventDefault()
				search((on) => !on)
			}
		}
		addEventListener("keydown", onKey)
		return () => removeEventListener("keydown", onKey)
	}, [])
	const bar = drafts.edits.size > 0 || applied || pending
	return (
		<div className="grid min-h-dvh grid-rows-[auto_1fr] wide:grid-cols-[232px_minmax(0,1fr)]">
			<a
				href="#content"
				className="fixed start-4 top-2 z-50 -translate-y-16 rounded-control bg-leaf-solid px-3 py-1.5 font-medium text-white focus:translate-y-0"
			>
				{t("Skip to the content")}
			</a>
			<Header onSearch={() => search(true)} />
			<Sidebar />
			<main
				id="content"
				tabIndex={-1}
				className={`min-w-0 outline-none ${bar ? "pb-[calc(var(--bottom-bar)+112px)]" : "pb-[calc(var(--bottom-bar)+16px)]"}`}
			>
				{children}
			</main>
			<BottomBar />
			<ChangeBar />
			{searching && (
				<Suspense fallback={null}>
					<Palette onClose={() => search(false)} />
				</Suspense>
			)}
		</div>
	)
}

function Header({ onSearch }: { onSearch: () => void }) {
	const { data: status, error } = useStatus()
	const link = useLink()
	const [tone, word]: [Tone, string] = error
		? ["bad", t("does not answer")]
		: !status
			? ["idle", t("loading")]
			: !status.ok
				? ["bad", t("needs attention")]
				: status.problems?.length
					? ["warn", t("well, with a remark")]
					: ["ok", t("well")]
	return (
		<header className="sticky top-0 z-20 col-span-full flex h-13 items-center gap-2 border-b border-line bg-surface px-4 max-wide:h-14 max-wide:px-3">
			<Link href="/" className="flex min-w-0 items-center gap-2.5 rounded-control py-1 wide:w-[232px]">
				<img src="/favicon.svg" alt="" width={22} height={22} />
				<span className="truncate text-section font-strong">{status?.cell.name ?? t("cell")}</span>
				<Dot tone={tone} label={word} />
			</Link>
			<button
				type="button"
				onClick={onSearch}
				aria-keyshortcuts="Control+K Meta+K"
				className="flex h-8 w-full max-w-[320px] items-center gap-2 rounded-control border border-line bg-bg px-2.5 text-muted transition-colors duration-[120ms] hover:border-edge max-wide:ms-auto max-wide:size-11 max-wide:justify-center max-wide:border-0 max-wide:bg-transparent"
			>
				<Search size={16} strokeWidth={1.75} aria-hidden />
				<span className="max-wide:sr-only">{t("Search or do…")}</span>
				<kbd
					aria-hidden
					className="ms-auto rounded border border-line px-1 font-sans text-sec max-wide:hidden"
				>
					{"⌘K"}
				</kbd>
			</button>
			<span className="flex-1 max-wide:hidden" />
			{link === "lost" && (
				<span role="status" className="text-sec text-warn-ink max-card:sr-only">
					{t("Reconnecting…")}
				</span>
			)}
			<ThemeButton />
			<Me />
			<Suspense fallback={null}>
				<Pulse />
			</Suspense>
		</header>
	)
}

function ThemeButton() {
	useTheme()
	const dark = isDark()
	return (
		<IconButton
			icon={dark ? Sun : Moon}
			label={dark ? t("Light theme") : t("Dark theme")}
			onPress={() => setTheme(dark ? "light" : "dark")}
		/>
	)
}

function Me() {
	const { data: me } = useSession()
	const [, go] = useLocation()
	const signOut = async () => {
		await call("/api/auth/logout", { method: "POST" }).catch(() => {})
		go("/")
		leave()
	}
	return (
		<Menu
			label={t("Me")}
			trigger={<IconButton icon={User} label={t("My account: {name}", { name: me?.user ?? "" })} />}
			head={
				<div className="border-b border-line px-2.5 pt-1.5 pb-2.5">
					<p className="font-medium">{me?.display || me?.user}</p>
					<p className="text-sec text-muted">{`${me?.user} · ${me?.role}`}</p>
				</div>
			}
			entries={[
				{ id: "account", text: t("My account"), icon: Settings, onAction: () => go("/settings/account") },
				{ id: "leave", text: t("Sign out"), icon: LogOut, onAction: signOut },
			]}
		/>
	)
}

function Sidebar() {
	return (
		<nav
			aria-label={t("Pages")}
			className="sticky top-13 h-[calc(100dvh-52px)] overflow-y-auto border-e border-line p-3 max-wide:hidden"
		>
			<PageGroups />
		</nav>
	)
}

function PageGroups({ onGo }: { onGo?: () => void }) {
	const [path] = useLocation()
	const { data: status } = useStatus()
	return groups.map((g) => (
		<div key={g.name} className="mb-4">
			<p className="px-2.5 pb-1 text-sec text-muted" id={`group-${g.name}`}>
				{g.name}
			</p>
			<ul aria-labelledby={`group-${g.name}`} className="flex flex-col gap-px">
				{g.pages.map((p) => (
					<li key={p.path}>
						<PageItem
							page={p}
							here={isOn(path, p.path)}
							onGo={onGo}
							alarm={p.path === "/services" && status?.ok === false}
						/>
					</li>
				))}
			</ul>
		</div>
	))
}

function PageItem({
	page,
	here,
	onGo,
	alarm,
}: {
	page: PageLink
	here: boolean
	onGo?: () => void
	alarm?: boolean
}) {
	return (
		<Link
			href={page.path}
			onClick={onGo}
			aria-current={here ? "page" : undefined}
			className="flex h-8 items-center gap-2.5 rounded-control px-2.5 text-muted transition-colors duration-[120ms] hover:bg-hover hover:text-ink aria-[current]:bg-hover aria-[current]:font-medium aria-[current]:text-ink max-wide:h-11"
		>
			<page.icon size={16} strokeWidth={1.75} aria-hidden className={here ? "text-leaf-ink" : ""} />
			{page.name}
			{alarm && (
				<span className="ms-auto">
					<Dot tone="bad" label={t("a service does not run")} />
				</span>
			)}
		</Link>
	)
}

const tabs = ["/", "/email", "/calendar", "/files"]

function BottomBar() {
	const [path] = useLocation()
	const [more, open] = useState(false)
	const mine = tabs.map((p) => pages.find((x) => x.path === p)!)
	const elsewhere = !mine.some((p) => isOn(path, p.path))
	const item =
		"flex h-14 min-w-0 flex-1 flex-col items-center justify-center gap-0.5 text-sec text-muted aria-[current]:text-ink aria-[current]:[&>svg]:text-leaf-ink -outline-offset-2"
	return (
		<nav
			aria-label={t("Main pages")}
			className="fixed inset-x-0 bottom-0 z-20 flex border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] wide:hidden"
		>
			{mine.map((p) => (
				<Link
					key={p.path}
					href={p.path}
					aria-current={isOn(path, p.path) ? "page" : undefined}
					className={item}
				>
					<p.icon size={20} strokeWidth={1.75} aria-hidden />
					{p.path === "/" ? t("Home") : p.name}
				</Link>
			))}
			<button
				type="button"
				aria-haspopup="dialog"
				aria-current={elsewhere ? "true" : undefined}
				className={item}
				onClick={() => open(true)}
			>
				<Ellipsis size={20} strokeWidth={1.75} aria-hidden />
				{t("More")}
			</button>
			<Dialog title={t("All pages")} open={more} onClose={() => open(false)}>
				<nav aria-label={t("All pages")} className="pt-2">
					<PageGroups onGo={() => open(false)} />
				</nav>
			</Dialog>
		</nav>
	)
}
