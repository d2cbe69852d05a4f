// Other ways to the internet, and the kernel's routes. The cell of the tests is a
// trial, which has no exits: what an installed one answers is put in its place.
import type { Page } from "@playwright/test"
import { expect, signIn, test, visit } from "./cell"

const conf = `[Interface]
PrivateKey = ${"A".repeat(42)}E=
Address = 10.2.0.2/32

[Peer]
PublicKey = ${"B".repeat(42)}E=
Endpoint = vpn.example.org:51820
AllowedIPs = 0.0.0.0/0, ::/0
`

/** Has the page take the cell for an installed one. */
async function installed(page: Page) {
	await page.route("**/api/config?resolved=true", async (r) => {
		const answer = await r.fetch()
		const doc = await answer.json()
		await r.fulfill({ response: answer, json: { ...doc, cell: { ...doc.cell, mode: "appliance" } } })
	})
}

const exit = {
	name: "oslo",
	state: "up",
	since: new Date(Date.now() - 3_600_000).toISOString(),
	handshake: new Date(Date.now() - 60_000).toISOString(),
	interface: "pix3",
	endpoint: "vpn.example.org:51820",
	addresses: ["10.2.0.2/32"],
	dns: ["10.2.0.1"],
	ipv4: true,
	ipv6: false,
	received: 48_000_000,
	sent: 3_000_000,
	peers: ["phone", "laptop"],
	fallback: ["laptop"],
	groups: ["children"],
	disabled: false,
}

test("a trial says that it has no exits, and offers none", async ({ page }) => {
	await signIn(page)
	await visit(page, "/routing/exits")
	await expect(page.getByText("A trial has no exits")).toBeVisible()
	await expect(page.getByRole("button", { name: "Add an exit" })).toHaveCount(0)
})

test("a provider's file is taken, and what is wrong with it is said at its field", async ({ page }) => {
	await signIn(page)
	await installed(page)
	await visit(page, "/routing/exits")
	await page.getByRole("button", { name: "Add an exit" }).click()
	const dialog = page.getByRole("dialog", { name: "Add an exit" })
	await dialog.getByLabel("or choose it:").setInputFiles({
		name: "SE Stockholm.conf",
		mimeType: "text/plain",
		buffer: Buffer.from(conf.replace("[Peer]", "PostUp = reboot\n[Peer]")),
	})
	await expect(dialog.getByLabel("Name", { exact: true })).toHaveValue("se-stockholm")
	const add = dialog.getByRole("button", { name: "Add", exact: true })
	await add.click()
	await expect(dialog).toContainText("commands are not run")
	// A file without fault comes to the one thing that is wrong with a trial.
	await dialog.getByLabel("The provider's file").fill(conf)
	await add.click()
	await expect(dialog).toContainText("a trial cell has no exits")
	const { secrets } = await (await page.request.get("/api/vault")).json()
	expect(JSON.stringify(secrets ?? [])).not.toContain("wireguard-exit") // its keys are not kept for nothing
})

test("an exit shows how it is doing and who goes by it", async ({ page }, info) => {
	await signIn(page)
	await installed(page)
	const down = {
		...exit,
		name: "by-elm",
		link: "elm",
		state: "down",
		peers: ["tablet"],
		fallback: [],
		groups: [],
		dns: [],
		endpoint: undefined,
	}
	let asked: unknown
	await page.route("**/api/exits", (r) => r.fulfill({ json: [exit, down] }))
	await page.route("**/api/exits/oslo", (r) => {
		asked = r.request().postDataJSON()
		return r.fulfill({ json: { revision: 2, durationMs: 1, diff: [], dryRun: false } })
	})
	await visit(page, "/routing/exits")
	const oslo = page.getByRole("region", { name: /oslo/ })
	await expect(oslo).toContainText("phone, laptop")
	await expect(oslo).toContainText("laptop by the cell's own line; no internet for the others")
	await expect(oslo).toContainText("48.0 MB in, 3.0 MB out")
	await expect(oslo.getByText("IPv4", { exact: true })).toBeVisible()
	await expect(page.getByRole("region", { name: /by-elm/ })).toContainText("down: it does not answer")
	for (const width of [320, 390, 1280]) {
		await page.setViewportSize({ width, height: 820 })
		const wider = await page.evaluate(
			() => document.documentElement.scrollWidth - document.documentElement.clientWidth,
		)
		expect(wider, `px too wide at ${width}`).toBe(0)
		await page.screenshot({ path: `${info.outputDir}/exits-${width}.png` })
	}
	await oslo.getByRole("button", { name: "Switch oslo off" }).click()
	await expect.poll(() => asked).toEqual({ disabled: true })
	await oslo.getByRole("button", { name: "Name servers of oslo" }).click()
	const dialog = page.getByRole("dialog", { name: "Name servers of oslo" })
	await dialog.getByLabel("Name servers").fill("9.9.9.9, 2620:fe::fe")
	await dialog.getByRole("button", { name: "Save" }).click()
	await expect.poll(() => asked).toEqual({ dns: ["9.9.9.9", "2620:fe::fe"] })
})

test("the kernel's routes and rules are shown as they are", async ({ page }) => {
	await signIn(page)
	const { kernel } = await (await page.request.get("/api/routing")).json()
	await visit(page, "/routing/routes")
	const routes = page.getByRole("region", { name: "Routes" })
	if (kernel.length) {
		await expect(routes.getByRole("row")).toHaveCount(kernel.length + 1)
		const one = kernel.find((k: { to: string }) => !k.to.endsWith("/0"))
		if (one) await expect(routes).toContainText(one.to)
	} else await expect(routes).toContainText("does not tell")
	await expect(page.getByRole("region", { name: "Rules" })).toBeVisible()
})
