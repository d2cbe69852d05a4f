// Fails when the built UI has grown past its budget. Sizes are gzipped kB of
// 1000 bytes. Run `npm run build` first.
import { readFileSync, statSync } from "node:fs"

const root = new URL("../", import.meta.url)
const limit = { shell: 200, route: 20, widget: 40, total: 300 }

let manifest
try {
	manifest = JSON.parse(readFileSync(new URL("node_modules/.cache/pic-ui/manifest.json", root), "utf8"))
} catch {
	console.error("There is no built UI to weigh: run `npm run build` first.")
	process.exit(1)
}
const size = (file) => statSync(new URL(`dist/${file}.gz`, root)).size / 1000
const chunks = Object.entries(manifest).filter(([, c]) => c.file.endsWith(".js"))

// The shell is what the entry loads before anything is shown: itself and its static imports.
const shell = new Set()
const visit = (key) => {
	if (shell.has(key)) return
	shell.add(key)
	for (const k of manifest[key].imports ?? []) visit(k)
}
const entry = chunks.find(([, c]) => c.isEntry)[0]
visit(entry)

const rows = [["shell", [...shell].reduce((n, k) => n + size(manifest[k].file), 0), limit.shell]]
let total = rows[0][1]
for (const [key, c] of chunks) {
	if (shell.has(key)) continue
	total += size(c.file)
	rows.push([c.name ?? key, size(c.file), key.startsWith("src/pages/") ? limit.route : limit.widget])
}
rows.push(["all JS", total, limit.total])

let over = false
for (const [name, kb, max] of rows) {
	const bad = kb > max
	over ||= bad
	console.log(`${name.padEnd(28)} ${kb.toFixed(1).padStart(7)} kB of ${max}${bad ? "  OVER BUDGET" : ""}`)
}
process.exit(over ? 1 : 0)
