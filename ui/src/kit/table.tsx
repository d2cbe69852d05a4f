import type { ReactNode } from "react"

export interface Column<T> {
	head: string
	cell: (row: T) => ReactNode
	/** num: aligned at the end. end: actions, without a visible head. */
	kind?: "num" | "end"
	/** Left out of the card on a phone when it says true. */
	none?: (row: T) => boolean
}

/** A plain table; a list of cards below 640 px. */
export function Table<T>({
	label,
	columns,
	rows,
	id,
}: {
	label: string
	columns: Column<T>[]
	rows: readonly T[]
	id: (row: T) => string | number
}) {
	return (
		<div className="overflow-x-auto max-card:overflow-visible">
			<table className="rows" aria-label={label}>
				<thead>
					<tr>
						{columns.map((c) => (
							<th key={c.head} scope="col" className={c.kind}>
								{c.kind === "end" ? <span className="sr-only">{c.head}</span> : c.head}
							</th>
						))}
					</tr>
				</thead>
				<tbody>
					{rows.map((row) => (
						<tr key={id(row)}>
							{columns.map((c) => (
								<td
									key={c.head}
									data-label={c.kind === "end" ? undefined : c.head}
									className={[c.kind, c.none?.(row) ? "none" : ""].join(" ").trim() || undefined}
								>
									{c.cell(row)}
								</td>
							))}
						</tr>
					))}
				</tbody>
			</table>
		</div>
	)
}
