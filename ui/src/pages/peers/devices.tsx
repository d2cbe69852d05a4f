import { ArrowDown, ArrowUp, MonitorSmartphone, Plus, Search } from "lucide-react"
import { useState } from "react"
import { Link, useSearchParams } from "wouter"
import { usePeers, useUsers } from "../../api/hooks"
import type { Peer } from "../../api/types"
import { Button } from "../../kit/button"
import { Card } from "../../kit/card"
import { inputLook } from "../../kit/field"
import { bytes, happened } from "../../kit/format"
import { Empty } from "../../kit/states"
import { Badge, Status } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Copy, None, Time } from "../../kit/text"
import { t, tn } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { isConnected, peerState } from "../../parts/peer"
import { Actions } from "./actions"
import { fits } from "./filter"
import { kindOf } from "./kinds"

export function Devices({ may, add }: { may: boolean; add: () => void }) {
	const peers = usePeers()
	return (
		<Card flush>
			<Loaded of={peers}>
				{(list) =>
					list.length === 0 ? (
						<Empty
							icon={MonitorSmartphone}
							title={t("No device yet")}
							action={
								may && (
									<Button kind="primary" icon={Plus} onPress={add}>
										{t("Add a device")}
									</Button>
								)
							}
						>
							{t(
								"Give the device a name, scan the code with its WireGuard app, and it is at home everywhere.",
							)}
						</Empty>
					) : (
						<PeerTable list={list} may={may} />
					)
				}
			</Loaded>
		</Card>
	)
}

function PeerTable({ list, may }: { list: Peer[]; may: boolean }) {
	const [params, setParams] = useSearchParams()
	const { data: users } = useUsers()
	const text = params.get("q") ?? ""
	const [typed, type] = useState(text)
	const shown = list.filter((p) => fits(p, text))
	const connected = list.filter((p) => isConnected(p)).length
	const owner = (p: Peer) => users?.find((u) => u.name === p.owner)?.display || p.owner
	const columns: Column<Peer>[] = [
		{
			head: t("Name"),
			cell: (p) => {
				const [Icon, word] = kindOf(p.device)
				return (
					<span className="flex min-w-0 items-center gap-2.5">
						{p.device && (
							<Icon
								size={16}
								strokeWidth={1.75}
								aria-label={word}
								role="img"
								className="flex-none text-muted"
							/>
						)}
						<span className="flex min-w-0 flex-col">
							<Link href={`/peers/device/${p.name}`} className="font-medium hover:underline">
								{p.name}
							</Link>
							{p.owner && <span className="text-sec font-normal text-muted">{owner(p)}</span>}
						</span>
					</span>
				)
			},
		},
		{ head: t("State"), cell: (p) => <State peer={p} /> },
		{
			head: t("Address"),
			cell: (p) => <Copy value={p.address} label={t("the address of {name}", { name: p.name })} />,
		},
		{
			head: t("Last seen"),
			cell: (p) => <Time at={p.lastHandshake} />,
			none: (p) => !happened(p.lastHandshake),
		},
		{
			head: t("Carried"),
			kind: "num",
			none: (p) => p.rxTotal + p.txTotal === 0,
			cell: (p) =>
				p.rxTotal + p.txTotal === 0 ? (
					<None>{"–"}</None>
				) : (
					<span className="inline-flex gap-3 whitespace-nowrap text-muted">
						<span className="inline-flex items-center gap-1">
							<ArrowUp size={12} aria-label={t("from the device")} />
							{bytes(p.rxTotal)}
						</span>
						<span className="inline-flex items-center gap-1">
							<ArrowDown size={12} aria-label={t("to the device")} />
							{bytes(p.txTotal)}
						</span>
					</span>
				),
		},
		{ head: t("May reach"), cell: (p) => <Reach peer={p} /> },
		...(may ? [{ head: t("Actions"), kind: "end" as const, cell: (p: Peer) => <Actions peer={p} /> }] : []),
	]
	return (
		<>
			<div className="flex flex-wrap items-center gap-3 border-b border-line px-4 py-3">
				<label className="relative w-full max-w-[280px] max-card:max-w-none">
					<span className="sr-only">{t("Find a device")}</span>
					<Search
						size={14}
						aria-hidden
						className="pointer-events-none absolute start-2.5 top-1/2 -translate-y-1/2 text-muted"
					/>
					<input
						type="search"
						value={typed}
						placeholder={t("Name, person or address")}
						onChange={(e) => {
							type(e.target.value)
							setParams(e.target.value ? { q: e.target.value } : {}, { replace: true })
						}}
						className={`${inputLook} ps-8 focus:outline-2 focus:-outline-offset-1 focus:outline-leaf`}
					/>
				</label>
				<p className="text-muted" role="status">
					{tn(shown.length, "{n} device, {on} connected", "{n} devices, {on} connected", { on: connected })}
				</p>
			</div>
			{shown.length === 0 ? (
				<p className="px-4 py-8 text-center text-muted">{t("No device has that name, person or address.")}</p>
			) : (
				<Table label={t("Devices")} columns={columns} rows={shown} id={(p) => p.name} />
			)}
		</>
	)
}

function State({ peer: p }: { peer: Peer }) {
	const [tone, word] = peerState(p)
	const rate = p.rxRate + p.txRate
	return (
		<span className="flex flex-col items-start gap-0.5">
			<Status tone={tone}>{word}</Status>
			{rate >= 100 && (
				<span className="text-sec text-muted">{t("{rate} a second", { rate: bytes(rate) })}</span>
			)}
			{!!p.reinstall?.length && <Status tone="warn">{t("needs its file anew")}</Status>}
		</span>
	)
}

function Reach({ peer: p }: { peer: Peer }) {
	const all = [t("Cell"), p.lan && t("LAN"), p.internet && (p.split ? "" : t("Internet"))].filter(Boolean)
	if (p.disabled || p.expired) return <None>{t("nothing")}</None>
	return (
		<span className="inline-flex flex-wrap gap-1">
			{all.map((x) => (
				<Badge key={x as string}>{x}</Badge>
			))}
		</span>
	)
}
