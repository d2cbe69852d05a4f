import { useEffect, useRef, useSyncExternalStore } from "react"
import uPlot from "uplot"
import "uplot/dist/uPlot.min.css"
import { useStatus } from "../api/hooks"
import { traffic } from "../api/live"
import { rates } from "../api/rates"
import { bytes } from "../kit/format"
import { t } from "../kit/words"
import { useTheme } from "./theme"

const height = 14
const minute = 60

/** The pulse: the last minute of what the cell carries, as the header's lower line. */
export default function Pulse() {
	const samples = useSyncExternalStore(traffic.watch, traffic.get)
	const { data: status } = useStatus()
	const theme = useTheme()
	const box = useRef<HTMLDivElement>(null)
	const plot = useRef<uPlot>(null)
	const busy = status?.services?.some((s) => s.state === "starting" || s.state === "failing") ?? false

	// biome-ignore lint/correctness/useExhaustiveDependencies: the colours depend on the theme
	useEffect(() => {
		const el = box.current
		if (!el) return
		// A canvas knows no light-dark(); the element's own colour is resolved.
		const style = getComputedStyle(el)
		const colour = (name: string) => style.getPropertyValue(name)
		const smooth = uPlot.paths.spline?.()
		const points = { show: false }
		const p = new uPlot(
			{
				width: el.clientWidth,
				height,
				padding: [2, 0, 0, 0],
				legend: { show: false },
				cursor: { show: false },
				axes: [{ show: false }, { show: false }],
				scales: {
					x: { time: false, range: (_, __, max) => [(max ?? 0) - minute, max ?? 0] },
					bytes: { range: (_, __, max) => [0, Math.max(max ?? 0, 20_000)] },
					queries: { range: (_, __, max) => [0, Math.max(max ?? 0, 20)] },
				},
				series: [
					{},
					{ scale: "queries", stroke: style.color, width: 1, points, paths: smooth },
					{ scale: "bytes", stroke: colour(busy ? "--c-warn" : "--c-leaf"), width: 2, points, paths: smooth },
				],
			},
			[[], [], []],
			el,
		)
		plot.current = p
		const watch = new ResizeObserver(() => p.setSize({ width: el.clientWidth, height }))
		watch.observe(el)
		return () => {
			watch.disconnect()
			p.destroy()
			plot.current = null
		}
	}, [busy, theme])

	const line = rates(samples)
	// biome-ignore lint/correctness/useExhaustiveDependencies: drawn anew where the plot was
	useEffect(() => {
		plot.current?.setData([line.map((r) => r.at), line.map((r) => r.queries), line.map((r) => r.bytes)])
	}, [line, busy, theme])
	const now = line.at(-1)
	return (
		<div
			ref={box}
			className="pointer-events-none absolute inset-x-0 -bottom-px text-edge"
			style={{ blockSize: height }}
		>
			{now && (
				<span className="sr-only">
					{t("Now: {rate} per second through the VPN, {n} DNS queries per second", {
						rate: bytes(now.bytes),
						n: now.queries.toFixed(1),
					})}
				</span>
			)}
		</div>
	)
}
