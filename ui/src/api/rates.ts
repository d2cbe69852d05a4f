// From counters to what flows per second. Pure.

export interface Sample {
	at: number // seconds
	bytes: number
	queries: number
}

/** Keeps a little more than the last minute. A counter that fell began anew. */
export function addSample(list: readonly Sample[], s: Sample): readonly Sample[] {
	const last = list.at(-1)
	if (last && s.at <= last.at) return list
	if (last && (s.bytes < last.bytes || s.queries < last.queries)) return [s]
	return [...list.filter((x) => x.at > s.at - 75), s]
}

/** What flowed per second between each two samples. */
export function rates(list: readonly Sample[]): Sample[] {
	return list.slice(1).map((s, i) => {
		const before = list[i]!
		const seconds = s.at - before.at
		return {
			at: s.at,
			bytes: (s.bytes - before.bytes) / seconds,
			queries: (s.queries - before.queries) / seconds,
		}
	})
}
