import { useMutation } from "@tanstack/react-query"
import { ChartLine, Zap } from "lucide-react"
import { useMemo, useState, useSyncExternalStore } from "react"
import { call, textOf } from "../../api/client"
import { useTraffic } from "../../api/hooks"
import type { DeviceTraffic, TrafficHistory } from "../../api/types"
import { useEditable } from "../../change/use"
import { Button, IconButton } from "../../kit/button"
import { Card } from "../../kit/card"
import { Select } from "../../kit/field"
import { bytes } from "../../kit/format"
import { Empty } from "../../kit/states"
import { Badge, Notice } from "../../kit/status"
import { type Column, Table } from "../../kit/table"
import { Mono } from "../../kit/text"
import { toast } from "../../kit/toast"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { isDark } from "../../shell/theme"
import { Chart } from "./chart"
import { useSleepers } from "./known"
import { columns, deviceID, deviceName } from "./series"

const spans = [
	["3", t("Last 3 hours")],
	["24", t("Last 24 hours")],
	["168", t("Last 7 days")],
	["720", t("Last 30 days")],
	["8760", t("Last year")],
] as const

const kinds: Record<DeviceTraffic["kind"], string> = {
	lan: t("household"),
	peer: t("VPN"),
	wan: t("line"),
}

/** How much each device sent and received. */
export function Traffic() {
	const [hours, setHours] = useState("24")
	const traffic = useTraffic(Number(hours))
	return (
		<>
			<Loaded of={traffic} rows={8}>
				{(h) => (
					<>
						{!h.enabled && (
							<Notice tone="idle" title={t("Traffic is not counted")}>
								{t("Switch it on under Settings. What was counted before is kept.")}
							</Notice>
						)}
						<History h={h} hours={hours} setHours={setHours} />
					</>
				)}
			</Loaded>
			<Wake />
		</>
	)
}

function History({
	h,
	hours,
	setHours,
}: {
	h: TrafficHistory
	hours: string
	setHours: (h: string) => void
}) {
	const [chosen, choose] = useState("")
	const wake = useWake()
	const { may } = useEditable()
	const shown = h.devices.find((d) => deviceID(d) === chosen) ?? h.devices[0]
	const cols: Column<DeviceTraffic>[] = [
		{
			head: t("Device"),
			cell: (d) => (
				<span className="inline-flex flex-wrap items-center gap-2">
					<button
						type="button"
						onClick={() => choose(deviceID(d))}
						aria-pressed={d === shown}
						className="text-start font-medium [overflow-wrap:anywhere] decoration-edge underline-offset-4 hover:underline aria-pressed:text-leaf-ink aria-pressed:underline"
					>
						{d.kind === "wan" ? t("Everything, by the line") : deviceName(d)}
					</button>
					<Badge>{kinds[d.kind]}</Badge>
				</span>
			),
		},
		{
			head: t("Address"),
			cell: (d) => d.address && <Mono>{d.address}</Mono>,
			none: (d) => !d.address,
		},
		{ head: t("Received"), kind: "num", cell: (d) => bytes(d.received) },
		{ head: t("Sent"), kind: "num", cell: (d) => bytes(d.sent) },
		{
			head: t("Now"),
			kind: "num",
			cell: (d) => t("{rate}/s", { rate: bytes(d.receivedRate + d.sentRate) }),
		},
		...(may
			? [
					{
						head: t("Actions"),
						kind: "end" as const,
						none: (d: DeviceTraffic) => !d.mac,
						cell: (d: DeviceTraffic) =>
							d.mac && (
								<IconButton
									icon={Zap}
									label={t("Wake {name} up", { name: deviceName(d) })}
									onPress={() => wake.mutate({ mac: d.mac!, name: deviceName(d) })}
								/>
							),
					},
				]
			: []),
	]
	return (
		<Card
			title={t("Traffic")}
			flush
			action={<Select label={t("Time")} hideLabel value={hours} onChange={setHours} options={spans} />}
		>
			{shown ? (
				<>
					<div className="px-4 pb-4">
						<Over h={h} d={shown} />
					</div>
					<Table label={t("Traffic of devices")} rows={h.devices} id={deviceID} columns={cols} />
				</>
			) : (
				<Empty icon={ChartLine} title={t("Nothing moved in this time")}>
					{t("Devices show here as soon as they send something through the cell.")}
				</Empty>
			)}
		</Card>
	)
}

function Over({ h, d }: { h: TrafficHistory; d: DeviceTraffic }) {
	const dark = useDark()
	const data = useMemo(
		() => columns(d.series, h.step, Date.parse(h.since) / 1000, Date.now() / 1000),
		[d, h.step, h.since],
	)
	return <Chart data={data} name={d.kind === "wan" ? t("The line") : deviceName(d)} dark={dark} />
}

/** Whether dark colours are shown, by the person's choice or the system's. */
function useDark(): boolean {
	return useSyncExternalStore((tell) => {
		// The chart takes its colours from the page, which has the new ones a frame later.
		const soon = () => requestAnimationFrame(tell)
		const media = matchMedia("(prefers-color-scheme: dark)")
		media.addEventListener("change", soon)
		const watch = new MutationObserver(soon)
		watch.observe(document.documentElement, { attributeFilter: ["data-theme"] })
		return () => {
			media.removeEventListener("change", soon)
			watch.disconnect()
		}
	}, isDark)
}

function useWake() {
	return useMutation({
		mutationFn: ({ mac }: { mac: string; name: string }) =>
			call("/api/wake", { method: "POST", body: { mac } }),
		onSuccess: (_, { name }) => toast(t("{name} was called. It may take a minute to wake up.", { name })),
		onError: (err) => toast(textOf(err)),
	})
}

/** Calls a device that sleeps. */
function Wake() {
	const { may } = useEditable()
	const sleepers = useSleepers()
	const [mac, choose] = useState("")
	const wake = useWake()
	const d = sleepers.find((s) => s.mac === mac) ?? sleepers[0]
	if (!may || !d) return null
	return (
		<Card title={t("Wake a device up")} hint={t("It must be on the household's cable, with Wake-on-LAN on.")}>
			<form
				className="flex flex-wrap items-end gap-3"
				onSubmit={(e) => {
					e.preventDefault()
					wake.mutate(d)
				}}
			>
				<div className="min-w-0 flex-1 basis-60 card:max-w-[360px]">
					<Select
						label={t("Device")}
						value={d.mac}
						onChange={choose}
						options={sleepers.map((s) => [s.mac, s.name === s.mac ? s.mac : `${s.name} (${s.mac})`])}
					/>
				</div>
				<Button type="submit" icon={Zap} isPending={wake.isPending}>
					{t("Wake up")}
				</Button>
			</form>
		</Card>
	)
}
