const browsers: [RegExp, string][] = [
	[/Edg\//, "Edge"],
	[/OPR\//, "Opera"],
	[/Firefox\//, "Firefox"],
	[/Chrom(e|ium)\//, "Chromium"],
	[/Safari\//, "Safari"],
	[/curl\//, "curl"],
]
const systems: [RegExp, string][] = [
	[/iPhone/, "iPhone"],
	[/iPad/, "iPad"],
	[/Android/, "Android"],
	[/Windows/, "Windows"],
	[/Macintosh/, "Mac"],
	[/Linux/, "Linux"],
]

/** "Mozilla/5.0 (X11; Linux x86_64) … Firefox/140.0" → "Firefox, Linux" */
export function browser(agent: string): string {
	const find = (list: [RegExp, string][]) => list.find(([is]) => is.test(agent))?.[1]
	return [find(browsers), find(systems)].filter(Boolean).join(", ") || agent.slice(0, 40) || "unknown"
}
