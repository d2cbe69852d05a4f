import locales from "@react-aria/optimize-locales-plugin"
import tailwind from "@tailwindcss/vite"
import react from "@vitejs/plugin-react"
import { defineConfig } from "vitest/config"

export default defineConfig({
	// React Aria's own words, in the languages that this UI speaks.
	plugins: [react(), tailwind(), { ...locales.vite({ locales: ["en-US"] }), enforce: "pre" }],
	build: {
		target: "es2023",
		cssTarget: ["chrome123", "firefox120", "safari17.5"], // light-dark() stays as it is
		assetsInlineLimit: 0, // the CSP allows no data: scripts, styles or fonts
		modulePreload: { polyfill: false },
		manifest: true, // for scripts/budget.mjs
		reportCompressedSize: false,
		rolldownOptions: {
			output: {
				// What most pages share comes with the shell, rather than in twenty small files.
				codeSplitting: { groups: [{ name: "kit", test: /lucide-react|src\/(kit|parts|change|api)\// }] },
			},
		},
	},
	server: {
		port: 5173,
		proxy: { "/api": process.env.PIC_API ?? "http://127.0.0.1:8081" },
	},
	test: { include: ["src/**/*.test.ts", "src/**/*.test.tsx"] },
})
