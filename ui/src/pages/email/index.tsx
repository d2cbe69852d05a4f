import { Inbox } from "lucide-react"
import { useEmail, useSession, useStatus } from "../../api/hooks"
import type { Email, Mailbox } from "../../api/types"
import { Card, Fact, Facts } from "../../kit/card"
import { bytes, count } from "../../kit/format"
import { Page } from "../../kit/page"
import { Empty } from "../../kit/states"
import { Notice } from "../../kit/status"
import { Table } from "../../kit/table"
import { Copy } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { Queue } from "./queue"
import { Domains, Sending } from "./sending"

export default function EmailPage() {
	const email = useEmail()
	const { data: me } = useSession()
	const viewer = me && me.role !== "user"
	return (
		<Page
			title={t("Email")}
			about={t("Mailboxes of this cell. Read and write with any mail program; its settings are below.")}
		>
			<Loaded of={email} rows={8}>
				{(e) => (
					<>
						{e.enabled === false && (
							<Notice tone="idle" title={t("Email is off")}>
								{t("Switch it on with mail.enabled, and every person of the cell has a mailbox.")}
							</Notice>
						)}
						<Mailboxes list={e.mailboxes ?? []} domain={e.domains?.[0]} />
						<Queue />
						<Programs e={e} />
						{e.enabled !== false && viewer && (
							<>
								<Sending smarthost={e.smarthost} />
								<Domains />
							</>
						)}
					</>
				)}
			</Loaded>
		</Page>
	)
}

function Mailboxes({ list, domain }: { list: Mailbox[]; domain?: string }) {
	return (
		<Card title={t("Mailboxes")} flush>
			{list.length ? (
				<Table
					label={t("Mailboxes")}
					rows={list}
					id={(m) => m.user}
					columns={[
						{
							head: t("Address"),
							cell: (m) => <Copy value={domain ? `${m.user}@${domain}` : m.user} label={t("the address")} />,
						},
						{ head: t("Messages"), kind: "num", cell: (m) => count(m.messages) },
						{ head: t("Unread"), kind: "num", cell: (m) => count(m.unseen) },
						{ head: t("Size"), kind: "num", cell: (m) => bytes(m.bytes) },
					]}
				/>
			) : (
				<Empty icon={Inbox} title={t("No mailbox yet")}>
					{t("Each person of the cell has one. It is made when they are added.")}
				</Empty>
			)}
		</Card>
	)
}

function Programs({ e }: { e: Email }) {
	const { data: status } = useStatus()
	const host = status ? `mail.${status.cell.domain}` : ""
	const p = e.ports ?? {}
	return (
		<Card title={t("Settings for mail programs")} hint={t("Sign in with your name and an app password.")}>
			<Facts>
				<Fact name={t("Domains")}>
					{(e.domains ?? []).map((d) => (
						<Copy key={d} value={d} label={t("the domain")} />
					))}
				</Fact>
				<Fact name={t("Server")}>
					<Copy value={host} label={t("the server")} />
				</Fact>
				<Fact name={t("Incoming")}>
					{t("IMAP, port {port}, TLS", { port: p.imaps ?? status?.ports?.imaps ?? "–" })}
				</Fact>
				<Fact name={t("Outgoing")}>
					<span>
						{t("SMTP, port {port}, TLS", { port: p.submissions ?? status?.ports?.submissions ?? "–" })}
					</span>
					<span>
						{t("or SMTP, port {port}, STARTTLS", { port: p.submission ?? status?.ports?.submission ?? "–" })}
					</span>
				</Fact>
			</Facts>
		</Card>
	)
}
