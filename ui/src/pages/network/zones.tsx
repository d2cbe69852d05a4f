import { useMutation } from "@tanstack/react-query"
import { Download, FileUp, Globe, KeyRound, RefreshCw, Trash2 } from "lucide-react"
import { type FormEvent, useState } from "react"
import { call, textOf } from "../../api/client"
import { useDNSZones, useRefresh } from "../../api/hooks"
import type { DNSZone, Schemas } from "../../api/types"
import { useDraft, useEditable } from "../../change/use"
import { Button } from "../../kit/button"
import { Card, Fact, Facts } from "../../kit/card"
import { Field, Switch } from "../../kit/field"
import { count } from "../../kit/format"
import { Badge, Status } from "../../kit/status"
import { Table } from "../../kit/table"
import { Copy, Mono, None, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t, tn } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { Import } from "./import"
import { Keys } from "./keys"
import { Records } from "./records"

type ConfigZone = Schemas["ConfigZone"]
type Options = Schemas["ConfigZoneOptions"]

const kinds: Record<string, string> = {
	own: t("the cell's own"),
	document: t("yours"),
	secondary: t("copied from elsewhere"),
	reverse: t("reverse"),
}

/** The domains that the cell answers for. */
export function Zones() {
	const zones = useDNSZones()
	const { doc, may } = useEditable()
	const [open, show] = useState("")
	return (
		<Loaded of={zones} rows={8}>
			{(list) => {
				const zone = list.find((z) => z.name === open)
				return (
					<>
						<Card title={t("Zones")} hint={t("The domains that this cell answers for by itself.")} flush>
							<Table
								label={t("Zones")}
								rows={list}
								id={(z) => z.name}
								columns={[
									{
										head: t("Zone"),
										cell: (z) => (
											<button
												type="button"
												aria-expanded={z.name === open}
												onClick={() => show(z.name === open ? "" : z.name)}
												className="min-h-6 text-start font-medium [overflow-wrap:anywhere] decoration-edge underline-offset-4 hover:underline"
											>
												{z.name}
											</button>
										),
									},
									{ head: t("Kind"), cell: (z) => <Badge>{kinds[z.kind] ?? z.kind}</Badge> },
									{ head: t("Records"), kind: "num", cell: (z) => count(z.records) },
									{
										head: t("Serial"),
										kind: "num",
										cell: (z) => (z.serial ? <Mono>{z.serial}</Mono> : <None />),
									},
									{
										head: t("DNSSEC"),
										cell: (z) =>
											z.signed ? (
												<Status tone="ok">{t("signed")}</Status>
											) : (
												<Status tone="idle">{t("not signed")}</Status>
											),
									},
								]}
							/>
							{may && <AddZone taken={list.map((z) => z.name)} zones={doc?.dns.zones ?? []} />}
						</Card>
						{zone && <Detail key={zone.name} z={zone} may={may} />}
						<Keys may={may} />
					</>
				)
			}}
		</Loaded>
	)
}

function AddZone({ taken, zones }: { taken: string[]; zones: ConfigZone[] }) {
	const draft = useDraft<ConfigZone[]>("dns.zones", zones, [])
	const [form, set] = useState({ name: "", primaries: "" })
	const name = form.name.trim().toLowerCase()
	const there = taken.includes(name) || draft.value.some((z) => z.name === name)
	const add = (e: FormEvent) => {
		e.preventDefault()
		const primaries = form.primaries
			.split(",")
			.map((s) => s.trim())
			.filter(Boolean)
		draft.set([
			...draft.value,
			{ name, ...(primaries.length ? { primaries: primaries.map((address) => ({ address })) } : {}) },
		])
		set({ name: "", primaries: "" })
	}
	const fresh = draft.value.filter((z) => !zones.some((old) => old.name === z.name))
	return (
		<div className="border-t border-line p-4">
			{fresh.map((z) => (
				<p key={z.name} className="mb-2 text-muted">
					{t("{name} is added with Apply.", { name: z.name })}
				</p>
			))}
			<form onSubmit={add} noValidate className="grid gap-3 card:grid-cols-[1fr_1fr_auto] card:items-end">
				<Field
					label={t("A further zone")}
					value={form.name}
					onChange={(name) => set({ ...form, name })}
					error={draft.error ?? (name && there ? t("The cell answers for it already.") : undefined)}
					placeholder="garden.home.arpa"
					mono
					autoComplete="off"
					spellCheck="false"
				/>
				<Field
					label={t("Copied from (if another server has it)")}
					value={form.primaries}
					onChange={(primaries) => set({ ...form, primaries })}
					placeholder="192.0.2.53"
					mono
					autoComplete="off"
					spellCheck="false"
				/>
				<Button type="submit" icon={Globe} isDisabled={!name || there}>
					{t("Add")}
				</Button>
			</form>
		</div>
	)
}

/** Where the options of a zone stand in the document, if they do. */
function optionsPath(z: DNSZone): string | undefined {
	if (z.kind === "own") return "dns.own"
	if (z.kind === "document" || z.kind === "secondary") return `dns.zones."${z.name}".options`
	return undefined
}

const done = {
	transfer: t("The other servers are asked."),
	rollover: t("A new key is on its way."),
	updates: t("What programs put there is gone."),
}

function Detail({ z, may }: { z: DNSZone; may: boolean }) {
	const { doc } = useEditable()
	const config = doc?.dns.zones?.find((c) => c.name === z.name)
	const path = optionsPath(z)
	const options = z.kind === "own" ? doc?.dns.own : config?.options
	const url = `/api/dns/zones/${encodeURIComponent(z.name)}`
	const refresh = useRefresh()
	const [importing, setImporting] = useState(false)
	const act = useMutation({
		mutationFn: (what: keyof typeof done) =>
			call<unknown>(`${url}/${what}`, { method: what === "updates" ? "DELETE" : "POST" }),
		onSuccess: (_, what) => {
			toast(done[what])
			return refresh("dns")
		},
		onError: (err) => toast(textOf(err)),
	})
	const editable = may && (z.kind === "own" || z.kind === "document")
	return (
		<>
			<Card
				title={z.name}
				action={
					<>
						<a href={`${url}/export`} download={`${z.name}.zone`} className="contents">
							<Button icon={Download}>{t("Export")}</Button>
						</a>
						{editable && (
							<Button icon={FileUp} onPress={() => setImporting(true)}>
								{t("Import")}
							</Button>
						)}
						{may && z.secondaries.length + z.primaries.length > 0 && (
							<Button icon={RefreshCw} isPending={act.isPending} onPress={() => act.mutate("transfer")}>
								{t("Compare with the others now")}
							</Button>
						)}
						{may && z.signed && (
							<Button icon={KeyRound} isPending={act.isPending} onPress={() => act.mutate("rollover")}>
								{t("Change the key")}
							</Button>
						)}
					</>
				}
			>
				<div className="flex flex-col gap-4">
					{path && may && z.kind !== "secondary" && <Sign path={path} options={options} />}
					<Facts>
						{z.ds.length > 0 && (
							<Fact name={t("DS records")}>
								{z.ds.map((ds) => (
									<Copy key={ds} value={ds} label={t("the DS record")} />
								))}
							</Fact>
						)}
						{z.keys.length > 0 && (
							<Fact name={t("Keys")}>
								{z.keys.map((k) => (
									<span key={k.tag}>
										<Mono>{k.tag}</Mono> {[k.role.toUpperCase(), k.state].join(", ")}
										{k.next && (
											<>
												{" "}
												{t("until")} <Time at={k.next} />
											</>
										)}
									</span>
								))}
							</Fact>
						)}
						<Partners name={t("Secondaries")} list={z.secondaries} serial={z.serial} />
						<Partners name={t("Primaries")} list={z.primaries} serial={z.serial} />
						{z.updates > 0 && (
							<Fact name={t("Put there by programs")}>
								{tn(z.updates, "{n} record", "{n} records")}
								{may && (
									<Button
										size="small"
										icon={Trash2}
										isPending={act.isPending}
										onPress={() => act.mutate("updates")}
									>
										{t("Remove them")}
									</Button>
								)}
							</Fact>
						)}
						{z.expires && (
							<Fact name={t("Expires")}>
								<Time at={z.expires} />
							</Fact>
						)}
					</Facts>
				</div>
			</Card>
			{z.kind === "document" && config && (
				<Records path={`dns.zones."${z.name}".records`} stored={config.records} zone={z.name} may={may} />
			)}
			{importing && <Import url={url} zone={z.name} onClose={() => setImporting(false)} />}
		</>
	)
}

function Sign({ path, options }: { path: string; options: Options | undefined }) {
	const draft = useDraft<boolean | undefined>(`${path}.sign`, options?.sign, undefined)
	return (
		<Switch
			label={t("Sign it (DNSSEC)")}
			hint={t("Resolvers that know its DS record can then check every answer.")}
			isSelected={!!draft.value}
			onChange={(on) => draft.set(on || undefined)}
		/>
	)
}

function Partners({ name, list, serial }: { name: string; list: DNSZone["primaries"]; serial: number }) {
	if (list.length === 0) return null
	return (
		<Fact name={name}>
			{list.map((p) => (
				<span key={p.address}>
					<Mono>{p.address}</Mono>{" "}
					{p.error ? (
						<Status tone="warn">{p.error}</Status>
					) : p.serial === serial ? (
						<Status tone="ok">{t("up to date")}</Status>
					) : (
						<Status tone="busy">{p.serial ? t("has {n}", { n: p.serial }) : t("not heard of yet")}</Status>
					)}{" "}
					{p.seen && <Time at={p.seen} />}
				</span>
			))}
		</Fact>
	)
}
