import { expect, signIn, test, visit } from "./cell"

test("a draft shows its difference, comes into force, and is undone", async ({ page }) => {
	await signIn(page)
	await visit(page, "/network")
	await page.getByRole("button", { name: "Add a server" }).click()
	await page.getByLabel("Chosen, line 1").fill("192.0.2.53:53")
	const drafts = page.getByRole("region", { name: "Changes that are not in force yet" })
	await expect(drafts).toContainText("DNS upstreams")
	await expect(drafts).toContainText("192.0.2.53:53")

	// A draft survives a change of page.
	await page.getByRole("link", { name: "Services", exact: true }).first().click()
	await expect(drafts).toContainText("192.0.2.53:53")
	await drafts.getByRole("button", { name: "Apply" }).click()

	const last = page.getByRole("region", { name: "The last change" })
	await expect(last).toContainText(/In force in \d+ ms/)
	expect(await chosen(page)).toEqual(["192.0.2.53:53"])
	await last.getByRole("button", { name: "Undo" }).click()
	await expect(last).toHaveCount(0)
	expect(await chosen(page)).toBeNull()
})

async function chosen(page: import("@playwright/test").Page) {
	const { value } = await (await page.request.get("/api/config/value?path=dns.upstreams")).json()
	return value
}

test("what the cell refuses stands beside the field, and cannot be applied", async ({ page }) => {
	await signIn(page)
	await visit(page, "/settings")
	const name = page.getByLabel("Name", { exact: true })
	await name.fill("no label")
	await expect(name).toHaveAttribute("aria-invalid", "true")
	const drafts = page.getByRole("region", { name: "Changes that are not in force yet" })
	await expect(drafts.getByRole("button", { name: "Apply" })).toBeDisabled()
	await drafts.getByRole("button", { name: "Discard" }).click()
	await expect(name).toHaveValue("oak")
	await expect(drafts).toHaveCount(0)
})

test("a cell that has devices gets another domain", async ({ page }) => {
	const headers = await signIn(page)
	const added = await page.request.post("/api/peers", { headers, data: { name: "old-phone" } })
	expect(added.status()).toBe(200)
	const before = (await added.json()).peer.address
	await visit(page, "/settings")
	await page.getByLabel("Domain", { exact: true }).fill("oak.example")
	await expect(page.getByText("Addresses will change")).toBeVisible()
	await page.getByRole("button", { name: "Apply" }).click()
	const last = page.getByRole("region", { name: "The last change" })
	await expect(last).toContainText("Cell domain")
	const peer = await (await page.request.get("/api/peers/old-phone")).json()
	expect(peer.address).toBe(before)
	await last.getByRole("button", { name: "Undo" }).click()
	await expect(last).toHaveCount(0)
})

test("a change by somebody else is not overwritten", async ({ page }) => {
	const headers = await signIn(page)
	await visit(page, "/network/ntp")
	await page.getByRole("button", { name: "Add a source" }).click()
	await page.getByLabel("Sources, line 1").fill("ntp.example.org")
	const drafts = page.getByRole("region", { name: "Changes that are not in force yet" })
	await expect(drafts.getByRole("button", { name: "Apply" })).toBeEnabled()
	await page.request.put("/api/config/value", { headers, data: { path: "mail.maxSize", value: 1_000_000 } })
	await drafts.getByRole("button", { name: "Apply" }).click()
	await expect(drafts).toContainText("was changed meanwhile")
	await drafts.getByRole("button", { name: "Load what is new" }).click()
	await expect(page.getByLabel("Sources, line 1")).toHaveValue("ntp.example.org")
	await drafts.getByRole("button", { name: "Apply" }).click()
	await expect(page.getByRole("region", { name: "The last change" })).toContainText("NTP sources")
	const doc = await (await page.request.get("/api/config")).json()
	expect(doc.ntp.sources).toEqual(["ntp.example.org"])
	expect(doc.mail.maxSize).toBe(1_000_000)
})

test("a risky change waits for a confirmation", async ({ page, cell }) => {
	await signIn(page)
	await visit(page, "/wireguard")
	const port = page.getByLabel("UDP port")
	const waits = page.getByRole("region", { name: "A change waits for your confirmation" })
	const change = async (n: number) => {
		await port.fill(String(n))
		await page.getByRole("button", { name: "Apply" }).click()
		await expect(waits.getByRole("timer")).toContainText(/\d+ s/)
	}
	const other = Number(cell.env.NTS_PORT)
	await change(other)
	await waits.getByRole("button", { name: "Undo now" }).click()
	await expect(waits).toHaveCount(0)
	await expect(port).toHaveValue("")
	await change(other)
	await waits.getByRole("button", { name: "Keep it" }).click()
	await expect(waits).toHaveCount(0)
	await expect(port).toHaveValue(String(other))
})
