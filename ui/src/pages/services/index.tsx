import { useMutation } from "@tanstack/react-query"
import { RotateCw, ScrollText } from "lucide-react"
import { useEffect } from "react"
import { Link } from "wouter"
import { call, textOf } from "../../api/client"
import { useRefresh, useSession, useStatus } from "../../api/hooks"
import type { Service } from "../../api/types"
import { Button } from "../../kit/button"
import { Fact, Facts } from "../../kit/card"
import { ago, bytes, span, tidy } from "../../kit/format"
import { Page } from "../../kit/page"
import { NotAllowed } from "../../kit/states"
import { Notice, Status } from "../../kit/status"
import { Copy, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t, tn } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { serviceName, serviceWork, stateOf } from "../../parts/names"
import { byHost } from "./sockets"

export default function Services() {
	const status = useStatus()
	const { data: me } = useSession()
	const here = status.data !== undefined
	useEffect(() => {
		if (here && location.hash)
			document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" })
	}, [here])
	const about =
		status.data &&
		t("Version {version}, up {span}, {memory} of memory for all of them.", {
			version: status.data.version,
			span: span(status.data.uptimeSeconds),
			memory: bytes(status.data.memoryBytes),
		})
	return (
		<Page title={t("Services")} about={about}>
			<Loaded of={status} rows={10}>
				{(s) =>
					me?.role === "user" ? (
						<NotAllowed />
					) : (
						<div className="full:columns-2 full:gap-3">
							{(s.services ?? []).map((x) => (
								<ServiceCard key={x.name} of={x} may={me?.role === "admin"} />
							))}
						</div>
					)
				}
			</Loaded>
		</Page>
	)
}

function ServiceCard({ of: s, may }: { of: Service; may: boolean }) {
	const refresh = useRefresh()
	const [tone, word] = stateOf(s.state)
	const restart = useMutation({
		mutationFn: () => call(`/api/services/${encodeURIComponent(s.name)}/restart`, { method: "POST" }),
		onSuccess: () => toast(t("{name} was restarted.", { name: serviceName(s.name) })),
		onError: (err) => toast(textOf(err)),
		onSettled: () => refresh("status"),
	})
	return (
		<section
			id={s.name}
			aria-labelledby={`${s.name}-name`}
			className="mb-3 break-inside-avoid rounded-card border border-line bg-surface target:border-leaf"
		>
			<header className="flex items-start gap-3 px-4 pt-3 pb-3">
				<div className="min-w-0 flex-1">
					<h2 id={`${s.name}-name`} className="text-section font-strong">
						{serviceName(s.name)}
					</h2>
					<p className="text-muted">{serviceWork(s.name)}</p>
				</div>
				<Status tone={tone}>{restart.isPending ? t("restarting") : word}</Status>
			</header>
			{(s.problems?.length ?? 0) > 0 && (
				<div className="flex flex-col gap-2 px-4 pb-3">
					{s.problems?.map((p) => (
						<Notice key={p.code + p.title} tone={p.severity === "failure" ? "bad" : "warn"} title={p.title}>
							{p.text && <p>{p.text}</p>}
							{p.fix && <p className="font-medium">{p.fix}</p>}
							<p className="text-sec text-muted">{t("noticed {when}", { when: ago(p.since) })}</p>
						</Notice>
					))}
				</div>
			)}
			{s.state !== "off" && (
				<div className="border-t border-line px-4 py-3">
					<Facts>
						<Fact name={t("Since")}>
							<Time at={s.since} />
							{s.restarts > 0 && (
								<span className="text-muted">
									{tn(s.restarts, "{n} restart until now", "{n} restarts until now")}
								</span>
							)}
						</Fact>
						{(s.sockets?.length ?? 0) > 0 && (
							<Fact name={t("Listens on")}>
								{byHost(s.sockets ?? []).map((g) => (
									<span key={g.host + g.note} className="flex flex-wrap items-baseline gap-x-3">
										<Copy value={g.host} label={t("the address")} />
										<span className="font-mono text-sec text-muted">{`${g.ports} ${g.note}`}</span>
									</span>
								))}
							</Fact>
						)}
						{s.facts?.map((f) => (
							<Fact key={f.name} name={f.name}>
								{tidy(f.value)}
							</Fact>
						))}
					</Facts>
				</div>
			)}
			<footer className="flex justify-end gap-1 border-t border-line px-2 py-1">
				<Link
					href={`/logs?unit=${encodeURIComponent(s.name)}`}
					className="inline-flex h-8 items-center gap-2 rounded-control px-3 font-medium text-muted hover:bg-hover hover:text-ink max-wide:h-11"
				>
					<ScrollText size={16} strokeWidth={1.75} aria-hidden />
					{t("Log")}
					<span className="sr-only">{t("of {name}", { name: serviceName(s.name) })}</span>
				</Link>
				{may && s.state !== "off" && (
					<Button
						kind="quiet"
						icon={RotateCw}
						onPress={() => restart.mutate()}
						isPending={restart.isPending}
						aria-label={t("Restart {name}", { name: serviceName(s.name) })}
					>
						{t("Restart")}
					</Button>
				)}
			</footer>
		</section>
	)
}
