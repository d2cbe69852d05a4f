import { admin, expect, test } from "./cell"

test("signing in keeps the page that was asked for, signing out ends the session", async ({ page }) => {
	await page.goto("/vault")
	await page.getByLabel("Name").fill(admin.name)
	await page.getByLabel("Password").fill("not the password")
	await page.keyboard.press("Enter")
	await expect(page.getByRole("alert")).toBeVisible()
	await expect(page.getByLabel("Password")).toHaveValue("")

	await page.getByLabel("Password").fill(admin.password)
	await page.keyboard.press("Enter")
	await expect(page.getByRole("heading", { level: 1, name: "Vault" })).toBeVisible()
	const cookies = await page.context().cookies()
	const session = cookies.find((c) => c.name === "pic_session")
	expect(session?.httpOnly).toBe(true)
	expect(session?.sameSite).toBe("Strict")

	await page.getByRole("button", { name: "My account: alice" }).click()
	await page.getByRole("menuitem", { name: "Sign out" }).click()
	await expect(page.getByRole("heading", { name: "Sign in to your cell" })).toBeVisible()
	expect((await page.request.get("/api/status")).status()).toBe(401)
})

test("a session that ends elsewhere leads to the login, and back", async ({ page }) => {
	const r = await page.request.post("/api/auth/login", {
		data: { login: admin.name, password: admin.password },
	})
	const { csrf } = await r.json()
	await page.goto("/peers")
	await expect(page.getByRole("heading", { level: 1, name: "Peers" })).toBeVisible()
	await page.request.post("/api/auth/logout", { headers: { "X-CSRF-Token": csrf } })
	// The event stream ends with the session, so the page may be gone before the click.
	await page
		.getByRole("link", { name: "Services", exact: true })
		.first()
		.click({ timeout: 2_000 })
		.catch(() => {})
	await expect(page.getByRole("heading", { name: "Sign in to your cell" })).toBeVisible({ timeout: 20_000 })
})
