import { expect, test } from "vitest"
import { label, withStandardPort } from "./label"

test.each([
	["Printer_2", "aa:bb:cc:dd:ee:ff", "printer-2"],
	["", "AA:BB:CC:DD:EE:FF", "device-ddeeff"],
	["***", "aa:bb:cc:01:02:03", "device-010203"],
])("the host %j with %s is kept as %s", (host, mac, want) => expect(label(host, mac)).toBe(want))

test("a port is said where it is not the standard one", () => {
	expect(withStandardPort("dns.oak.home.arpa", 853, 853)).toBe("dns.oak.home.arpa")
	expect(withStandardPort("dns.oak.home.arpa", 10853, 853)).toBe("dns.oak.home.arpa:10853")
})
