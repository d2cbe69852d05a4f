import { CalendarDays } from "lucide-react"
import { useCalendar, useStatus } from "../../api/hooks"
import type { Collection } from "../../api/types"
import { Card, Fact, Facts } from "../../kit/card"
import { count } from "../../kit/format"
import { Page } from "../../kit/page"
import { Empty } from "../../kit/states"
import { Badge } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Copy } from "../../kit/text"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"

const kinds: Record<string, string> = {
	calendar: t("Calendar"),
	addressbook: t("Contacts"),
	contacts: t("Contacts"),
	tasks: t("Tasks"),
}

const columns: Column<Collection>[] = [
	{ head: t("Name"), cell: (c) => <span className="font-medium">{c.display || c.name}</span> },
	{ head: t("Kind"), cell: (c) => <Badge>{kinds[c.kind] ?? c.kind}</Badge> },
	{ head: t("Owner"), cell: (c) => c.owner },
	{ head: t("Entries"), kind: "num", cell: (c) => count(c.objects) },
	{
		head: t("Address"),
		cell: (c) => (
			<Copy
				value={new URL(c.url, location.origin).pathname}
				label={t("the address of {name}", { name: c.display || c.name })}
			/>
		),
	},
]

export default function CalendarPage() {
	const calendar = useCalendar()
	const { data: status } = useStatus()
	const domain = status?.cell.domain ?? ""
	return (
		<Page
			title={t("Calendar")}
			about={t("Calendars and contacts of this cell, for every CalDAV and CardDAV program.")}
		>
			<Card title={t("Calendars and address books")} flush>
				<Loaded of={calendar}>
					{(c) =>
						c.collections?.length ? (
							<Table
								label={t("Calendars and address books")}
								columns={columns}
								rows={c.collections}
								id={(x) => x.url || `${x.owner}/${x.name}`}
							/>
						) : (
							<Empty icon={CalendarDays} title={t("No calendar yet")}>
								{t("The first program that signs in makes one. What it needs is below.")}
							</Empty>
						)
					}
				</Loaded>
			</Card>
			<Card
				title={t("Settings for calendar programs")}
				hint={t("Sign in with your name and an app password. Programs find the rest by themselves.")}
			>
				<Facts>
					<Fact name={t("Server")}>
						<Copy value={`https://calendar.${domain}`} label={t("the server")} />
					</Fact>
					<Fact name={t("On this host")}>
						<Copy
							value={`http://127.0.0.1:${status?.ports?.caldav ?? 5232}/dav/`}
							label={t("the local address")}
						/>
					</Fact>
				</Facts>
			</Card>
		</Page>
	)
}
