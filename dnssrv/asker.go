package dnssrv

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// cellTTL is how long a client may remember an address of the cell, in seconds.
// It is short, for a phone that leaves the house finds the cell elsewhere.
const cellTTL = 60

// An asker is who asks, as far as answers depend on it.
type asker struct {
	four, six netip.Addr // the cell's addresses as this client can reach them
	vpn       bool
	exit      string // by which their questions leave; see [table.exitOf]
}

// asker finds out how who asks from a client at from, having reached the cell
// at to, can reach the cell.
func (c *Config) asker(from, to netip.Addr) asker {
	from, to = from.Unmap(), to.Unmap()
	var a asker
	switch {
	case !from.IsValid() || from.IsLoopback():
		a.four = loopback4
		if c.Loopback6 {
			a.six = netip.IPv6Loopback()
		}
	case holds(c.VPN, from):
		a.vpn = true
		for _, t := range c.Tunnel {
			a.offer(t)
		}
	case holds([]netip.Prefix{c.LAN.Masked()}, from):
		a.offer(c.LAN.Addr())
		a.offer(to)
	default: // from behind a router, or the LAN is not known: as it reached us
		a.offer(to)
		a.offer(c.LAN.Addr())
	}
	return a
}

// offer takes the address in, if it is of use and its family has none yet.
func (a *asker) offer(ip netip.Addr) {
	switch {
	case !ip.IsValid() || ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast():
	case ip.Is4() && !a.four.IsValid():
		a.four = ip
	case ip.Is6() && !a.six.IsValid():
		a.six = ip
	}
}

// addresses are the cell's records of that type, for owner.
func (a asker) addresses(owner string, typ uint16) []dns.RR {
	ip := a.four
	if typ == dns.TypeAAAA {
		ip = a.six
	}
	if !ip.IsValid() {
		return nil
	}
	return []dns.RR{address(owner, ip, cellTTL)}
}

// address is the A or AAAA record of ip.
func address(owner string, ip netip.Addr, ttl uint32) dns.RR {
	h := dns.RR_Header{Name: owner, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}
	if ip.Is4() {
		return &dns.A{Hdr: h, A: ip.AsSlice()}
	}
	h.Rrtype = dns.TypeAAAA
	return &dns.AAAA{Hdr: h, AAAA: ip.AsSlice()}
}

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// holds reports whether one of prefixes has the address.
func holds(prefixes []netip.Prefix, a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
