import { useEffect, useState } from "react"

/** Draws a QR code (ISO/IEC 18004) as one path; a module is one unit. */
export function pathOf(rows: readonly (readonly boolean[])[]): string {
	let d = ""
	rows.forEach((row, y) => {
		for (let x = 0; x < row.length; x++) {
			let run = 0
			while (row[x + run]) run++
			if (run > 0) d += `M${x} ${y}h${run}v1h-${run}z`
			x += run
		}
	})
	return d
}

/** A text as a QR code, black on white whatever the theme, so that phones read it. */
export function QR({ text, label }: { text: string; label: string }) {
	const [code, draw] = useState<{ size: number; path: string }>()
	useEffect(() => {
		let on = true
		import("uqr").then(({ encode }) => {
			const { data, size } = encode(text, { ecc: "M", border: 4 })
			if (on) draw({ size, path: pathOf(data) })
		})
		return () => {
			on = false
		}
	}, [text])
	return (
		<div className="aspect-square w-full max-w-[272px] rounded-card border border-line bg-white max-card:mx-auto max-card:max-w-[320px]">
			{code && (
				<svg
					role="img"
					aria-label={label}
					viewBox={`0 0 ${code.size} ${code.size}`}
					shapeRendering="crispEdges"
				>
					<path d={code.path} fill="#000" />
				</svg>
			)}
		</div>
	)
}
