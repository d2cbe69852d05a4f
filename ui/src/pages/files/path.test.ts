import { expect, test } from "vitest"
import type { FileEntry } from "../../api/types"
import { below, crumbs, sorted } from "./path"

test("crumbs lead from the top to the folder", () => {
	expect(crumbs("")).toEqual([{ name: "", path: "" }])
	expect(crumbs("/alice/photos/")).toEqual([
		{ name: "", path: "" },
		{ name: "alice", path: "alice" },
		{ name: "photos", path: "alice/photos" },
	])
})

test("a folder below the top has no slash before it", () => {
	expect(below("", "alice")).toBe("alice")
	expect(below("alice", "a b")).toBe("alice/a b")
})

test("folders come first and numbers count", () => {
	const file = (name: string, dir = false): FileEntry => ({ name, dir, size: 0, modified: "" })
	expect(sorted([file("10"), file("2"), file("z", true), file("a")]).map((f) => f.name)).toEqual([
		"z",
		"2",
		"10",
		"a",
	])
})
