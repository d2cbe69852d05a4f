// A real cell for the tests: bin/pic in trial mode, on free ports, in a folder
// of its own. PIC_BIN names another binary.
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { test as base, expect, type Page } from "@playwright/test"

export { expect }

export const admin = { name: "alice", password: "three small words" }

const binary = resolve(process.env.PIC_BIN ?? "../bin/pic")

const portNames = [
	"WEBUI_PORT",
	"API_PORT",
	"DNS_PORT",
	"NTP_PORT",
	"WG_PORT",
	"HTTP_PORT",
	"HTTPS_PORT",
	"MAIL_SMTP_PORT",
	"MAIL_SUBMISSION_PORT",
	"MAIL_SUBMISSIONS_PORT",
	"MAIL_IMAP_PORT",
	"RADICALE_PORT",
	"WEBDAV_PORT",
	"RAINLOOP_PORT",
	"FILEGATOR_PORT",
	"DOT_PORT",
	"NTS_PORT",
]

/** new: before its first run; shown: set up, and shared with no other spec. */
type State = "set up" | "new" | "shown"

export class Cell {
	private process?: ChildProcess
	private output = ""

	private constructor(
		readonly data: string,
		readonly env: NodeJS.ProcessEnv,
	) {}

	get url(): string {
		return `http://127.0.0.1:${this.env.WEBUI_PORT}`
	}

	/** The one-time token of the first run. */
	get token(): string {
		const m = /\n {4}(\S+)\n/.exec(this.output)
		if (!m) throw new Error(`no setup token in:\n${this.output}`)
		return m[1]!
	}

	static async start(state: State): Promise<Cell> {
		const data = mkdtempSync(join(tmpdir(), "pic-e2e-"))
		const ports = await freePorts(portNames.length)
		const cell = new Cell(join(data, "cell"), {
			...process.env,
			...Object.fromEntries(portNames.map((n, i) => [n, String(ports[i])])),
		})
		if (state !== "new") {
			writeFileSync(join(data, "password"), `${admin.password}\n`, { mode: 0o600 })
			cell.run(
				"setup",
				"--name",
				"oak",
				"--admin",
				admin.name,
				"--password-file",
				join(data, "password"),
				"--trial",
			)
		}
		await cell.serve()
		return cell
	}

	run(...args: string[]): string {
		const [command, ...rest] = args
		return execFileSync(binary, [command!, "--data", this.data, ...rest], { env: this.env, encoding: "utf8" })
	}

	private async serve() {
		this.process = spawn(binary, ["serve", "--data", this.data, "--trial"], {
			env: this.env,
			stdio: ["ignore", "pipe", "pipe"],
		})
		for (const stream of [this.process.stdout!, this.process.stderr!])
			stream.on("data", (d) => (this.output += d))
		const until = Date.now() + 20_000
		for (;;) {
			if (this.process.exitCode !== null) throw new Error(`pic serve ended:\n${this.output}`)
			try {
				const setup = await (await fetch(`${this.url}/api/setup`)).json()
				if (setup.needed || (await fetch(`${this.url}/health`)).ok) return
			} catch {
				// It does not listen yet.
			}
			if (Date.now() > until) throw new Error(`pic serve does not answer:\n${this.output}`)
			await new Promise((done) => setTimeout(done, 100))
		}
	}

	async stop() {
		const p = this.process
		if (p && p.exitCode === null) {
			const gone = new Promise((done) => p.once("exit", done))
			p.kill("SIGTERM")
			await Promise.race([gone, new Promise((done) => setTimeout(done, 10_000))])
			if (p.exitCode === null) p.kill("SIGKILL")
		}
		rmSync(resolve(this.data, ".."), { recursive: true, force: true })
	}
}

async function freePorts(n: number): Promise<number[]> {
	const servers = await Promise.all(
		Array.from(
			{ length: n },
			() =>
				new Promise<ReturnType<typeof createServer>>((done) => {
					const s = createServer().listen(0, "127.0.0.1", () => done(s))
				}),
		),
	)
	const ports = servers.map((s) => (s.address() as { port: number }).port)
	await Promise.all(servers.map((s) => new Promise((done) => s.close(done))))
	return ports
}

// The browser writes a refused answer to its console; the tests look at what the page says.
const harmless =
	/Failed to load resource: the server responded with a status of (401|403|404|409|412|422|429|503)/

interface Fixtures {
	/** What the browser complained about; must be empty at the end. */
	complaints: string[]
}

interface WorkerFixtures {
	state: State
	cell: Cell
}

export const test = base.extend<Fixtures, WorkerFixtures>({
	state: ["set up", { option: true, scope: "worker" }],
	cell: [
		async ({ state }, use) => {
			const cell = await Cell.start(state)
			await use(cell)
			await cell.stop()
		},
		{ scope: "worker", timeout: 60_000 },
	],
	baseURL: async ({ cell }, use) => use(cell.url),
	// biome-ignore lint/correctness/noEmptyPattern: Playwright wants the pattern
	complaints: async ({}, use) => {
		await use([])
	},
	page: async ({ page, complaints }, use) => {
		page.on("console", (m) => {
			if (["error", "warning"].includes(m.type()) && !harmless.test(m.text())) complaints.push(m.text())
		})
		page.on("pageerror", (err) => complaints.push(String(err)))
		await use(page)
		expect(complaints, "what the browser complained about").toEqual([])
	},
})

/** Signs in without the form, which has its own test. */
export async function signIn(page: Page) {
	const r = await page.request.post("/api/auth/login", {
		data: { login: admin.name, password: admin.password },
	})
	expect(r.status()).toBe(200)
	const { csrf } = await r.json()
	return { "X-CSRF-Token": csrf as string }
}

export const pages: Record<string, RegExp> = {
	"/": /services? /,
	"/email": /^Email$/,
	"/calendar": /^Calendar$/,
	"/files": /^Files$/,
	"/peers": /^Peers$/,
	"/network": /^Network Services$/,
	"/wireguard": /^WireGuard$/,
	"/routing": /^Routing$/,
	"/cells": /^Cell Network$/,
	"/services": /^Services$/,
	"/vault": /^Vault$/,
	"/logs": /^Logs$/,
	"/settings": /^Settings$/,
}

/** Tabs that are pages of their own. */
export const tabs = [
	"/peers/groups",
	"/peers/explain",
	"/network/log",
	"/network/filter",
	"/network/zones",
	"/network/dhcp",
	"/network/ntp",
	"/routing/names",
	"/routing/forwards",
	"/routing/firewall",
	"/routing/exits",
	"/routing/routes",
	"/routing/traffic",
	"/routing/router",
	"/logs/timeline",
	"/settings/people",
	"/settings/addresses",
	"/settings/account",
	"/settings/appearance",
]

/** Opens a page and waits until nothing of it is still loading. */
export async function visit(page: Page, path: string) {
	await page.goto(path)
	await expect(page.getByRole("heading", { level: 1 })).toBeVisible()
	await expect(page.getByRole("status", { name: "Loading" })).toHaveCount(0)
}
