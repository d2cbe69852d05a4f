// Who routes what: forwards, blocks, the router's settings, public names.
import type { Page } from "@playwright/test"
import { expect, signIn, test, visit } from "./cell"

const drafts = (page: Page) => page.getByRole("region", { name: "Changes that are not in force yet" })

/** Puts the drafts in force and says that the cell is still reached. */
async function apply(page: Page) {
	await drafts(page).getByRole("button", { name: "Apply" }).click()
	await page
		.getByRole("region", { name: "A change waits for your confirmation" })
		.getByRole("button", { name: "Keep it" })
		.click()
	await expect(drafts(page)).toHaveCount(0)
}

const document = async (page: Page) => (await page.request.get("/api/config")).json()

test("the overview says who routes, and checks whether the cell is found", async ({ page }) => {
	await signIn(page)
	await visit(page, "/routing")
	await expect(page.getByRole("region", { name: "A server on your network" })).toContainText(
		"routes for devices of the VPN only",
	)
	await expect(page.getByRole("region", { name: "Seen from the internet" })).toContainText("not asked for")
	const check = page.getByRole("region", { name: "Do devices on the road find the cell?" })
	await expect(check.getByRole("listitem").first()).toContainText("Name or address")
	const again = page.waitForResponse((r) => r.url().endsWith("/api/wireguard/check"))
	await check.getByRole("button", { name: "Check now" }).click()
	expect((await again).status()).toBe(200)
})

test("a port forward to a device is added, changed, switched off and removed", async ({ page }) => {
	const headers = await signIn(page)
	const made = await page.request.post("/api/peers", {
		headers,
		data: { name: "nas", endpoint: "home.example.org:51820" },
	})
	expect(made.ok()).toBe(true)
	const { address } = (await (await page.request.get("/api/peers")).json()).find(
		(p: { name: string }) => p.name === "nas",
	)
	await visit(page, "/routing/forwards")
	await page.getByRole("button", { name: "Add a port forward" }).click()
	const dialog = page.getByRole("dialog", { name: "Add a port forward" })
	await dialog.getByLabel("Name", { exact: true }).fill("Game")
	const add = dialog.getByRole("button", { name: "Add to the changes" })
	await dialog.getByLabel("Port on the internet side").fill("9000-8000")
	await expect(dialog).toContainText("A port is 1 to 65535")
	await expect(add).toBeDisabled()
	await dialog.getByLabel("Port on the internet side").fill("8000-8010")
	await dialog.getByLabel("Protocol").selectOption("both")
	await dialog.getByLabel("Device", { exact: true }).selectOption({ label: `nas (${address})` })
	await dialog.getByLabel("Port of the device").fill("9000")
	await dialog.getByLabel("Who may use it").fill("203.0.113.7, 198.51.100.0/24")
	await add.click()
	const list = page.getByRole("region", { name: "Port forwards" })
	await expect(list).toContainText("TCP and UDP 8000 to 8010")
	await expect(list).toContainText("not in force yet")
	await apply(page)
	expect((await document(page)).network.forwards).toEqual([
		{
			name: "game",
			protocol: "both",
			port: 8000,
			last: 8010,
			to: address,
			toPort: 9000,
			from: ["203.0.113.7/32", "198.51.100.0/24"],
		},
	])
	// A trial filters no packets: the page does not claim that the port is open.
	await expect(list).toContainText("no packet filter")
	await expect(list).toContainText("203.0.113.7, 198.51.100.0/24")

	await list.getByRole("button", { name: "Change game" }).click()
	const change = page.getByRole("dialog", { name: "Change game" })
	await expect(change.getByLabel("Port on the internet side")).toHaveValue("8000-8010")
	await change.getByLabel("Device", { exact: true }).selectOption({ label: "another address" })
	await change.getByLabel("Address of the device").fill("192.168.1.10")
	await change.getByRole("button", { name: "Keep" }).click()
	await list.getByRole("button", { name: "Switch game off" }).click()
	await apply(page)
	const forward = (await document(page)).network.forwards[0]
	expect(forward.to).toBe("192.168.1.10")
	expect(forward.disabled).toBe(true)
	await list.getByRole("button", { name: "Remove game" }).click()
	await apply(page)
	expect((await document(page)).network?.forwards ?? []).toEqual([])
})

test("a forward that the cell refuses says why at its table", async ({ page }) => {
	await signIn(page)
	await visit(page, "/routing/forwards")
	await page.getByRole("button", { name: "Add a port forward" }).click()
	const dialog = page.getByRole("dialog", { name: "Add a port forward" })
	await dialog.getByLabel("Name", { exact: true }).fill("web")
	await dialog.getByLabel("Port on the internet side").fill("8080")
	const device = dialog.getByLabel("Device", { exact: true })
	if (await device.count()) await device.selectOption({ label: "another address" })
	await dialog.getByLabel("Address of the device").fill("nowhere")
	await dialog.getByRole("button", { name: "Add to the changes" }).click()
	await expect(drafts(page).getByRole("button", { name: "Apply" })).toBeDisabled()
	await expect(drafts(page)).toContainText("nowhere")
	await drafts(page).getByRole("button", { name: "Discard" }).click()
})

test("an address is shut out with a reason and for a time, and let in again", async ({ page }) => {
	await signIn(page)
	await visit(page, "/routing/firewall")
	const blocks = page.getByRole("region", { name: "Shut out" })
	await expect(blocks).toContainText("Nobody is shut out")
	await blocks.getByLabel("Address or network").fill("no address")
	await blocks.getByRole("button", { name: "Shut out" }).click()
	await expect(blocks).toContainText("neither an address nor a network")
	await blocks.getByLabel("Address or network").fill("203.0.113.9")
	await blocks.getByLabel("Why").fill("knocks all night")
	await blocks.getByLabel("How long").selectOption("1440")
	await blocks.getByRole("button", { name: "Shut out" }).click()
	const row = blocks.getByRole("row").filter({ hasText: "203.0.113.9" })
	await expect(row).toContainText("knocks all night")
	await expect(row).toContainText(/in (23 hours|1 day)|tomorrow/)
	await blocks.getByRole("button", { name: "Let 203.0.113.9 in again" }).click()
	await expect(row).toHaveCount(0)
	expect((await document(page)).network?.blocked ?? []).toEqual([])
})

test("limits may be other numbers, or none", async ({ page }) => {
	await signIn(page)
	await visit(page, "/routing/firewall")
	await page.getByLabel("TCP attempts in all", { exact: true }).fill("900")
	await page.getByText("No limit for one address").click()
	await apply(page)
	expect((await document(page)).network.limits).toEqual({ new: -1, syn: 900 })
})

test("router mode is asked for only with what it needs", async ({ page }) => {
	await signIn(page)
	await visit(page, "/routing/router")
	await expect(page.getByText("This cell is a trial")).toBeVisible()
	const router = page.getByRole("switch", { name: /This cell is the household's router/ })
	await expect(router).toBeDisabled()

	// Once installed, the page asks for more; this cell still knows that it is a trial.
	await page.route("**/api/config?resolved=true", async (r) => {
		const answer = await r.fetch()
		const doc = await answer.json()
		await r.fulfill({ response: answer, json: { ...doc, cell: { ...doc.cell, mode: "appliance" } } })
	})
	await visit(page, "/routing/router")
	await page.getByText("This cell is the household's router").click()
	await expect(page.getByRole("region", { name: "Who routes" })).toContainText("Name both cards below")
	await expect(drafts(page)).toContainText("a trial touches nothing of the host")
	await expect(drafts(page).getByRole("button", { name: "Apply" })).toBeDisabled()
	await page.getByLabel("The cell's IPv4 address").fill("192.168.77.0/24")
	await expect(page.getByText("is the address of the network").first()).toBeVisible()
	await drafts(page).getByRole("button", { name: "Discard" }).click()

	await page.getByLabel("Its address").selectOption("static")
	await expect(page.getByLabel("IPv4 gateway")).toBeVisible()
	await page.getByLabel("Its address").selectOption("")
	await page.getByLabel("Down, kbit/s").fill("47500")
	await page.getByLabel("Up, kbit/s").fill("9500")
	await page.getByText("Repeat mDNS between household and VPN").click()
	await apply(page)
	const { network } = await document(page)
	expect(network.shaping).toEqual({ down: 47500, up: 9500 })
	expect(network.reflect).toBe(true)
})

test("the password of a public name goes into the vault and stays there", async ({ page }) => {
	await signIn(page)
	await visit(page, "/routing/router")
	await page.getByRole("button", { name: "Add a public name" }).click()
	const dialog = page.getByRole("dialog", { name: "Add a public name" })
	await dialog.getByLabel("Name", { exact: true }).fill("oak.dyn.example")
	await dialog.getByLabel("Address of the service").fill("ftp://dyn.example")
	await dialog.getByLabel("User").fill("oak")
	await dialog.getByLabel("Password").fill("hush hush hush")
	await dialog.getByText("Keep it up to date").click() // nobody is called from a test
	await dialog.getByRole("button", { name: "Save" }).click()
	await expect(dialog).toContainText("Must be the service's https:// address")
	await dialog.getByLabel("Address of the service").fill("https://dyn.example/nic/update")
	await dialog.getByRole("button", { name: "Save" }).click()
	await expect(dialog).toHaveCount(0)
	const names = page.getByRole("region", { name: "Public names" })
	await expect(names.getByRole("row").filter({ hasText: "oak.dyn.example" })).toContainText("off")
	const before = (await document(page)).network.dynamic[0]
	expect(before.password).toBeTruthy()
	expect(JSON.stringify(before)).not.toContain("hush")

	await names.getByRole("button", { name: "Change oak.dyn.example" }).click()
	const change = page.getByRole("dialog", { name: "Change oak.dyn.example" })
	await change.getByLabel("User").fill("elm")
	await change.getByRole("button", { name: "Save" }).click()
	await expect(change).toHaveCount(0)
	expect((await document(page)).network.dynamic[0]).toEqual({ ...before, user: "elm" })
	await names.getByRole("button", { name: "Remove oak.dyn.example" }).click()
	await expect(names).toContainText("No public name yet")
})

test("traffic tells who moved what, and a known device can be called", async ({ page }) => {
	const headers = await signIn(page)
	const saved = await page.request.put("/api/config/value", {
		headers,
		data: { path: "dhcp.reservations.tv", value: { mac: "02:00:5e:10:20:30", address: "10.0.0.77" } },
	})
	expect(saved.status(), await saved.text()).toBe(200)
	await visit(page, "/routing/traffic")
	await expect(page.getByRole("region", { name: "Traffic" })).toContainText("Nothing moved in this time")
	const wake = page.getByRole("region", { name: "Wake a device up" })
	await expect(wake.getByLabel("Device")).toHaveValue("02:00:5e:10:20:30")
	await wake.getByRole("button", { name: "Wake up" }).click()
	await expect(
		page.getByRole("status").filter({ hasText: "A trial sends nothing into the LAN" }),
	).toBeVisible()
})

test("what a router has is shown: line, rules, counters, a chart", async ({ page }) => {
	// A trial has no packet filter and no line; here the answers of a router stand in.
	const soon = new Date(Date.now() + 3_600_000).toISOString()
	await page.route("**/api/router", (r) =>
		r.fulfill({
			json: {
				enabled: true,
				wan: {
					interface: "eth0",
					method: "dhcp",
					plugged: true,
					address: "203.0.113.5/24",
					gateway: "203.0.113.1",
					addresses6: ["2001:db8::5/128"],
					dns: ["203.0.113.53"],
					state: "bound",
					lease: { server: "203.0.113.1", got: soon, renew: soon, rebind: soon, until: soon },
					prefixes: [{ prefix: "2001:db8:7::/56", preferred: soon, until: soon }],
				},
				lan: { interface: "br0", bridge: ["eth1", "eth2"], addresses: ["192.168.1.1/24"] },
				shaping: { down: 47500, up: 9500, queue: "cake", where: "ifb" },
			},
		}),
	)
	await page.route("**/api/firewall", (r) =>
		r.fulfill({
			json: {
				router: true,
				zones: [
					{
						name: "wan",
						interface: "eth0",
						nets: [],
						connection: "open ports of the cell and port forwards",
					},
					{ name: "lan", interface: "br0", nets: ["192.168.1.0/24"], connection: "everything" },
				],
				rules: [
					{
						chain: "input",
						handle: 5,
						name: "blocked",
						text: "ip saddr @blocked4 drop",
						packets: 12,
						bytes: 720,
					},
					{ chain: "forward", handle: 6, text: "ct state established accept", packets: 0, bytes: 0 },
				],
				forwards: [],
				mappings: [{ protocol: "udp", port: 3074, to: "192.168.1.30:3074", until: soon }],
				blocked: [{ net: "203.0.113.66/32", reason: "too many wrong passwords", until: soon, own: true }],
				foreign: [
					{
						chain: "ip filter FORWARD",
						what: "what devices of the VPN send",
						fix: "iptables -I FORWARD -i pic0 -j ACCEPT",
					},
				],
			},
		}),
	)
	const hour = Math.floor(Date.now() / 3_600_000) * 3_600_000
	const series = [5, 2, 1].map((n) => ({
		at: new Date(hour - n * 3_600_000).toISOString(),
		sent: n * 1e7,
		received: n * 9e7,
	}))
	const rates = { sentRate: 1200, receivedRate: 34_000 }
	await page.route("**/api/traffic?*", (r) =>
		r.fulfill({
			json: {
				enabled: true,
				since: new Date(Date.now() - 86_400_000).toISOString(),
				step: "hour",
				devices: [
					{ kind: "wan", sent: 9e7, received: 8e8, ...rates, series },
					{
						kind: "lan",
						name: "tv",
						mac: "02:00:5e:10:20:31",
						address: "192.168.1.30",
						sent: 8e7,
						received: 72e7,
						...rates,
						series,
					},
				],
			},
		}),
	)
	await signIn(page)
	await visit(page, "/routing")
	const line = page.getByRole("region", { name: "The cell is the router" })
	await expect(line).toContainText("connected")
	await expect(line).toContainText("203.0.113.5/24")
	await expect(line).toContainText("2001:db8:7::/56")
	await expect(line).toContainText("47.5 Mbit/s down, 9.5 Mbit/s up")
	await expect(page.getByText("iptables -I FORWARD -i pic0 -j ACCEPT")).toBeVisible()
	await shot(page, "overview")

	await visit(page, "/routing/forwards")
	await expect(page.getByRole("region", { name: "Ports that devices opened themselves" })).toContainText(
		"UDP 3074",
	)
	await visit(page, "/routing/firewall")
	await expect(page.getByRole("region", { name: "Shut out" })).toContainText("by the cell itself")
	const rules = page.getByRole("region", { name: "Rules" })
	await expect(rules.getByRole("row")).toHaveCount(3)
	await rules.getByText("Only those that met something").click()
	await expect(rules.getByRole("row")).toHaveCount(2)
	await expect(rules).toContainText("720 B")
	await shot(page, "firewall")

	await visit(page, "/routing/traffic")
	const traffic = page.getByRole("region", { name: "Traffic", exact: true })
	await expect(traffic.locator("canvas")).toBeVisible()
	await traffic.getByRole("button", { name: "tv", exact: true }).click()
	await expect(traffic).toContainText("tv: received (whole line) and sent (dashed)")
	await traffic.getByText("As a table").click()
	await expect(traffic.getByRole("cell", { name: "450 MB" })).toBeVisible()
	await shot(page, "traffic")
})

/** Looks at a page in all shapes, where PIC_LOOK names a folder for the pictures. */
async function shot(page: Page, name: string) {
	for (const [look, width, height, colorScheme] of [
		["light", 1280, 900, "light"],
		["dark", 1280, 900, "dark"],
		["phone", 360, 780, "light"],
	] as const) {
		await page.emulateMedia({ colorScheme, reducedMotion: "reduce" })
		await page.setViewportSize({ width, height })
		// The page takes its new shape after the window has.
		await expect
			.poll(
				() =>
					page.evaluate(
						() => window.document.documentElement.scrollWidth - window.document.documentElement.clientWidth,
					),
				`${name}, ${look}: wider than the screen by so many px`,
			)
			.toBe(0)
		const dir = process.env.PIC_LOOK
		if (!dir) continue
		await page.reload()
		await expect(page.getByRole("status", { name: "Loading" })).toHaveCount(0)
		await page.screenshot({ path: `${dir}/${name}-${look}.png`, fullPage: true })
	}
}

test("who may only look sees everything and changes nothing", async ({ page }) => {
	await signIn(page)
	await page.route("**/api/auth/session", async (r) => {
		const answer = await r.fetch()
		await r.fulfill({ response: answer, json: { ...(await answer.json()), role: "viewer" } })
	})
	await visit(page, "/routing/forwards")
	await expect(page.getByRole("button", { name: "Add a port forward" })).toHaveCount(0)
	await visit(page, "/routing/firewall")
	await expect(page.getByLabel("Address or network")).toHaveCount(0)
	await visit(page, "/routing/router")
	await expect(page.getByLabel("Card to the provider")).toBeDisabled()
	await expect(page.getByRole("button", { name: "Add a public name" })).toHaveCount(0)
})

test("who may not look is told so", async ({ page }) => {
	await signIn(page)
	await page.route("**/api/{firewall,router}", (r) =>
		r.fulfill({ status: 403, json: { status: 403, title: "Forbidden", detail: "not allowed" } }),
	)
	await visit(page, "/routing/firewall")
	await expect(page.getByText("This is for administrators")).toBeVisible()
})
