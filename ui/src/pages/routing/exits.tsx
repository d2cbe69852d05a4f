import { Pencil, Plus, Power, PowerOff, Trash2, Waypoints } from "lucide-react"
import { useState } from "react"
import { call, textOf } from "../../api/client"
import { useExits, useResolved } from "../../api/hooks"
import type { Exit, ExitEdit, Outcome } from "../../api/types"
import { useEdit, useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card, Fact, Facts } from "../../kit/card"
import { bytes } from "../../kit/format"
import { Empty } from "../../kit/states"
import { Notice, Status } from "../../kit/status"
import { Copy, None, Time } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { AddExit, NameServers } from "./exitform"
import { exitState, whileDown } from "./exitwords"

const at = (name: string) => `/api/exits/${encodeURIComponent(name)}`

/** The other ways to the internet, and who goes by them. */
export default function Exits() {
	const exits = useExits()
	const { data: full } = useResolved()
	const { may } = useEditable()
	const [adding, add] = useState(false)
	const [asking, ask] = useState<Exit | null>(null)
	const trial = full?.cell.mode === "trial"
	const button = may && !trial && (
		<Button icon={Plus} onPress={() => add(true)}>
			{t("Add an exit")}
		</Button>
	)
	return (
		<>
			{trial && (
				<Notice tone="idle" title={t("A trial has no exits")}>
					{t(
						"They need cards and routes of the host, which a trial leaves alone. Once the cell is installed, a provider's file or a linked cell is added here.",
					)}
				</Notice>
			)}
			<Loaded of={exits} rows={6}>
				{(list) =>
					list.length ? (
						<>
							{button && <div className="flex justify-end">{button}</div>}
							<div className="grid items-start gap-4 full:grid-cols-2">
								{list.map((e) => (
									<One key={e.name} exit={e} may={may} ask={() => ask(e)} />
								))}
							</div>
						</>
					) : (
						<Card>
							<Empty icon={Waypoints} title={t("Everybody goes by the cell's own line")} action={button}>
								{t(
									"With an exit, the internet of chosen devices goes by a WireGuard provider or by a linked cell: all of it, names included, and nothing past it while it is down.",
								)}
							</Empty>
						</Card>
					)
				}
			</Loaded>
			{adding && <AddExit onClose={() => add(false)} />}
			{asking && <NameServers exit={asking} url={at(asking.name)} onClose={() => ask(null)} />}
		</>
	)
}

function One({ exit: e, may, ask }: { exit: Exit; may: boolean; ask: () => void }) {
	const edit = useEdit((body: ExitEdit) => call<Outcome>(at(e.name), { method: "PUT", body }))
	const remove = useEdit(() => call<Outcome>(at(e.name), { method: "DELETE" }))
	const fails = { onError: (err: unknown) => toast(textOf(err)) }
	const [tone, state] = exitState(e)
	return (
		<Card
			title={
				<span className="inline-flex flex-wrap items-center gap-x-3">
					{e.name}
					<Status tone={tone}>{state}</Status>
				</span>
			}
			hint={e.link ? t("The linked cell {name}", { name: e.link }) : t("A WireGuard provider")}
			action={
				may && (
					<span className="inline-flex">
						<IconButton
							icon={e.disabled ? Power : PowerOff}
							label={
								e.disabled
									? t("Switch {name} on", { name: e.name })
									: t("Switch {name} off", { name: e.name })
							}
							isDisabled={edit.isPending}
							onPress={() => edit.mutate({ disabled: !e.disabled }, fails)}
						/>
						<IconButton icon={Pencil} label={t("Name servers of {name}", { name: e.name })} onPress={ask} />
						<IconButton
							icon={Trash2}
							label={t("Remove {name}", { name: e.name })}
							isDisabled={remove.isPending}
							onPress={() => remove.mutate(undefined, fails)}
						/>
					</span>
				)
			}
		>
			{e.trouble && <p className="mb-3 font-medium text-bad-ink">{e.trouble}</p>}
			<Facts>
				<Fact name={t("Used by")}>
					{e.peers.length ? e.peers.join(", ") : <None>{t("no device")}</None>}
					{e.groups.length > 0 && (
						<span className="text-muted">{t("of the groups {names}", { names: e.groups.join(", ") })}</span>
					)}
				</Fact>
				<Fact name={t("While it is down")}>{whileDown(e)}</Fact>
				<Fact name={t("Last handshake")}>
					<Time at={e.handshake} />
				</Fact>
				<Fact name={t("Traffic")}>
					{t("{in} in, {out} out", { in: bytes(e.received), out: bytes(e.sent) })}
					{e.link && <span className="text-muted">{t("with that cell in all")}</span>}
				</Fact>
				<Fact name={t("Carries")}>
					{[e.ipv4 && "IPv4", e.ipv6 && "IPv6"].filter(Boolean).join(", ") || <None>{t("nothing now")}</None>}
				</Fact>
				<Fact name={t("Name servers")}>
					{e.dns.length ? (
						e.dns.map((d) => <Copy key={d} value={d} label={t("the name server")} />)
					) : (
						<None>{e.link ? t("none: that cell gave none") : t("public ones, asked through it")}</None>
					)}
				</Fact>
				{(e.endpoint || e.address) && (
					<Fact name={t("Other end")}>
						<Copy value={e.endpoint || e.address || ""} label={t("the other end")} />
					</Fact>
				)}
			</Facts>
		</Card>
	)
}
