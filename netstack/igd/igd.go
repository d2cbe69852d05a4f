// Package igd opens ports between the LAN and the internet, from both sides.
//
// A [Server] lets devices of the LAN open ports of the cell's WAN for
// themselves, by NAT-PMP (RFC 6886) and the MAP operation of PCP (RFC 6887). A
// device maps to its own address only, within a number of mappings; what is
// forwarded already, or a service's, and ports below 1024 are not to be had. The
// table of mappings is in memory: the epoch tells devices after a restart to ask
// again. PEER, THIRD_PARTY and FILTER are refused, and there is no UPnP for
// devices: any program in a browser could use it.
//
// A [Keeper] asks the router upstream, where the cell stands behind one, for a
// port of its WAN: by PCP, else NAT-PMP, else UPnP (IGD 1 and 2), and holds it by
// renewals. What it learns on the way, the public address above all, is in its
// [State].
//
// The messages are read and written here, bounded and without trust. By UPnP only
// the gateway itself is heard and spoken to, whatever descriptions, redirects and
// other devices say, and of its answers 64 KB are read at most.
package igd
