import { KeyRound, Pencil, Plus, Trash2 } from "lucide-react"
import { useState } from "react"
import { call, errorAt, Problem, textOf } from "../../api/client"
import { useMailDomains } from "../../api/hooks"
import type { MailDomain, NewSmarthost, Outcome, Smarthost } from "../../api/types"
import { useEdit, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card, Fact, Facts } from "../../kit/card"
import { Field } from "../../kit/field"
import { Dialog, DialogActions } from "../../kit/overlay"
import { Notice, Status } from "../../kit/status"
import { Table } from "../../kit/table"
import { Copy, Mono } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"

/** Who brings mail to other places. */
export function Sending({ smarthost }: { smarthost?: Smarthost }) {
	const { may } = useEditable()
	const [editing, edit] = useState(false)
	const remove = useEdit(() => call<Outcome>("/api/email/smarthost", { method: "DELETE" }))
	return (
		<Card
			title={t("Sending")}
			hint={t(
				"Many home lines may not send mail themselves. A provider with an account for you does it then.",
			)}
			action={
				may &&
				(smarthost ? (
					<span className="inline-flex">
						<IconButton icon={Pencil} label={t("Change the provider")} onPress={() => edit(true)} />
						<IconButton
							icon={Trash2}
							label={t("Send without a provider")}
							onPress={() => remove.mutate(undefined, { onError: (err) => toast(textOf(err)) })}
						/>
					</span>
				) : (
					<Button icon={Plus} onPress={() => edit(true)}>
						{t("Send through a provider")}
					</Button>
				))
			}
		>
			<Facts>
				<Fact name={t("Mail goes")}>
					{smarthost ? (
						<Mono>{`${smarthost.host}:${smarthost.port}`}</Mono>
					) : (
						t("to the recipients' servers, by port 25")
					)}
				</Fact>
				{smarthost?.user && (
					<Fact name={t("Account")}>
						<Mono>{smarthost.user}</Mono>
					</Fact>
				)}
			</Facts>
			{editing && <EditSmarthost smarthost={smarthost} onClose={() => edit(false)} />}
		</Card>
	)
}

function EditSmarthost({ smarthost: s, onClose }: { smarthost?: Smarthost; onClose: () => void }) {
	const [form, change] = useState({
		host: s?.host ?? "",
		port: String(s?.port ?? 465),
		user: s?.user ?? "",
		password: "",
	})
	const set = (part: Partial<typeof form>) => change({ ...form, ...part })
	const put = useEdit((body: NewSmarthost) => call<Outcome>("/api/email/smarthost", { method: "PUT", body }))
	const wrong = (field: string) => errorAt(put.error, `mail.smarthost.${field}`) ?? errorAt(put.error, field)
	const told = ["host", "port", "user", "password"].some((f) => wrong(f))
	const plain = { mono: true, autoComplete: "off", autoCapitalize: "none", spellCheck: "false" } as const
	return (
		<Dialog title={t("Send through a provider")} open onClose={onClose}>
			<form
				className="flex flex-col gap-4 pt-2"
				noValidate
				onSubmit={(e) => {
					e.preventDefault()
					put.mutate(
						{
							host: form.host.trim().toLowerCase(),
							port: Number(form.port) || 0,
							user: form.user.trim() || undefined,
							password: form.password || undefined,
						},
						{ onSuccess: onClose },
					)
				}}
			>
				<Field
					label={t("Server")}
					value={form.host}
					onChange={(v) => set({ host: v })}
					error={wrong("host")}
					placeholder="smtp.example.net"
					autoFocus
					isRequired
					{...plain}
				/>
				<Field
					label={t("Port")}
					value={form.port}
					onChange={(v) => set({ port: v })}
					error={wrong("port")}
					hint={t("465, or 587")}
					inputMode="numeric"
					{...plain}
				/>
				<Field
					label={t("Account")}
					value={form.user}
					onChange={(v) => set({ user: v })}
					error={wrong("user")}
					{...plain}
				/>
				<Field
					label={t("Password")}
					type="password"
					value={form.password}
					onChange={(v) => set({ password: v })}
					error={wrong("password")}
					hint={s?.user ? t("Leave it empty to keep the one that is there.") : t("It goes into the vault.")}
					autoComplete="off"
				/>
				{put.error && !told && (
					<Notice tone="bad" title={put.error instanceof Problem ? put.error.message : textOf(put.error)} />
				)}
				<DialogActions>
					<Button kind="quiet" onPress={onClose}>
						{t("Cancel")}
					</Button>
					<Button kind="primary" type="submit" isPending={put.isPending}>
						{t("Save")}
					</Button>
				</DialogActions>
			</form>
		</Dialog>
	)
}

const tones = { good: "ok", missing: "bad", wrong: "bad", unknown: "idle" } as const

/** What others find in DNS about the mail domains, and what they should. */
export function Domains() {
	const { data } = useMailDomains()
	return data?.map((d) => <Domain key={d.domain} d={d} />)
}

function Domain({ d }: { d: MailDomain }) {
	const { may } = useEditable()
	const make = useEdit(() =>
		call<Outcome>(`/api/email/domains/${encodeURIComponent(d.domain)}/keys`, { method: "POST" }),
	)
	const records = d.records ?? []
	const signed = records.some((r) => r.kind === "DKIM")
	const states = { good: t("good"), missing: t("missing"), wrong: t("wrong"), unknown: t("not known now") }
	return (
		<Card
			title={t("Mail of {domain}", { domain: d.domain })}
			hint={
				d.local
					? t("This domain exists at home only: linked cells can send to it, the internet cannot.")
					: t("What others look up before they trust mail from here.")
			}
			flush
			action={
				may && (
					<Button
						icon={KeyRound}
						isPending={make.isPending}
						onPress={() => make.mutate(undefined, { onError: (err) => toast(textOf(err)) })}
					>
						{signed ? t("Exchange the keys") : t("Sign mail")}
					</Button>
				)
			}
		>
			<Table
				label={t("Records of {domain}", { domain: d.domain })}
				rows={records}
				id={(r) => `${r.kind} ${r.name}`}
				columns={[
					{ head: t("Record"), cell: (r) => r.kind },
					{ head: t("Name"), cell: (r) => <Mono>{r.name}</Mono> },
					{
						head: t("State"),
						cell: (r) => (
							<span>
								<Status tone={tones[r.state]}>{states[r.state]}</Status>
								{r.state !== "good" && <span className="block text-muted">{r.why}</span>}
							</span>
						),
					},
					{
						head: t("Publish"),
						cell: (r) =>
							r.state !== "good" && <Copy value={r.want} label={t("the record {kind}", { kind: r.kind })} />,
						none: (r) => r.state === "good",
					},
				]}
			/>
		</Card>
	)
}
