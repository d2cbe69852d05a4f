import { describe, expect, test } from "vitest"
import { devices, net, ports, readNets, readPorts, target } from "./forward"

describe("what a person wrote as ports", () => {
	for (const [text, want] of Object.entries({
		"443": { port: 443 },
		" 8000-8010 ": { port: 8000, last: 8010 },
		"8000 to 8010": { port: 8000, last: 8010 },
		"80-80": { port: 80 },
		"0": undefined,
		"70000": undefined,
		"90-80": undefined,
		http: undefined,
		"": undefined,
	}))
		test(JSON.stringify(text), () => expect(readPorts(text)).toEqual(want))
})

test("ports are said with their protocol, a range with both ends", () => {
	expect(ports({ port: 443 })).toBe("TCP 443")
	expect(ports({ port: 443, last: 443, protocol: "udp" })).toBe("UDP 443")
	expect(ports({ port: 80, last: 90, protocol: "both" })).toBe("TCP and UDP 80 to 90")
})

test("a target has the port of the device, or the same one", () => {
	expect(target({ to: "192.168.1.5", port: 443 })).toBe("192.168.1.5:443")
	expect(target({ to: "fd00::5", port: 443, toPort: 8443 })).toBe("[fd00::5]:8443")
})

test("an address alone is a network of one, and is shown as an address", () => {
	expect(readNets("203.0.113.7, 2001:db8::1 198.51.100.0/24")).toEqual([
		"203.0.113.7/32",
		"2001:db8::1/128",
		"198.51.100.0/24",
	])
	expect(readNets("203.0.113.7 2001:db8::1").map(net)).toEqual(["203.0.113.7", "2001:db8::1"])
	expect(net("2001:db8::/32")).toBe("2001:db8::/32")
})

test("a device is listed once for each address, those without a name not at all", () =>
	expect(
		devices(
			[{ name: "nas", address: "192.168.1.5" }],
			[
				{ name: "storage", address: "192.168.1.5" },
				{ address: "192.168.1.6" },
				{ name: "camera", address: "192.168.1.7" },
			],
		),
	).toEqual([
		{ name: "camera", address: "192.168.1.7" },
		{ name: "nas", address: "192.168.1.5" },
	]))
