import { useMutation } from "@tanstack/react-query"
import { Ban, ListPlus, RotateCw, Trash2 } from "lucide-react"
import { type FormEvent, useState } from "react"
import { call, textOf } from "../../api/client"
import { useDNS, useDNSLists, useRefresh } from "../../api/hooks"
import type { DNSList, FilterList, DNS as State } from "../../api/types"
import { DraftList, DraftSwitch } from "../../change/fields"
import { useDraft, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Field, Select, Switch } from "../../kit/field"
import { bytes, clock, count } from "../../kit/format"
import { Empty } from "../../kit/states"
import { Badge, Status } from "../../kit/status"
import { Table } from "../../kit/table"
import { None, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { Devices } from "./devices"
import { known } from "./known"
import { Rewrites } from "./rewrites"
import { SafeSearch, Services } from "./services"

/** What the household does not want to resolve, and for whom. */
export function Filter() {
	const dns = useDNS()
	const { doc, may } = useEditable()
	return (
		<Loaded of={dns} rows={10}>
			{(d) => (
				<>
					<Pause d={d} may={may} />
					<Lists may={may} />
					<div className="grid items-start gap-4 full:grid-cols-2">
						<Card
							title={t("Rules of your own")}
							hint={t("A name blocks it and all below it. They win over every list.")}
						>
							<DraftList
								path="dns.filter.rules"
								label={t("Rules")}
								hint={t("Such as ads.example.com, ||tracker.example^ or, to let through, @@||shop.example^.")}
								may={may}
								stored={doc?.dns.filter?.rules}
								placeholder="||ads.example.com^"
								add={t("Add a rule")}
							/>
						</Card>
						<div className="flex flex-col gap-4">
							<How may={may} />
							<SafeSearch may={may} />
						</div>
					</div>
					<Services may={may} />
					<Rewrites may={may} />
					<Devices may={may} />
				</>
			)}
		</Loaded>
	)
}

/** On, off, or off for a while. */
function Pause({ d, may }: { d: State; may: boolean }) {
	const refresh = useRefresh()
	const { doc } = useEditable()
	const pause = useMutation({
		mutationFn: (minutes: number) => call<State>("/api/dns/pause", { method: "POST", body: { minutes } }),
		onSuccess: () => refresh("dns"),
		onError: (err) => toast(textOf(err)),
	})
	const paused = !!d.pausedUntil && Date.parse(d.pausedUntil) > Date.now()
	return (
		<Card
			title={t("Filter")}
			hint={t("What is blocked here is blocked for every device that asks this cell.")}
		>
			<div className="flex flex-wrap items-center justify-between gap-4">
				<div className="flex flex-col gap-2">
					{paused ? (
						<Status tone="warn">{t("paused until {time}", { time: clock(d.pausedUntil!) })}</Status>
					) : d.filtering ? (
						<Status tone="ok">{t("{n} names are blocked by lists", { n: count(d.blockedNames) })}</Status>
					) : (
						<Status tone="idle">{t("nothing is blocked")}</Status>
					)}
					<DraftSwitch
						path="dns.filter.enabled"
						label={t("Filter names")}
						may={may}
						stored={doc?.dns.filter?.enabled}
						standard={true}
					/>
				</div>
				{may && d.enabled && (
					<div className="flex flex-wrap gap-2">
						{paused ? (
							<Button isPending={pause.isPending} onPress={() => pause.mutate(0)}>
								{t("Filter again")}
							</Button>
						) : (
							[10, 60, 240].map((n) => (
								<Button key={n} isPending={pause.isPending} onPress={() => pause.mutate(n)}>
									{n < 60 ? t("Pause for {n} minutes", { n }) : t("Pause for {n} h", { n: n / 60 })}
								</Button>
							))
						)}
					</div>
				)}
			</div>
		</Card>
	)
}

function Lists({ may }: { may: boolean }) {
	const { doc } = useEditable()
	const state = useDNSLists()
	const draft = useDraft<FilterList[]>("dns.filter.lists", doc?.dns.filter?.lists ?? [], [])
	const of = (name: string) => state.data?.find((l) => l.name === name)
	const put = (name: string, change: Partial<FilterList>) =>
		draft.set(draft.value.map((l) => (l.name === name ? { ...l, ...change } : l)))
	return (
		<Card
			title={t("Lists")}
			hint={t("Kept by others, fetched once a day, and kept here for when the internet is away.")}
			flush
		>
			{draft.error && <p className="px-4 pb-2 font-medium text-bad-ink">{draft.error}</p>}
			{draft.value.length ? (
				<Table
					label={t("Lists")}
					rows={draft.value}
					id={(l) => l.name}
					columns={[
						{
							head: t("Name"),
							cell: (l) => (
								<span className="flex flex-col">
									<span className="inline-flex items-center gap-2 font-medium">
										{l.name} {l.allow && <Badge>{t("lets through")}</Badge>}
									</span>
									<span className="text-sec text-muted [overflow-wrap:anywhere]">{l.url}</span>
								</span>
							),
						},
						{ head: t("Names"), kind: "num", cell: (l) => <Size of={of(l.name)} /> },
						{ head: t("State"), cell: (l) => <Age of={of(l.name)} disabled={!!l.disabled} /> },
						...(may
							? [
									{
										head: t("Actions"),
										kind: "end" as const,
										cell: (l: FilterList) => (
											<span className="inline-flex items-center gap-1">
												<Switch
													label={t("in use")}
													isSelected={!l.disabled}
													onChange={(on) => put(l.name, { disabled: on ? undefined : true })}
												/>
												<Fetch name={l.name} there={!!of(l.name)} />
												<IconButton
													icon={Trash2}
													label={t("Remove {name}", { name: l.name })}
													onPress={() => draft.set(draft.value.filter((x) => x.name !== l.name))}
												/>
											</span>
										),
									},
								]
							: []),
					]}
				/>
			) : (
				<Empty icon={Ban} title={t("No list yet")}>
					{t("Take one below: it blocks advertising and trackers for the whole household.")}
				</Empty>
			)}
			{may && <Add taken={draft.value} add={(l) => draft.set([...draft.value, l])} />}
		</Card>
	)
}

function Size({ of }: { of: DNSList | undefined }) {
	if (!of) return <None>{t("not yet")}</None>
	return (
		<span title={bytes(of.bytes)}>
			{count(of.rules)}
			{of.skipped > 0 && (
				<span className="block text-sec text-muted" title={of.samples?.join("\n")}>
					{t("{n} lines skipped", { n: count(of.skipped) })}
				</span>
			)}
		</span>
	)
}

function Age({ of, disabled }: { of: DNSList | undefined; disabled: boolean }) {
	if (disabled) return <Status tone="idle">{t("not in use")}</Status>
	if (!of) return <Status tone="busy">{t("after Apply")}</Status>
	if (of.error) {
		return (
			<span>
				<Status tone="warn">{t("not refreshed")}</Status>
				<span className="block text-sec text-muted [overflow-wrap:anywhere]">{of.error}</span>
			</span>
		)
	}
	return (
		<span>
			<Time at={of.updated} />
			{of.next && (
				<span className="block text-sec text-muted">
					{t("looked at again")} <Time at={of.next} />
				</span>
			)}
		</span>
	)
}

function Fetch({ name, there }: { name: string; there: boolean }) {
	const refresh = useRefresh()
	const fetch = useMutation({
		mutationFn: () => call<DNSList>(`/api/dns/lists/${encodeURIComponent(name)}/refresh`, { method: "POST" }),
		onSuccess: ({ data }) => {
			toast(data.error ? data.error : t("{name} is up to date.", { name }))
			return refresh("dns")
		},
		onError: (err) => toast(textOf(err)),
	})
	if (!there) return null
	return (
		<IconButton
			icon={RotateCw}
			label={t("Fetch {name} now", { name })}
			isPending={fetch.isPending}
			onPress={() => fetch.mutate()}
		/>
	)
}

function Add({ taken, add }: { taken: FilterList[]; add: (l: FilterList) => void }) {
	const [form, set] = useState({ name: "", url: "", allow: "" })
	const has = (name: string) => taken.some((l) => l.name === name)
	const submit = (e: FormEvent) => {
		e.preventDefault()
		add({ name: form.name.trim(), url: form.url.trim(), ...(form.allow ? { allow: true } : {}) })
		set({ name: "", url: "", allow: "" })
	}
	return (
		<div className="flex flex-col gap-3 border-t border-line p-4">
			<form
				onSubmit={submit}
				noValidate
				className="grid gap-3 card:grid-cols-[1fr_2fr_150px_auto] card:items-end"
			>
				<Field
					label={t("Name")}
					value={form.name}
					onChange={(name) => set({ ...form, name })}
					error={has(form.name.trim()) ? t("There is a list of that name.") : undefined}
					autoComplete="off"
				/>
				<Field
					label={t("Address of the list")}
					value={form.url}
					onChange={(url) => set({ ...form, url })}
					placeholder="https://"
					mono
					autoComplete="off"
					spellCheck="false"
				/>
				<Select
					label={t("Its names are")}
					value={form.allow}
					onChange={(allow) => set({ ...form, allow })}
					options={[
						["", t("blocked")],
						["allow", t("let through")],
					]}
				/>
				<Button
					type="submit"
					icon={ListPlus}
					isDisabled={!form.name.trim() || !form.url.trim() || has(form.name.trim())}
				>
					{t("Add")}
				</Button>
			</form>
			<div className="flex flex-wrap items-center gap-2">
				<span className="text-muted">{t("Well-known ones:")}</span>
				{known
					.filter((k) => !has(k.name))
					.map((k) => (
						<Button key={k.name} size="small" onPress={() => add({ name: k.name, url: k.url })}>
							<span title={k.about}>{k.name}</span>
						</Button>
					))}
			</div>
		</div>
	)
}

function How({ may }: { may: boolean }) {
	const { doc } = useEditable()
	const draft = useDraft("dns.filter.answer", doc?.dns.filter?.answer ?? "null", "null")
	return (
		<Card title={t("Answer for a blocked name")}>
			<Select
				label={t("Answer")}
				hideLabel
				value={draft.value}
				onChange={draft.set}
				isDisabled={!may}
				error={draft.error}
				hint={t("The reason goes with it, for programs that can show it.")}
				options={[
					["null", t("an address that leads nowhere (0.0.0.0)")],
					["nxdomain", t("there is no such name")],
					["nodata", t("the name has no address")],
					["refused", t("refused")],
				]}
			/>
		</Card>
	)
}
