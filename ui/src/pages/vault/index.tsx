import { Download, KeyRound, Plus, ShieldQuestion } from "lucide-react"
import { useState } from "react"
import { useSession, useVault } from "../../api/hooks"
import type { Certificate, SecretEntry, Vault } from "../../api/types"
import { Button, look } from "../../kit/button"
import { Card, Fact, Facts } from "../../kit/card"
import { ago, day } from "../../kit/format"
import { Page } from "../../kit/page"
import { Empty } from "../../kit/states"
import { Badge, Status } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Copy, Mono, None, Time } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { Issue } from "./issue"
import { life } from "./life"

export default function VaultPage() {
	const vault = useVault()
	return (
		<Page
			title={t("Vault")}
			about={t("The cell's own certificate authority, and the names of the secrets that it keeps.")}
		>
			<Loaded of={vault} rows={10}>
				{(v) => (
					<>
						<Root root={v.root} />
						<Certificates list={v.certificates ?? []} />
						<Secrets list={v.secrets ?? []} />
					</>
				)}
			</Loaded>
		</Page>
	)
}

function Root({ root }: { root: Vault["root"] }) {
	if (!root) {
		return (
			<Card>
				<Empty icon={ShieldQuestion} title={t("There is no root certificate yet")}>
					{t("The cell makes one as soon as its certificate service runs.")}
				</Empty>
			</Card>
		)
	}
	return (
		<Card
			title={t("Root certificate")}
			hint={t(
				"Install it once on each device, and the device trusts every page of this cell. It vouches for the cell's domain only.",
			)}
			action={
				<a href="/api/vault/root.pem" download="cell-root.pem" className={look("primary")}>
					<Download size={16} strokeWidth={1.75} aria-hidden />
					{t("Download")}
				</a>
			}
		>
			<Facts>
				<Fact name={t("Name")}>{root.subject}</Fact>
				<Fact name={t("Fingerprint")}>
					<Copy value={root.sha256} label={t("the fingerprint")} />
				</Fact>
				<Fact name={t("Valid until")}>{`${day(root.notAfter)} (${ago(root.notAfter)})`}</Fact>
			</Facts>
			<details className="mt-4">
				<summary className="cursor-pointer text-muted hover:text-ink">{t("How to install it")}</summary>
				<dl className="mt-3 grid max-w-[72ch] gap-3">
					{how.map(([device, text]) => (
						<div key={device}>
							<dt className="font-medium">{device}</dt>
							<dd className="text-muted">{text}</dd>
						</div>
					))}
				</dl>
			</details>
		</Card>
	)
}

const how: [string, string][] = [
	[
		t("iPhone, iPad"),
		t(
			"Open the file, install the profile under Settings, then switch it on under General › About › Certificate Trust Settings.",
		),
	],
	[
		t("Android"),
		t("Settings › Security › More › Encryption & credentials › Install a certificate › CA certificate."),
	],
	[
		t("Windows"),
		t("Open the file, choose Install Certificate › Local Machine › Trusted Root Certification Authorities."),
	],
	[t("macOS"), t("Open the file in Keychain Access, then set it to Always Trust.")],
	[
		t("Linux"),
		t(
			"Copy it to /usr/local/share/ca-certificates/cell.crt and run update-ca-certificates. Firefox has its own list.",
		),
	],
]

function Rest({ names, open }: { names: string[]; open: boolean }) {
	if (names.length === 0) return null
	return (
		<details open={open} className="text-sec">
			<summary className="cursor-pointer py-1 text-muted hover:text-ink">
				{t("and {n} more", { n: names.length })}
			</summary>
			<ul>
				{names.map((n) => (
					<li key={n}>
						<Mono>{n}</Mono>
					</li>
				))}
			</ul>
		</details>
	)
}

const certificates: Column<Certificate>[] = [
	{
		head: t("Names"),
		cell: (c) => (
			<span className="flex min-w-0 flex-col items-start gap-1">
				{c.names.slice(0, 4).map((n) => (
					<Copy key={n} value={n} label={t("the name")} />
				))}
				<Rest names={[...c.names.slice(4), ...c.addresses]} open={c.names.length === 0} />
			</span>
		),
	},
	{
		head: t("Use"),
		cell: (c) => (c.serving ? <Badge>{t("by the cell")}</Badge> : <Badge>{t("given out")}</Badge>),
	},
	{
		head: t("Expires"),
		cell: (c) => {
			const l = life(c)
			return (
				<span className="flex flex-col gap-1.5 max-card:items-end">
					<Status tone={l.tone}>{ago(c.notAfter)}</Status>
					<span aria-hidden className="block h-1 w-28 overflow-hidden rounded-full bg-hover">
						<span
							className={`block h-full ${l.tone === "ok" ? "bg-leaf" : l.tone === "warn" ? "bg-warn" : "bg-bad"}`}
							style={{ inlineSize: `${l.left}%` }}
						/>
					</span>
				</span>
			)
		},
	},
	{ head: t("Issued"), cell: (c) => day(c.notBefore) },
	{ head: t("Serial"), cell: (c) => <Copy value={c.serial} label={t("the serial number")} short /> },
]

function Certificates({ list }: { list: Certificate[] }) {
	const { data: me } = useSession()
	const [issuing, issue] = useState(false)
	const button = me?.role === "admin" && (
		<Button icon={Plus} onPress={() => issue(true)}>
			{t("Issue a certificate")}
		</Button>
	)
	return (
		<Card
			title={t("Certificates")}
			hint={t("The cell renews its own before they expire.")}
			flush
			action={button}
		>
			{list.length ? (
				<Table label={t("Certificates")} columns={certificates} rows={list} id={(c) => c.serial} />
			) : (
				<Empty icon={KeyRound} title={t("None issued yet")}>
					{t("The first is made when somebody visits one of the cell's names over https.")}
				</Empty>
			)}
			{issuing && <Issue onClose={() => issue(false)} />}
		</Card>
	)
}

const secrets: Column<SecretEntry>[] = [
	{ head: t("Kind"), cell: (s) => <span className="font-medium">{s.kind}</span> },
	{ head: t("Id"), cell: (s) => <Mono>{s.id}</Mono> },
	{ head: t("Kept"), cell: (s) => <Time at={s.created} /> },
]

function Secrets({ list }: { list: SecretEntry[] }) {
	return (
		<Card title={t("Secrets")} hint={t("Sealed on the disk. Nobody can read them here, not even you.")} flush>
			{list.length ? (
				<Table label={t("Secrets")} columns={secrets} rows={list} id={(s) => s.id} />
			) : (
				<p className="px-4 pb-4">
					<None>{t("none kept")}</None>
				</p>
			)}
		</Card>
	)
}
