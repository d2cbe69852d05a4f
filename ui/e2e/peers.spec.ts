import { readFileSync } from "node:fs"
import { expect, signIn, test, visit } from "./cell"

test("a device is added, handed over, switched off, removed and brought back", async ({ page }) => {
	await signIn(page)
	await visit(page, "/peers")
	await page.getByRole("button", { name: "Add a device" }).first().click()
	const dialog = page.getByRole("dialog")
	await dialog.getByLabel("Name").fill("Laptop")
	await dialog.getByText("Only the cell and the home network").click()
	await dialog.getByLabel("Where the device finds the cell").fill("home.example.org:51821")
	await dialog.getByRole("button", { name: "Add", exact: true }).click()

	const code = dialog.getByRole("img", { name: "QR code" })
	await expect(code).toBeVisible()
	await expect.poll(() => code.evaluate((i: HTMLImageElement) => i.naturalWidth)).toBeGreaterThan(0)
	const [file] = await Promise.all([
		page.waitForEvent("download"),
		dialog.getByRole("button", { name: "Download laptop.conf" }).click(),
	])
	expect(file.suggestedFilename()).toBe("laptop.conf")
	const conf = readFileSync(await file.path(), "utf8")
	expect(conf).toMatch(/^PrivateKey = \S{44}$/m)
	expect(conf).toMatch(/^Endpoint = home\.example\.org:51821$/m)
	expect(conf, "a split tunnel leaves the internet alone").not.toContain("0.0.0.0/0")
	await dialog.getByRole("button", { name: "Done" }).click()

	const row = page.getByRole("row", { name: /^laptop/ })
	await expect(row).toContainText("never connected")
	const menu = page.getByRole("button", { name: "What to do with laptop" })
	await menu.click()
	await page.getByRole("menuitem", { name: "Switch off" }).click()
	await expect(row).toContainText("switched off")

	await menu.click()
	await page.getByRole("menuitem", { name: "Remove…" }).click()
	const sure = page.getByRole("alertdialog")
	await expect(sure).toContainText("cannot come back with its present code")
	await expect(sure.getByRole("button", { name: "Keep it" })).toBeFocused()
	await sure.getByRole("button", { name: "Remove laptop" }).click()
	await expect(row).toHaveCount(0)

	const bar = page.getByRole("region", { name: "The last change" })
	await expect(bar).toContainText("In force in")
	await expect(bar).toContainText("Peer laptop removed")
	await bar.getByRole("button", { name: "Undo" }).click()
	await expect(row).toContainText("switched off")
	await expect(bar).toHaveCount(0)
})

test("the code of a device is shown again", async ({ page }) => {
	const headers = await signIn(page)
	await page.request.post("/api/peers", { headers, data: { name: "reader" } })
	await visit(page, "/peers")
	await page.getByRole("button", { name: "What to do with reader" }).click()
	await page.getByRole("menuitem", { name: "Show code and file" }).click()
	await expect(page.getByRole("img", { name: "QR code" })).toBeVisible()
	await page.getByText("Show the text").click()
	await expect(page.getByText("[Interface]")).toContainText("Endpoint = 127.0.0.1:")
})

test("a name that is taken is refused beside the field", async ({ page }) => {
	const headers = await signIn(page)
	await page.request.post("/api/peers", {
		headers,
		data: { name: "tablet", endpoint: "home.example.org:51820" },
	})
	await visit(page, "/peers?add")
	const dialog = page.getByRole("dialog")
	await dialog.getByLabel("Name").fill("tablet")
	await dialog.getByLabel("Where the device finds the cell").fill("home.example.org")
	await dialog.getByRole("button", { name: "Add", exact: true }).click()
	await expect(dialog.getByLabel("Name")).toHaveAttribute("aria-invalid", "true")
	await page.keyboard.press("Escape")
	await expect(dialog).toHaveCount(0)
})

test("the search stands in the address and can be shared", async ({ page }) => {
	const headers = await signIn(page)
	for (const name of ["kitchen", "garage"])
		await page.request.post("/api/peers", { headers, data: { name, endpoint: "home.example.org:51820" } })
	await visit(page, "/peers")
	await page.getByRole("searchbox", { name: "Find a device" }).fill("kit")
	await expect(page.getByRole("row", { name: /^garage/ })).toHaveCount(0)
	await expect(page).toHaveURL(/\?q=kit$/)
	await page.reload()
	await expect(page.getByRole("row", { name: /^kitchen/ })).toBeVisible()
	await expect(page.getByRole("row", { name: /^garage/ })).toHaveCount(0)
})
