import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Page } from "@playwright/test"
import type { AxeResults } from "axe-core"
import { expect, pages, signIn, tabs, test, visit } from "./cell"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

async function faults(page: Page): Promise<string[]> {
	await page.evaluate(axe)
	const found = (await page.evaluate(
		"axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })",
	)) as AxeResults
	return found.violations.map(
		(v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`,
	)
}

for (const colorScheme of ["light", "dark"] as const) {
	test(`every page is accessible in the ${colorScheme} theme`, async ({ page }) => {
		test.setTimeout(240_000)
		await page.emulateMedia({ colorScheme, reducedMotion: "reduce" })
		await page.goto("/")
		await expect(page.getByRole("heading", { name: "Sign in to your cell" })).toBeVisible()
		expect(await faults(page), "login").toEqual([])
		const headers = await signIn(page)
		await page.request.post("/api/peers", {
			headers,
			data: { name: `axe-${colorScheme}`, endpoint: "home.example.org:51820" },
		})
		for (const path of [...Object.keys(pages), ...tabs]) {
			await visit(page, path)
			expect(await faults(page), path).toEqual([])
		}
		await visit(page, `/peers/device/axe-${colorScheme}`)
		expect(await faults(page), "a device").toEqual([])
		await page.getByRole("button", { name: "Change", exact: true }).click()
		await expect(page.getByRole("dialog")).toBeVisible()
		expect(await faults(page), "the dialog for rights").toEqual([])
		await page.keyboard.press("Escape")
		const link = await page.request.post(`/api/peers/axe-${colorScheme}/link`, { headers, data: {} })
		await page.goto((await link.json()).url)
		await expect(page.getByRole("button", { name: "Set up axe" })).toBeVisible()
		expect(await faults(page), "the page of a link").toEqual([])
		await visit(page, "/peers?add")
		expect(await faults(page), "the dialog for a new device").toEqual([])
		await page.keyboard.press("Escape")
		await page.getByRole("button", { name: `What to do with axe-${colorScheme}` }).click()
		await page.getByRole("menuitem", { name: "Show code and file" }).click()
		await expect(page.getByRole("img", { name: "QR code" })).toBeVisible()
		expect(await faults(page), "the dialog with the code").toEqual([])
	})
}

test("the first run is accessible", async ({ page }) => {
	// The page asks what there is to do; here the answer of a new cell stands in.
	await page.route("**/api/setup", (r) =>
		r.fulfill({
			json: { needed: true, suggestion: { name: "oak", domain: "oak.home.arpa", mode: "trial" } },
		}),
	)
	await page.emulateMedia({ reducedMotion: "reduce" })
	await page.goto("/")
	await page.getByLabel("Setup token").fill("a-token")
	expect(await faults(page), "token").toEqual([])
	await page.keyboard.press("Enter")
	expect(await faults(page), "cell").toEqual([])
	await page.getByRole("button", { name: "Next" }).click()
	await page.getByRole("button", { name: "Next" }).click()
	await expect(page.getByText("Choose the name that you will sign in with.")).toBeVisible()
	expect(await faults(page), "admin, with errors").toEqual([])
})
