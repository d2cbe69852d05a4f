import { expect, test } from "vitest"
import { byHost } from "./sockets"

test("sockets of one host stand on one line", () => {
	expect(
		byHost([
			"tcp 127.0.0.1:587",
			"tcp 127.0.0.1:25",
			"udp 127.0.0.1:53",
			"tcp [fd00::1]:25 (VPN)",
			"unix /run/x.sock",
		]),
	).toEqual([
		{ host: "127.0.0.1", note: "", ports: "tcp 25 587, udp 53" },
		{ host: "fd00::1", note: "(VPN)", ports: "tcp 25" },
		{ host: "unix /run/x.sock", note: "", ports: "" },
	])
})
