import { useRoute } from "wouter"
import { Page, Tabs } from "../../kit/page"
import { t } from "../../kit/words"
import { Lines } from "./lines"
import { Timeline } from "./timeline"

const tabs = [
	{ href: "/logs", text: t("Lines") },
	{ href: "/logs/timeline", text: t("Timeline") },
]

export default function Logs() {
	const [timeline] = useRoute("/logs/timeline")
	return (
		<Page
			title={t("Logs")}
			about={
				timeline
					? t("Every change and every event of note, with who and why.")
					: t("What the services say, as they say it.")
			}
			tabs={<Tabs label={t("Kinds of log")} tabs={tabs} now={timeline ? "/logs/timeline" : "/logs"} />}
		>
			{timeline ? <Timeline /> : <Lines />}
		</Page>
	)
}
