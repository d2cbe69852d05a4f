package netstack

import (
	"net/netip"
	"slices"
)

// A policy says who may send what where. It is the one meaning of the peers'
// rights: compile writes it down for the kernel, and in user space it is asked
// for each connection.
type policy struct {
	cell   []netip.Addr
	vpn    []netip.Prefix
	lan    []netip.Prefix
	rights map[netip.Addr]rights
}

type rights struct{ internet, lan bool }

func newPolicy(c Config) *policy {
	p := &policy{lan: lanNets(c, nil), rights: map[netip.Addr]rights{}}
	for _, a := range c.Addresses {
		p.cell = append(p.cell, a.Addr())
		p.vpn = append(p.vpn, a.Masked())
	}
	for _, peer := range c.Peers {
		for _, a := range peer.Addrs {
			p.rights[a] = rights{peer.Internet, peer.LAN}
		}
	}
	return p
}

// isCell reports whether a is an address of the cell in the VPN.
func (p *policy) isCell(a netip.Addr) bool { return slices.Contains(p.cell, a) }

// allows reports whether src, a peer, may open a connection to dst, which is
// beyond the cell. What is no ordinary address of another host is nobody's: not
// the loopback of the cell, nor links, groups and other peers.
func (p *policy) allows(src, dst netip.Addr) bool {
	r, known := p.rights[src]
	if !known || !dst.IsValid() || dst.Is4In6() || dst.IsUnspecified() || dst.IsLoopback() ||
		dst.IsLinkLocalUnicast() || dst.IsMulticast() || dst == broadcast || within(dst, p.vpn) {
		return false
	}
	if within(dst, p.lan) {
		return r.lan
	}
	return r.internet
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func within(a netip.Addr, nets []netip.Prefix) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// lanNets is what counts as the LAN: what the document and the host's LAN
// interface say, or else every private network. No network is within another.
func lanNets(c Config, onLink []netip.Prefix) []netip.Prefix {
	all := append(slices.Clone(c.LANNets), onLink...)
	if len(all) == 0 {
		all = []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 8),
			netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16}), 12),
			netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168}), 16),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfc}), 7),
		}
	}
	return disjoint(all)
}

// disjoint sorts prefixes and leaves out those within others.
func disjoint(all []netip.Prefix) []netip.Prefix {
	sorted := make([]netip.Prefix, 0, len(all))
	for _, p := range all {
		sorted = append(sorted, p.Masked())
	}
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var out []netip.Prefix
	for _, p := range sorted {
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}
