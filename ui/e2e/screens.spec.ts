// How the pages look. PIC_SCREENSHOTS=1 renews those in docs/screenshots.
import { createSocket } from "node:dgram"
import { resolve } from "node:path"
import { expect, pages, signIn, tabs, test, visit } from "./cell"

test.use({ state: "shown" })

/** Asks the cell's DNS like a household does, until it is told to stop. */
function household(port: number): () => void {
	const socket = createSocket("udp4")
	socket.on("error", () => {}) // the cell may be gone first
	const ask = (name: string) => {
		const labels = name.split(".").map((l) => Buffer.concat([Buffer.from([l.length]), Buffer.from(l)]))
		const head = Buffer.from([Math.random() * 256, Math.random() * 256, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
		socket.send(Buffer.concat([head, ...labels, Buffer.from([0, 0, 1, 0, 1])]), port, "127.0.0.1")
	}
	const names = ["home", "mail", "calendar", "files", "contacts"].map((n) => `${n}.oak.home.arpa`)
	names.push("ads.example.com", "pixel.ads.example.com")
	const timer = setInterval(() => {
		for (let n = Math.random() ** 3 * 12; n > 1; n--) ask(names[Math.floor(Math.random() * names.length)]!)
	}, 150)
	return () => {
		clearInterval(timer)
		socket.close()
	}
}

// The pages that the documentation shows.
const shown = [
	"/",
	"/peers",
	"/network",
	"/network/log",
	"/network/filter",
	"/services",
	"/vault",
	"/logs",
	"/settings",
]
const kept = process.env.PIC_SCREENSHOTS ? resolve("../docs/screenshots") : undefined
const views = {
	light: { width: 1280, height: 820, colorScheme: "light" },
	dark: { width: 1280, height: 820, colorScheme: "dark" },
	phone: { width: 390, height: 844, colorScheme: "light" },
	narrow: { width: 320, height: 720, colorScheme: "dark" },
} as const

test("pages fit 1280, 390 and 320 px", async ({ page, cell }, info) => {
	test.setTimeout(480_000)
	const headers = await signIn(page)
	for (const [name, split] of [
		["annas-phone", false],
		["laptop", true],
	] as const) {
		await page.request.post("/api/peers", {
			headers,
			data: { name, split, endpoint: "home.example.org:51820" },
		})
	}
	await page.request.post("/api/dns/block", { headers, data: { name: "ads.example.com" } })
	const stop = kept ? household(Number(cell.env.DNS_PORT)) : () => {}
	for (const path of [...Object.keys(pages), ...tabs, "/peers?add"]) {
		await visit(page, path)
		if (kept && path === "/") await page.waitForTimeout(62_000) // the pulse shows a minute
		for (const [view, { colorScheme, ...viewport }] of Object.entries(views)) {
			await page.setViewportSize(viewport)
			await page.emulateMedia({ colorScheme, reducedMotion: "reduce" })
			await expect
				.poll(
					() =>
						page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
					{ message: `${path} is wider than ${viewport.width} px by so many` },
				)
				.toBe(0)
			const name = path === "/" ? "dashboard" : path.slice(1).replace(/\W+/g, "-")
			const dir = kept && view !== "narrow" && shown.includes(path) ? kept : info.outputDir
			const suffix = view === "light" ? "" : `-${view}`
			await page.screenshot({ path: `${dir}/${name}${suffix}.png` })
		}
	}
	stop()
})
