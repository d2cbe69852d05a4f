// Packs dist/ for embedding: what compresses is kept as .gz alone, and Vite's
// manifest moves out of the way, to where scripts/budget.mjs looks for it.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { gzipSync } from "node:zlib"

const root = new URL("../", import.meta.url)
const dist = new URL("dist/", root)
const cache = new URL("node_modules/.cache/pic-ui/", root)

mkdirSync(cache, { recursive: true })
renameSync(new URL(".vite/manifest.json", dist), new URL("manifest.json", cache))
rmSync(new URL(".vite/", dist), { recursive: true })

for (const name of readdirSync(dist, { recursive: true })) {
	if (!/\.(js|css|svg|txt)$/.test(name)) continue
	const file = new URL(name, dist)
	writeFileSync(new URL(`${name}.gz`, dist), gzipSync(readFileSync(file), { level: 9 }))
	rmSync(file)
}
