import { expect, signIn, test, visit } from "./cell"

test("lines arrive by themselves, and their filters stand in the address", async ({ page }) => {
	const headers = await signIn(page)
	await visit(page, "/logs")
	const log = page.getByRole("log")
	await expect(log).not.toBeEmpty()
	await page.getByLabel("Service").selectOption("dns")
	await expect(page).toHaveURL(/unit=dns/)
	await page.getByLabel("Service").selectOption("")
	const before = await log.locator("> div").count()
	const put = await page.request.put("/api/config/value", {
		headers,
		data: { path: "cell.domain", value: "oak.example" },
	})
	expect(put.status()).toBe(200)
	await expect.poll(() => log.locator("> div").count()).toBeGreaterThan(before)

	await page.getByRole("button", { name: "Pause" }).click()
	const held = await log.locator("> div").count()
	await page.request.delete("/api/config/value?path=cell.domain", { headers })
	await expect(page.getByRole("button", { name: /Go on \(\d+ new\)/ })).toBeVisible()
	expect(await log.locator("> div").count()).toBe(held)
	await page.getByRole("searchbox", { name: "Text in the line" }).fill("zzz-no-such-text")
	await expect(page.getByText("No line fits")).toBeVisible()
})

test("the timeline tells a change with its difference and undoes it", async ({ page }) => {
	const headers = await signIn(page)
	await page.request.put("/api/config/value", {
		headers,
		data: { path: "cell.domain", value: "elm.example", reason: "we moved" },
	})
	await visit(page, "/logs/timeline")
	const entry = page
		.getByRole("listitem")
		.filter({ hasText: "elm.example" })
		.filter({ hasText: "in force now" })
	await expect(entry).toContainText("Cell domain")
	await expect(entry).toContainText("we moved")
	await entry.getByRole("button", { name: /^Undo/ }).click()
	const sure = page.getByRole("alertdialog")
	await expect(sure).toContainText("undoes 1 change")
	await sure.getByRole("button", { name: "Go back" }).click()
	await expect(sure).toHaveCount(0)
	const doc = await (await page.request.get("/api/config")).json()
	expect(doc.cell.domain).toBeUndefined()
})
