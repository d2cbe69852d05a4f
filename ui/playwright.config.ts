import { defineConfig } from "@playwright/test"

// Debian's Chromium, and a real cell for each worker: see e2e/cell.ts.
export default defineConfig({
	testDir: "e2e",
	outputDir: "test-results",
	workers: 1,
	forbidOnly: !!process.env.CI,
	timeout: 45_000,
	expect: { timeout: 10_000 },
	reporter: [["list"]],
	use: {
		viewport: { width: 1280, height: 820 },
		trace: "retain-on-failure",
		launchOptions: {
			executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
			args: [
				"--no-sandbox",
				"--disable-gpu",
				"--disable-quic",
				"--no-first-run",
				"--disable-background-networking",
				"--disable-component-update",
				"--disable-sync",
			],
		},
	},
})
