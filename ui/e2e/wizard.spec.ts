import { admin, expect, test } from "./cell"

test.use({ state: "new" })

test("the first run ends on the dashboard, and the first device gets a code", async ({ page, cell }) => {
	await page.goto(`/#token=wrong-${cell.token}`)
	await expect(page.getByRole("heading", { name: "What is it called?" })).toBeVisible()
	expect(page.url(), "the token stays out of the history").not.toContain("token")

	// A name that is no DNS label is refused beside its field.
	await page.getByLabel("Name of the cell").fill("My Cell")
	await page.getByRole("button", { name: "Next" }).click()
	await expect(page.getByText("Use small letters, digits and hyphens")).toBeVisible()
	await page.getByLabel("Name of the cell").fill("oak")
	await expect(page.getByRole("list", { name: "Addresses to come" })).toContainText(
		"https://mail.oak.home.arpa",
	)
	await page.keyboard.press("Enter")

	// From here on by keyboard alone.
	await expect(page.getByRole("heading", { name: "Who are you?" })).toBeFocused()
	await page.keyboard.press("Tab")
	for (const text of ["Alice", admin.name, "password1", "password1"]) {
		await page.keyboard.type(text)
		await page.keyboard.press("Tab")
	}
	await page.keyboard.press("Tab") // over Back
	await page.keyboard.press("Enter")

	await expect(page.getByRole("heading", { name: "All set?" })).toBeFocused()
	await expect(page.getByText("Alice (alice)")).toBeVisible()
	await page.getByRole("button", { name: "Start the cell" }).click()

	// The token was wrong: back to where it is asked.
	await expect(page.getByRole("heading", { name: "Welcome to your cell" })).toBeVisible()
	await expect(page.getByRole("alert")).toContainText("not the setup token")
	await page.getByLabel("Setup token").fill(cell.token)
	await page.getByRole("button", { name: "Next" }).click()
	await page.getByRole("button", { name: "Next" }).click()
	await page.getByRole("button", { name: "Next" }).click()
	await page.getByRole("button", { name: "Start the cell" }).click()

	// What only the cell knows to be bad is told beside its field, too.
	await expect(page.getByRole("heading", { name: "Who are you?" })).toBeVisible()
	const password = page.getByLabel("Password", { exact: true })
	await expect(password).toHaveAttribute("aria-invalid", "true")
	await expect(page.getByText("harder to guess").first()).toBeVisible()
	await password.fill(admin.password)
	await page.getByLabel("Password again").fill(admin.password)
	await page.getByRole("button", { name: "Next" }).click()
	await page.getByRole("button", { name: "Start the cell" }).click()

	await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible()
	await page.getByRole("button", { name: "Add your phone" }).click()
	const dialog = page.getByRole("dialog")
	await dialog.getByLabel("Name").fill("Alice's phone")
	await expect(dialog).toContainText("alices-phone.vpn.oak.home.arpa")
	await dialog.getByLabel("Where the device finds the cell").fill("home.example.org")
	await dialog.getByRole("button", { name: "Add", exact: true }).click()
	await expect(dialog.getByRole("img", { name: "QR code" })).toBeVisible()
	await dialog.getByRole("button", { name: "Done" }).click()
	await expect(page.getByRole("table", { name: "Devices" })).toContainText("alices-phone")

	// Set up is set up: the wizard is gone.
	await page.context().clearCookies()
	await page.goto("/")
	await expect(page.getByRole("heading", { name: "Sign in to your cell" })).toBeVisible()
})
