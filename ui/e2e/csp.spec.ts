import { expect, pages, signIn, tabs, test, visit } from "./cell"

test("no page breaks the content security policy or asks anything of another host", async ({
	page,
	cell,
	complaints,
}) => {
	test.setTimeout(240_000)
	await signIn(page)
	const broken: string[] = []
	const foreign: string[] = []
	page.on("request", (r) => {
		if (!r.url().startsWith(cell.url) && !/^(data|blob):/.test(r.url())) foreign.push(r.url())
	})
	await page.exposeFunction("tellViolation", (what: string) => broken.push(what))
	await page.addInitScript(() => {
		document.addEventListener("securitypolicyviolation", (e) => {
			const tell = (window as unknown as { tellViolation: (what: string) => void }).tellViolation
			tell(`${location.pathname}: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`)
		})
	})
	for (const path of [...Object.keys(pages), ...tabs, "/peers?add"]) await visit(page, path)
	await page.keyboard.press("Escape")
	await page.keyboard.press("Control+k")
	await expect(page.getByRole("dialog", { name: "Search or do" })).toBeVisible()
	await page.keyboard.press("Escape")
	await page.getByRole("button", { name: /^My account/ }).click()
	await expect(page.getByRole("menu")).toBeVisible()
	expect(broken).toEqual([])
	expect(foreign).toEqual([])
	expect(complaints).toEqual([])
})

test("the policy lets in nothing from elsewhere, with a nonce of its own each time", async ({ page }) => {
	const policy = async () => (await page.request.get("/")).headers()["content-security-policy"]
	const [a, b] = [await policy(), await policy()]
	expect(a).toContain("default-src 'none'")
	expect(a).toContain("script-src 'self';")
	expect(a).not.toContain("unsafe")
	expect(a).not.toBe(b)
})
