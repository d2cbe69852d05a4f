// Packs dist/ for embedding: the licences of what is bundled are put beside it,
// what compresses is kept as .gz alone, and Vite's manifest moves out of the way,
// to where scripts/budget.mjs looks for it.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { gzipSync } from "node:zlib"

const root = new URL("../", import.meta.url)
const dist = new URL("dist/", root)
const cache = new URL("node_modules/.cache/pic-ui/", root)

mkdirSync(cache, { recursive: true })
renameSync(new URL(".vite/manifest.json", dist), new URL("manifest.json", cache))
rmSync(new URL(".vite/", dist), { recursive: true })

const { packages } = JSON.parse(readFileSync(new URL("package-lock.json", root), "utf8"))
const licences = []
for (const [path, p] of Object.entries(packages)) {
	const dir = new URL(`${path}/`, root)
	if (!path || p.dev || !existsSync(dir)) continue
	const file = readdirSync(dir).find((f) => /^licen[cs]e(\.\w+)?$/i.test(f))
	const text = file ? readFileSync(new URL(file, dir), "utf8").trim() : `Licence: ${p.license}`
	licences.push(`${path.replace(/^.*node_modules\//, "")} ${p.version} (${p.license})\n\n${text}\n`)
}
writeFileSync(new URL("licenses.txt", dist), licences.sort().join(`\n${"-".repeat(72)}\n\n`))

for (const name of readdirSync(dist, { recursive: true })) {
	if (!/\.(js|css|svg|txt)$/.test(name)) continue
	const file = new URL(name, dist)
	writeFileSync(new URL(`${name}.gz`, dist), gzipSync(readFileSync(file), { level: 9 }))
	rmSync(file)
}
