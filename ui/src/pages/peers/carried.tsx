import { useState } from "react"
import { usePeerHistory } from "../../api/hooks"
import type { PeerHistory } from "../../api/types"
import { Card } from "../../kit/card"
import { Select } from "../../kit/field"
import { bytes, moment } from "../../kit/format"
import { t } from "../../kit/words"
import { Loaded } from "../../parts/loaded"
import { bars } from "./bars"

/** What a device carried, as bars and as a table. */
export function Carried({ name }: { name: string }) {
	const [hours, choose] = useState("24")
	const history = usePeerHistory(name, Number(hours))
	return (
		<Card
			title={t("Traffic")}
			action={
				<Select
					label={t("Of the last")}
					hideLabel
					value={hours}
					onChange={choose}
					options={[
						["3", t("3 hours")],
						["24", t("day")],
						["168", t("week")],
						["720", t("month")],
						["8760", t("year")],
					]}
				/>
			}
		>
			<Loaded of={history}>{(h) => <Bars h={h} hours={Number(hours)} />}</Loaded>
		</Card>
	)
}

function Bars({ h, hours }: { h: PeerHistory; hours: number }) {
	const points = h.points ?? []
	if (points.length === 0) return <p className="text-muted">{t("It carried nothing in this time.")}</p>
	const { list, most } = bars(points, h.stepSeconds, hours, Date.now())
	return (
		<>
			<svg
				viewBox={`0 0 ${list.length} 40`}
				preserveAspectRatio="none"
				className="h-24 w-full"
				role="img"
				aria-label={t("Traffic by time; at most {most} in one step. The table below has the numbers.", {
					most: bytes(most),
				})}
			>
				{list.map((b) => (
					<g key={b.at}>
						<rect x={b.x + 0.1} width={0.8} y={40 - b.rx - b.tx} height={b.tx} className="fill-leaf" />
						<rect x={b.x + 0.1} width={0.8} y={40 - b.rx} height={b.rx} className="fill-edge" />
					</g>
				))}
			</svg>
			<details className="mt-3">
				<summary className="cursor-pointer text-muted hover:text-ink">{t("As a table")}</summary>
				<table className="rows mt-2" aria-label={t("Traffic")}>
					<thead>
						<tr>
							<th scope="col">{t("From")}</th>
							<th scope="col" className="num">
								{t("From the device")}
							</th>
							<th scope="col" className="num">
								{t("To the device")}
							</th>
						</tr>
					</thead>
					<tbody>
						{[...points].reverse().map((p) => (
							<tr key={p.time}>
								<td data-label={t("From")}>{moment(p.time)}</td>
								<td data-label={t("From the device")} className="num">
									{bytes(p.rxBytes)}
								</td>
								<td data-label={t("To the device")} className="num">
									{bytes(p.txBytes)}
								</td>
							</tr>
						))}
					</tbody>
				</table>
			</details>
		</>
	)
}
