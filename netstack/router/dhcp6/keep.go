package dhcp6

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// withdraw takes from the lease what a reply that gives nothing names with a
// lifetime of zero: it is not for this link, or not ours any more. The error is why
// the reply is of no use otherwise.
func (m *machine) withdraw(now time.Time, d *dhcpv6.Message, why error) ([]action, error) {
	gone := zeros(d)
	left := m.lease.without(now)
	left.Prefixes = slices.DeleteFunc(left.Prefixes, func(p Prefix) bool { return gone[p.Net] })
	left.Addresses = slices.DeleteFunc(left.Addresses, func(a Address) bool { return gone[netip.PrefixFrom(a.Addr, 128)] })
	switch {
	case left.empty():
		m.lease = nil
		return append([]action{{lost: "the server withdrew it"}}, m.solicit(now)...), nil
	case len(left.Prefixes)+len(left.Addresses) == len(m.lease.Prefixes)+len(m.lease.Addresses):
		return nil, why
	}
	m.lease = left
	return []action{{bind: left}}, nil
}

// zeros are the prefixes and addresses that a reply names with a lifetime of zero.
func zeros(d *dhcpv6.Message) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	add := func(ip net.IP, bits int, valid time.Duration) {
		if a, ok := netip.AddrFromSlice(ip); ok && valid == 0 {
			out[netip.PrefixFrom(a, bits).Masked()] = true
		}
	}
	for _, ia := range d.Options.IAPD() {
		for _, p := range ia.Options.Prefixes() {
			if p.Prefix != nil {
				bits, _ := p.Prefix.Mask.Size()
				add(p.Prefix.IP, bits, p.ValidLifetime)
			}
		}
	}
	for _, ia := range d.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			add(a.IPv6Addr, 128, a.ValidLifetime)
		}
	}
	return out
}

// keep adds to a reply what it does not mention of the former lease: that stays
// until its end, no longer preferred, and ends now where the reply says so (RFC
// 8415 §18.2.10.1).
func (m *machine) keep(l *Lease, d *dhcpv6.Message, now time.Time) *Lease {
	if m.lease == nil {
		return l
	}
	gone, old := zeros(d), m.lease.without(now)
	for _, p := range old.Prefixes {
		again := slices.ContainsFunc(l.Prefixes, func(o Prefix) bool { return o.Net == p.Net })
		if len(l.Prefixes) < mostPrefixes && !again && !gone[p.Net] {
			p.Preferred = now
			l.Prefixes = append(l.Prefixes, p)
		}
	}
	for _, a := range old.Addresses {
		again := slices.ContainsFunc(l.Addresses, func(o Address) bool { return o.Addr == a.Addr })
		if len(l.Addresses) < mostAddresses && !again && !gone[netip.PrefixFrom(a.Addr, 128)] {
			a.Preferred = now
			l.Addresses = append(l.Addresses, a)
		}
	}
	return l
}
