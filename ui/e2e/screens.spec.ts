// How the pages look. PIC_SCREENSHOTS=1 renews those in docs/screenshots.
import { resolve } from "node:path"
import { expect, pages, signIn, tabs, test, visit } from "./cell"

const kept = process.env.PIC_SCREENSHOTS ? resolve("../docs/screenshots") : undefined
const views = {
	light: { width: 1280, height: 820, colorScheme: "light" },
	dark: { width: 1280, height: 820, colorScheme: "dark" },
	phone: { width: 390, height: 844, colorScheme: "light" },
	narrow: { width: 320, height: 720, colorScheme: "dark" },
} as const

for (const [view, { colorScheme, ...viewport }] of Object.entries(views)) {
	test(`pages fit ${viewport.width} px, ${view}`, async ({ page }, info) => {
		test.setTimeout(120_000)
		const headers = await signIn(page)
		for (const [name, split] of [["annas-phone", false], ["laptop", true]] as const) {
			await page.request.post("/api/peers", { headers, data: { name, split, endpoint: "home.example.org:51820" } })
		}
		await page.setViewportSize(viewport)
		await page.emulateMedia({ colorScheme, reducedMotion: "reduce" })
		for (const path of [...Object.keys(pages), ...tabs, "/peers?add"]) {
			await visit(page, path)
			const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
			expect(wider, `${path} is wider than the screen by so many px`).toBe(0)
			const name = path === "/" ? "dashboard" : path.slice(1).replace(/\W+/g, "-")
			const dir = kept && view !== "narrow" && path.split("/").length === 2 ? kept : info.outputDir
			const suffix = view === "light" ? "" : `-${view}`
			await page.screenshot({ path: `${dir}/${name}${suffix}.png` })
		}
	})
}
