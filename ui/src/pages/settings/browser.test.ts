import { expect, test } from "vitest"
import { browser } from "./browser"

test.each([
	["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"],
	[
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
		"Edge, Windows",
	],
	[
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile Safari/604.1",
		"Safari, iPhone",
	],
	["curl/8.0", "curl"],
	["a program of somebody", "a program of somebody"],
	["", "unknown"],
])("%j is %s", (agent, want) => expect(browser(agent)).toBe(want))
