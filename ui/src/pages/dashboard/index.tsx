import { Activity, ChevronRight, Plus, Sprout } from "lucide-react"
import { Link, useLocation } from "wouter"
import { useHistory, usePeers, useSession, useStatus, useTimeline } from "../../api/hooks"
import type { CellProblem, Health, Service } from "../../api/types"
import { Button, ButtonLink } from "../../kit/button"
import { Card } from "../../kit/card"
import { ago, span } from "../../kit/format"
import { Page } from "../../kit/page"
import { Empty, Skeleton } from "../../kit/states"
import { Dot, Notice, Status } from "../../kit/status"
import { Copy } from "../../kit/text"
import { t, tn } from "../../kit/words"
import { ChangeRow, EventRow } from "../../parts/events"
import { Loaded } from "../../parts/loaded"
import { serviceName, servicePage, stateOf } from "../../parts/names"
import { isConnected } from "../../parts/peer"
import { merge } from "../../parts/timeline"
import { Tiles } from "./tiles"

export default function Dashboard() {
	const status = useStatus()
	return (
		<Page
			title={t("Dashboard")}
			heading={status.data ? <Sentence of={status.data} /> : t("Dashboard")}
			about={status.data && <Identity of={status.data} />}
		>
			<Loaded of={status} rows={10}>
				{(s) => (
					<>
						<Problems list={s.problems ?? []} />
						<FirstSteps />
						<Tiles status={s} />
						<div className="grid items-start gap-4 full:grid-cols-[3fr_4fr]">
							{(s.services ?? []).length > 0 && <Services list={s.services} />}
							<Today />
						</div>
					</>
				)}
			</Loaded>
		</Page>
	)
}

function Sentence({ of: s }: { of: Health }) {
	const { data: peers } = usePeers()
	const on = peers?.filter((p) => isConnected(p)).length ?? 0
	return (
		<>
			{s.sentence}
			{peers && peers.length > 0 && (
				<span className="text-muted">
					{" "}
					{tn(peers.length, "{n} device,", "{n} devices,")}{" "}
					{on === 0 ? t("none connected.") : t("{on} connected.", { on })}
				</span>
			)}
		</>
	)
}

function Identity({ of: s }: { of: Health }) {
	return (
		<span className="flex flex-wrap items-center gap-x-3 gap-y-0.5">
			<Copy value={s.cell.domain} label={t("the domain")} />
			<span>{t("up {span}", { span: span(s.uptimeSeconds) })}</span>
			<span>{t("revision {n}", { n: s.revision })}</span>
			<span>{s.version}</span>
			{s.cell.mode === "trial" && <Status tone="idle">{t("trial mode: high ports, this host only")}</Status>}
		</span>
	)
}

function Problems({ list }: { list: CellProblem[] }) {
	if (list.length === 0) return null
	return (
		<section aria-label={t("What needs attention")} className="flex flex-col gap-2">
			{list.map((p) => {
				const page = p.unit && servicePage(p.unit)
				return (
					<Notice
						key={`${p.unit} ${p.code} ${p.title}`}
						tone={p.severity === "failure" ? "bad" : "warn"}
						title={p.title}
						action={
							page && (
								<ButtonLink href={page} kind="plain">
									{t("Open {name}", { name: serviceName(p.unit!) })}
								</ButtonLink>
							)
						}
					>
						{p.text && <p>{p.text}</p>}
						{p.fix && <p className="font-medium">{p.fix}</p>}
						<p className="text-sec text-muted">{t("noticed {when}", { when: ago(p.since) })}</p>
					</Notice>
				)
			})}
		</section>
	)
}

/** Until the first device is here, the dashboard says what to do next. */
function FirstSteps() {
	const { data: peers } = usePeers()
	const { data: me } = useSession()
	const [, go] = useLocation()
	if (!peers || peers.length > 0 || me?.role === "viewer") return null
	return (
		<section
			aria-label={t("The next step")}
			className="flex flex-wrap items-center gap-x-4 gap-y-3 rounded-card border border-line bg-leaf-wash p-4"
		>
			<div className="grid size-10 place-items-center rounded-card bg-surface text-leaf-ink">
				<Sprout size={20} strokeWidth={1.5} aria-hidden />
			</div>
			<div className="min-w-0 flex-1 basis-60">
				<p className="text-section font-strong">{t("Take the cell with you")}</p>
				<p className="max-w-[72ch] text-ink/85">
					{t(
						"Scan one code with the WireGuard app, and mail, calendar and files are with you wherever you are.",
					)}
				</p>
			</div>
			<Button kind="primary" icon={Plus} onPress={() => go("/peers?add")}>
				{t("Add your phone")}
			</Button>
		</section>
	)
}

function Services({ list }: { list: Service[] }) {
	return (
		<Card title={t("Services")} flush action={<More href="/services">{t("All of it")}</More>}>
			<ul className="grid grid-cols-2 gap-x-4 px-4 pb-3">
				{list.map((s) => {
					const [tone, word] = stateOf(s.state)
					return (
						<li
							key={s.name}
							className="flex h-8 items-center gap-2.5 border-b border-line [&:nth-last-child(-n+2)]:border-b-0"
						>
							<Dot tone={s.problems?.length && tone === "ok" ? "warn" : tone} label={word} />
							<Link href={`/services#${s.name}`} className="truncate hover:underline">
								{serviceName(s.name)}
							</Link>
							{s.state !== "running" && <span className="ms-auto text-sec text-muted">{word}</span>}
						</li>
					)
				})}
			</ul>
		</Card>
	)
}

function Today() {
	const timeline = useTimeline()
	const history = useHistory()
	if (timeline.error || history.error) return null // the role may not see it
	const entries = timeline.data && history.data && merge(history.data, timeline.data).slice(0, 10)
	return (
		<Card title={t("What happened")} flush action={<More href="/logs/timeline">{t("All of it")}</More>}>
			{!entries ? (
				<Skeleton rows={6} />
			) : entries.length === 0 ? (
				<Empty icon={Activity} title={t("Nothing yet")}>
					{t("Changes, new devices and troubles will be told here.")}
				</Empty>
			) : (
				<ol>
					{entries.map((e) =>
						"revision" in e ? <ChangeRow key={e.key} r={e.revision} /> : <EventRow key={e.key} e={e.event} />,
					)}
				</ol>
			)}
		</Card>
	)
}

function More({ href, children }: { href: string; children: string }) {
	return (
		<Link href={href} className="flex items-center gap-0.5 text-muted hover:text-ink">
			{children}
			<ChevronRight size={14} aria-hidden />
		</Link>
	)
}
