// Figures of the resolver. Pure.
import type { Schemas } from "../../api/types"

type Bucket = Schemas["DNSBucket"]

/** The upper edge of the bucket that the median lies in, in milliseconds. */
export function median(latency: Bucket[]): string {
	const all = latency.reduce((n, b) => n + b.count, 0)
	let seen = 0
	for (const b of latency) {
		seen += b.count
		if (seen * 2 >= all) return b.upToMs < 1 ? b.upToMs.toFixed(2) : b.upToMs.toFixed(0)
	}
	return "0"
}

export function share(part: number, of: number): string {
	return of > 0 ? `${Math.round((part / of) * 100)} %` : ""
}
