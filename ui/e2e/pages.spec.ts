import { readFileSync } from "node:fs"
import { admin, expect, pages, signIn, test, visit } from "./cell"

test("the navigation leads to all thirteen pages and moves the focus to their heading", async ({ page }) => {
	await signIn(page)
	await visit(page, "/")
	const nav = page.getByRole("navigation", { name: "Pages" })
	expect(await nav.getByRole("link").count()).toBe(13)
	for (const [path, title] of Object.entries(pages).slice(1)) {
		await nav.locator(`a[href="${path}"]`).click()
		const heading = page.getByRole("heading", { level: 1 })
		await expect(heading).toHaveText(title)
		await expect(heading).toBeFocused()
		await expect(nav.locator(`a[href="${path}"]`)).toHaveAttribute("aria-current", "page")
		await expect(page.getByRole("status", { name: "Loading" })).toHaveCount(0)
		await expect(page.getByText("This could not be read")).toHaveCount(0)
	}
})

test("the first tab stop skips to the content", async ({ page }) => {
	await signIn(page)
	await visit(page, "/")
	await page.keyboard.press("Tab")
	await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused()
	await page.keyboard.press("Enter")
	await expect(page.locator("#content")).toBeFocused()
})

test("the palette finds pages, devices and actions by keyboard", async ({ page }) => {
	const headers = await signIn(page)
	await page.request.post("/api/peers", {
		headers,
		data: { name: "watch", endpoint: "home.example.org:51820" },
	})
	await visit(page, "/")
	await page.keyboard.press("Control+k")
	await expect(page.getByRole("dialog", { name: "Search or do" })).toBeVisible()
	await page.keyboard.type("watch")
	await expect(page.getByRole("menuitem")).toHaveCount(1)
	await page.keyboard.press("Enter")
	await expect(page).toHaveURL(/\/peers\?q=watch/)
	await page.keyboard.press("Control+k")
	await page.keyboard.type("light theme")
	await page.keyboard.press("Escape")
})

test("the theme is chosen once and never flashes", async ({ page }) => {
	await signIn(page)
	await page.emulateMedia({ colorScheme: "light" })
	await visit(page, "/settings/appearance")
	await page.getByText("For the evening.").click()
	await expect(page.locator("html")).toHaveAttribute("data-theme", "dark")
	await page.reload({ waitUntil: "commit" })
	await expect(page.locator("html")).toHaveAttribute("data-theme", "dark")
	await page.getByText("Follows its day and night.").click()
	await expect(page.locator("html")).not.toHaveAttribute("data-theme")
})

test("a service is restarted from its card", async ({ page }) => {
	await signIn(page)
	await visit(page, "/services")
	await page
		.getByRole("button", { name: "Restart NTP" })
		.or(page.getByRole("button", { name: "Restart DNS" }))
		.first()
		.click()
	await expect(page.getByText("was restarted.")).toBeVisible()
})

test("a person is added, gets a password, and is removed", async ({ page }) => {
	await signIn(page)
	await visit(page, "/settings/people")
	await page.getByRole("button", { name: "Add a person" }).click()
	const dialog = page.getByRole("dialog")
	await dialog.getByLabel("Name", { exact: true }).fill("Bert")
	await dialog.getByLabel("Sign-in name").fill("bert")
	await dialog.getByLabel("First password").fill("short")
	await dialog.getByRole("button", { name: "Add" }).click()
	await expect(dialog.getByLabel("First password")).toHaveAttribute("aria-invalid", "true")
	await dialog.getByLabel("First password").fill("five quite small words")
	await dialog.getByRole("button", { name: "Add" }).click()
	const row = page.getByRole("row", { name: /^Bert/ })
	await expect(row).toContainText("Member")
	await page.getByRole("button", { name: "What to do with bert" }).click()
	await page.getByRole("menuitem", { name: "Remove…" }).click()
	await page.getByRole("alertdialog").getByRole("button", { name: "Remove bert" }).click()
	await expect(row).toHaveCount(0)
})

test("a member sees their own things and is told why not the rest", async ({ page }) => {
	const headers = await signIn(page)
	await page.request.post("/api/users", {
		headers,
		data: { name: "mia", role: "user", password: "five quite small words" },
	})
	const r = await page.request.post("/api/auth/login", {
		data: { login: "mia", password: "five quite small words" },
	})
	expect(r.status()).toBe(200)
	await visit(page, "/")
	await visit(page, "/services")
	await expect(page.getByText("This is for administrators")).toBeVisible()
	await visit(page, "/settings")
	await expect(page.getByRole("heading", { name: "My account" })).toBeVisible()
	await visit(page, "/files")
	await expect(page.getByText("This could not be read")).toHaveCount(0)
})

test("a new password of one's own keeps this browser signed in", async ({ page }) => {
	await signIn(page)
	await visit(page, "/settings/account")
	const change = async (from: string, to: string) => {
		await page.getByRole("button", { name: "Set my password…" }).click()
		const dialog = page.getByRole("dialog")
		await dialog.getByLabel("Present password").fill(from)
		await dialog.getByLabel("New password").fill(to)
		await dialog.getByRole("button", { name: "Set it" }).click()
	}
	await change("not the password", "four other small words")
	await expect(page.getByLabel("Present password")).toHaveAttribute("aria-invalid", "true")
	await page.keyboard.press("Escape")
	await change(admin.password, "four other small words")
	await expect(page.getByRole("dialog")).toHaveCount(0)
	await change("four other small words", admin.password)
	await expect(page.getByRole("dialog")).toHaveCount(0)
	await page.reload()
	await expect(page.getByRole("heading", { name: "My account" })).toBeVisible()
})

test("an app password is shown once and deleted", async ({ page }) => {
	await signIn(page)
	await visit(page, "/settings/account")
	await page.getByRole("button", { name: "New app password" }).click()
	const dialog = page.getByRole("dialog")
	await dialog.getByLabel("What is it for?").fill("Thunderbird")
	await dialog.getByRole("button", { name: "Make it" }).click()
	await expect(dialog.getByRole("button", { name: /copy the secret/ })).toBeVisible()
	await dialog.getByRole("button", { name: "I have it" }).click()
	const row = page.getByRole("row", { name: /^Thunderbird/ })
	await expect(row).toContainText("calendar and files")
	await row.getByRole("button", { name: "Delete Thunderbird" }).click()
	await expect(row).toHaveCount(0)
	await expect(page.getByRole("table", { name: "Signed in" })).toContainText("this browser")
})

test("a certificate is issued, with its key this once", async ({ page }) => {
	await signIn(page)
	await visit(page, "/vault")
	await page.getByRole("button", { name: "Issue a certificate" }).click()
	const dialog = page.getByRole("dialog")
	await dialog.getByLabel("Names").fill("printer")
	await expect(dialog).toContainText("printer.oak.home.arpa")
	await dialog.getByRole("button", { name: "Issue", exact: true }).click()
	const [file] = await Promise.all([
		page.waitForEvent("download"),
		dialog.getByRole("button", { name: "Private key" }).click(),
	])
	expect(readFileSync(await file.path(), "utf8")).toContain("PRIVATE KEY")
	await dialog.getByRole("button", { name: "I have both" }).click()
	await expect(page.getByRole("table", { name: "Certificates" })).toContainText("printer.oak.home.arpa")
})

test("a name is looked up as a device would", async ({ page }) => {
	await signIn(page)
	await visit(page, "/network")
	const card = page.getByRole("region", { name: "Look up a name" })
	await card.getByLabel("Name").fill("mail.oak.home.arpa")
	await card.getByRole("button", { name: "Ask" }).click()
	await expect(card.getByRole("status")).toContainText("127.0.0.1")
	await card.getByLabel("Name").fill("nothing.oak.home.arpa")
	await card.getByRole("button", { name: "Ask" }).click()
	await expect(card.getByRole("status")).toContainText("There is no such name.")
})

test("an address without a page says so", async ({ page }) => {
	await signIn(page)
	await visit(page, "/nowhere")
	await expect(page.getByRole("heading", { level: 1, name: "No such page" })).toBeVisible()
})
