import { useMutation } from "@tanstack/react-query"
import { LogOut } from "lucide-react"
import { call, textOf } from "../../api/client"
import { useRefresh, useSignIns } from "../../api/hooks"
import type { SignIn } from "../../api/types"
import { IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Status } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { None, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { browser } from "./browser"

/** Where I am signed in, and out again from afar. */
export function Sessions({ user }: { user: string }) {
	const list = useSignIns(user)
	const columns: Column<SignIn>[] = [
		{ head: t("Browser"), cell: (s) => <span className="font-medium">{browser(s.agent)}</span> },
		{ head: t("From"), cell: (s) => s.from ?? <None>{t("unknown")}</None> },
		{ head: t("Since"), cell: (s) => <Time at={s.created} /> },
		{
			head: t("Last seen"),
			cell: (s) => (s.current ? <Status tone="ok">{t("this browser")}</Status> : <Time at={s.seen} />),
		},
		{ head: t("Actions"), kind: "end", cell: (s) => !s.current && <End of={s} user={user} /> },
	]
	return (
		<Card title={t("Signed in")} hint={t("Every browser with an open session.")} flush>
			<Loaded of={list} rows={2}>
				{(rows) => <Table label={t("Signed in")} columns={columns} rows={rows} id={(s) => s.id} />}
			</Loaded>
		</Card>
	)
}

function End({ of: s, user }: { of: SignIn; user: string }) {
	const refresh = useRefresh()
	const end = useMutation({
		mutationFn: () =>
			call(`/api/users/${encodeURIComponent(user)}/sessions/${encodeURIComponent(s.id)}`, {
				method: "DELETE",
			}),
		onSuccess: () => refresh("users"),
		onError: (err) => toast(textOf(err)),
	})
	return (
		<IconButton
			icon={LogOut}
			label={t("Sign {browser} out", { browser: browser(s.agent) })}
			onPress={() => end.mutate()}
			isPending={end.isPending}
		/>
	)
}
