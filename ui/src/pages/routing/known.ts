import { useLeases, usePeers } from "../../api/hooks"
import { useEditable } from "../../change/use"
import { devices, type Known } from "./forward"

/** Devices with a name and an address: reservations, leases and peers. */
export function useDevices(): Known[] {
	const { doc } = useEditable()
	const leases = useLeases()
	const peers = usePeers()
	return devices(doc?.dhcp?.reservations ?? [], leases.data ?? [], peers.data ?? [])
}

/** Those whose hardware address is known, so that they can be woken up. */
export function useSleepers(): { name: string; mac: string }[] {
	const { doc } = useEditable()
	const leases = useLeases()
	const peers = usePeers()
	const seen = new Map<string, string>()
	for (const d of [...(peers.data ?? []), ...(doc?.dhcp?.reservations ?? []), ...(leases.data ?? [])]) {
		if (d.mac && !seen.has(d.mac)) seen.set(d.mac, d.name || d.mac)
	}
	return [...seen].map(([mac, name]) => ({ mac, name })).sort((a, b) => a.name.localeCompare(b.name))
}
