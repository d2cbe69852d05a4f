import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import type { Page } from "@playwright/test"
import { expect, signIn, test, visit } from "./cell"

/** The public key of a private one, by WireGuard's own tool. */
function publicOf(key: string): string {
	return execFileSync("wg", ["pubkey"], { input: key, encoding: "utf8" }).trim()
}

async function wider(page: Page): Promise<number> {
	return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
}

test("a device enrols by its link, with a key that the cell never sees", async ({ page, browser }) => {
	const headers = await signIn(page)
	await visit(page, "/peers?add")
	const dialog = page.getByRole("dialog")
	await dialog.getByLabel("Name").fill("Tablet")
	await dialog.getByLabel("What is it?").selectOption("tablet")
	await dialog.getByText("One-time link").click()
	await dialog.getByLabel("Where the device finds the cell").fill("home.example.org")
	await dialog.getByRole("button", { name: "Add", exact: true }).click()
	await expect(dialog.getByRole("img", { name: "QR code with the link" })).toBeVisible()
	const link = (await dialog
		.getByText(/\/enrol#/)
		.first()
		.textContent())!
	await dialog.getByRole("button", { name: "Done" }).click()

	// Somebody who is not signed in, on a phone.
	const context = await browser.newContext({ viewport: { width: 360, height: 740 } })
	const phone = await context.newPage()
	const asked: string[] = []
	phone.on("request", (r) => asked.push(r.url()))
	await phone.goto(link.trim())
	await expect(phone.getByRole("heading", { name: "tablet joins oak" })).toBeVisible()
	expect(await wider(phone)).toBe(0)
	await phone.getByRole("button", { name: "Set up tablet" }).click()
	await expect(phone.getByRole("img", { name: "QR code with the configuration" })).toBeVisible()
	expect(await wider(phone)).toBe(0)
	const [file] = await Promise.all([
		phone.waitForEvent("download"),
		phone.getByRole("button", { name: "Download tablet.conf" }).click(),
	])
	const conf = readFileSync(await file.path(), "utf8")
	const key = /^PrivateKey = (\S{44})$/m.exec(conf)?.[1]
	expect(conf).toMatch(/^Endpoint = home\.example\.org:\d+$/m)
	const peer = await (await page.request.get("/api/peers/tablet")).json()
	expect(peer.publicKey).toBe(publicOf(key!))
	expect(peer.hasConfig, "the cell has no private key").toBe(false)
	expect(peer.device).toBe("tablet")

	const token = link.split("#")[1]!.trim()
	expect(
		asked.filter((url) => url.includes(token)),
		"the token is in no address",
	).toEqual([])
	expect(phone.url()).not.toContain(token)
	await phone.goto("about:blank")
	await phone.goto(link.trim())
	await expect(phone.getByRole("heading", { name: "This link opens nothing" })).toBeVisible()
	await context.close()
	await page.request.delete("/api/peers/tablet", { headers })
})

test("a device is changed, and told why it needs its file anew", async ({ page }) => {
	const headers = await signIn(page)
	await page.request.post("/api/groups", { headers, data: { name: "children", internet: false } })
	await page.request.post("/api/peers", { headers, data: { name: "console", endpoint: "home.example.org" } })
	await visit(page, "/peers")
	await page.getByRole("link", { name: "console" }).click()
	await expect(page.getByRole("heading", { level: 1, name: "console" })).toBeFocused()
	await expect(page.getByText("It may reach the internet through oak's own line")).toBeVisible()

	await page.getByRole("button", { name: "What to do with console" }).click()
	await page.getByRole("menuitem", { name: "Change…" }).click()
	const dialog = page.getByRole("dialog")
	await dialog.getByLabel("What is it?").selectOption("tv")
	await dialog.getByLabel("children").check()
	await dialog.getByText("Only the cell and the home network").click()
	await dialog.getByRole("button", { name: "Save" }).click()
	await expect(dialog).toHaveCount(0)
	await expect(page.getByText("only the cell's networks go through the tunnel now")).toBeVisible()
	await expect(page.getByText("group children")).toBeVisible()
	await expect(page.getByText(/^It may .*not the internet/)).toBeVisible()

	await page.getByRole("button", { name: "Change", exact: true }).click()
	await dialog.getByLabel("The LAN").selectOption("no")
	await dialog.getByLabel("Services of the cell").selectOption("some")
	await dialog.getByLabel("Mail").check()
	await dialog.getByRole("button", { name: "Save" }).click()
	await expect(page.getByText("It may reach mail and DNS; not the internet, not the LAN")).toBeVisible()

	await page.getByRole("button", { name: "What to do with console" }).click()
	await page.getByRole("menuitem", { name: "Show code and file" }).click()
	await expect(dialog.getByRole("img", { name: "QR code" })).toBeVisible()
	await page.keyboard.press("Escape")
	await page.reload()
	await expect(page.getByRole("heading", { level: 1, name: "console" })).toBeVisible()
	await expect(page.getByText("needs its file anew")).toHaveCount(0)
})

test("the page explains who reaches whom", async ({ page }) => {
	const headers = await signIn(page)
	await page.request.post("/api/peers", {
		headers,
		data: { name: "guest", endpoint: "home.example.org", lan: false },
	})
	await visit(page, "/peers/explain")
	await page.getByLabel("From").fill("guest")
	await page.getByLabel("To", { exact: true }).fill("192.168.77.9")
	await page.getByRole("button", { name: "Explain" }).click()
	await expect(page.getByText("guest may not reach the LAN").first()).toBeVisible()
	await page.getByLabel("To", { exact: true }).fill("cell")
	await page.getByLabel("Port").fill("53")
	await page.getByRole("button", { name: "Explain" }).click()
	await expect(page.getByText("guest reaches cell on TCP port 53")).toBeVisible()
	await expect(page).toHaveURL(/from=guest&to=cell/)
})

test("a new key of the cell says first what it means", async ({ page }) => {
	const headers = await signIn(page)
	await page.request.post("/api/peers", { headers, data: { name: "study", endpoint: "home.example.org" } })
	await visit(page, "/wireguard")
	await page.getByRole("button", { name: "New key…" }).click()
	const sure = page.getByRole("alertdialog")
	await expect(sure).toContainText("cut off from the moment of the change")
	await sure.getByRole("button", { name: "Make a new key" }).click()
	await expect(sure).toHaveCount(0)
	await visit(page, "/peers/device/study")
	await expect(page.getByText("the cell's key was changed")).toBeVisible()
})
