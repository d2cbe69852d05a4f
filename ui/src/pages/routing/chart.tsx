import { useEffect, useRef } from "react"
import uPlot from "uplot"
import "uplot/dist/uPlot.min.css"
import { bytes, moment } from "../../kit/format"
import { t } from "../../kit/words"
import { type Columns, ticks } from "./series"

const height = 180

/** Bytes over time, in and out, and the same as a table. */
export function Chart({ data, name, dark }: { data: Columns; name: string; dark: boolean }) {
	const box = useRef<HTMLDivElement>(null)
	const plot = useRef<uPlot>(null)
	useEffect(() => {
		const el = box.current
		if (!el) return
		// A canvas knows no light-dark(); the element's own colours are resolved, at each
		// drawing, for the theme may have changed.
		const style = getComputedStyle(el)
		const axis = {
			stroke: () => style.color,
			font: `11px ${style.fontFamily}`,
			grid: { stroke: () => style.borderTopColor, width: 1 },
			ticks: { show: false },
		}
		const points = { show: false }
		const p = new uPlot(
			{
				width: el.clientWidth,
				height,
				legend: { show: false },
				cursor: { show: false },
				scales: { y: { range: (_, __, max) => [0, Math.max(max ?? 0, 1000)] } },
				axes: [
					{ ...axis, values: (_, splits, __, ___, apart) => ticks(splits, apart) },
					{ ...axis, size: 64, values: (_, splits) => splits.map((n) => bytes(n)) },
				],
				series: [
					{},
					{ stroke: () => style.getPropertyValue("--c-leaf"), width: 2, points },
					{ stroke: () => style.color, width: 1.5, dash: [4, 3], points },
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
	}, [])
	// biome-ignore lint/correctness/useExhaustiveDependencies: drawn anew where the plot was
	useEffect(() => {
		plot.current?.setData([data.at, data.received, data.sent])
	}, [data, dark])
	return (
		<figure>
			<figcaption className="mb-1 text-sec text-muted">
				{t("{name}: received (whole line) and sent (dashed)", { name })}
			</figcaption>
			<div
				ref={box}
				aria-hidden
				className="overflow-hidden border-line text-muted"
				style={{ blockSize: height }}
			/>
			<details className="mt-1 text-sec">
				<summary className="w-fit cursor-pointer text-muted">{t("As a table")}</summary>
				<div className="mt-2 max-h-60 overflow-auto">
					<table className="w-full">
						<thead>
							<tr className="text-muted">
								<th scope="col" className="text-start">
									{t("Time")}
								</th>
								<th scope="col" className="text-end">
									{t("Received")}
								</th>
								<th scope="col" className="text-end">
									{t("Sent")}
								</th>
							</tr>
						</thead>
						<tbody>
							{data.at.map((s, i) =>
								data.sent[i] || data.received[i] ? (
									<tr key={s}>
										<td>{moment(new Date(s * 1000).toISOString())}</td>
										<td className="text-end">{bytes(data.received[i])}</td>
										<td className="text-end">{bytes(data.sent[i])}</td>
									</tr>
								) : null,
							)}
						</tbody>
					</table>
				</div>
			</details>
		</figure>
	)
}
