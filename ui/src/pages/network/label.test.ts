import { expect, test } from "vitest"
import { label } from "./label"

test.each([
	["Printer_2", "aa:bb:cc:dd:ee:ff", "printer-2"],
	["", "AA:BB:CC:DD:EE:FF", "device-ddeeff"],
	["***", "aa:bb:cc:01:02:03", "device-010203"],
])("the host %j with %s is kept as %s", (host, mac, want) => expect(label(host, mac)).toBe(want))
