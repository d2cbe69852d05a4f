package cell

import (
	"net/netip"

	"pic/netstack"
	"pic/netstack/edge"
	"pic/netstack/fw"
	"pic/netstack/igd"
)

// edgeOptions tie the mappings of devices to the firewall, and the WAN's address
// to the router.
func (c *Cell) edgeOptions() edge.Options {
	return edge.Options{
		Gate: gate{c.net}, Secrets: c.vault.Get,
		WAN: func() netip.Addr { return c.router.Status().WAN.Address.Addr() },
	}
}

// A gate opens ports of the WAN in the packet filter.
type gate struct{ net *netstack.Server }

func (g gate) Open(m igd.Mapping) error { return g.net.Map(mapping(m)) }

// Close leaves what cannot be taken away to the time that it has in the filter.
func (g gate) Close(m igd.Mapping) { _ = g.net.Unmap(mapping(m)) }

func mapping(m igd.Mapping) fw.Mapping {
	return fw.Mapping{Proto: m.Protocol, Port: m.External, To: netip.AddrPortFrom(m.Client, m.Internal), Until: m.Until}
}
