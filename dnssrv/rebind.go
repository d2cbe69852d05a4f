package dnssrv

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// A guard keeps names of strangers from leading into the household: a page that
// a browser trusts as evil.example must not become the router's (DNS rebinding).
type guard struct {
	networks []netip.Prefix
	dns64    netip.Prefix
}

// inner are the networks that no name of a stranger leads to: RFC 1122, 1918,
// 3927, 6598, 4193, 4291.
var inner = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
	"255.255.255.255/32", "::/127", "fc00::/7", "fe80::/10", "fec0::/10",
)

func prefixes(all ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(all))
	for i, s := range all {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// guard returns what watches over the answers to q of g, nil if nothing does.
func (r *routing) guard(g *group, q question) *guard {
	if !r.care.rebind || g.own || q.raw {
		return nil
	}
	for _, n := range r.care.private {
		if q.name.below(n) {
			return nil
		}
	}
	return &guard{networks: r.care.networks, dns64: r.care.dns64}
}

var (
	mapped    = netip.MustParsePrefix("::ffff:0:0/96")
	wellKnown = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	local64   = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour = netip.MustParsePrefix("2002::/16")
	compat    = netip.MustParsePrefix("::/96")
)

// inside reports whether a leads into the household, also by way of an address
// that has another in it.
func (g *guard) inside(a netip.Addr) bool {
	for _, p := range inner {
		if p.Contains(a) {
			return true
		}
	}
	if slices.ContainsFunc(g.networks, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return true
	}
	if a.Is4() {
		return false
	}
	b := a.As16()
	switch {
	case a.Is4In6():
		return g.inside(a.Unmap())
	case wellKnown.Contains(a), compat.Contains(a):
		return g.inside(netip.AddrFrom4([4]byte(b[12:])))
	case sixToFour.Contains(a):
		return g.inside(netip.AddrFrom4([4]byte(b[2:])))
	case g.dns64.IsValid() && g.dns64.Contains(a):
		four, ok := extract(g.dns64, a)
		return ok && g.inside(four)
	case local64.Contains(a): // whoever translates it, it is not far
		return g.inside(netip.AddrFrom4([4]byte(b[12:])))
	}
	return false
}

// data reports whether the data of an A or AAAA record leads into the household.
func (g *guard) data(b []byte) bool {
	a, ok := netip.AddrFromSlice(b)
	return ok && g.inside(a)
}

// filter takes what leads into the household from the answer of m, and returns
// why, or nil where there was nothing.
func (g *guard) filter(m *dns.Msg) *ede {
	if g == nil {
		return nil
	}
	var found netip.Addr
	bad := map[string]map[uint16]bool{} // sets that have lost a record, and with it their signature
	hit := func(rr dns.RR, a netip.Addr) bool {
		if !g.inside(a) {
			return false
		}
		found = a
		owner := dns.CanonicalName(rr.Header().Name)
		if bad[owner] == nil {
			bad[owner] = map[uint16]bool{}
		}
		bad[owner][rr.Header().Rrtype] = true
		return true
	}
	m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool {
		switch rr := rr.(type) {
		case *dns.A:
			a, _ := netip.AddrFromSlice(rr.A.To4())
			return hit(rr, a)
		case *dns.AAAA:
			a, _ := netip.AddrFromSlice(rr.AAAA.To16())
			return hit(rr, a)
		case *dns.HTTPS:
			return g.hints(rr, &rr.SVCB, hit)
		case *dns.SVCB:
			return g.hints(rr, rr, hit)
		}
		return false
	})
	if !found.IsValid() {
		return nil
	}
	m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool {
		sig, ok := rr.(*dns.RRSIG)
		return ok && bad[dns.CanonicalName(sig.Hdr.Name)][sig.TypeCovered]
	})
	return &ede{dns.ExtendedErrorCodeBlocked, fmt.Sprintf("%s is a private address; dns.private allows a domain to have such", found)}
}

// hints reports whether an address hint of a service record leads into the
// household (RFC 9460 §7.3). The whole record goes: its target is judged again
// when its addresses are asked for.
func (g *guard) hints(rr dns.RR, s *dns.SVCB, hit func(dns.RR, netip.Addr) bool) bool {
	for _, v := range s.Value {
		switch v := v.(type) {
		case *dns.SVCBIPv4Hint:
			for _, ip := range v.Hint {
				if a, ok := netip.AddrFromSlice(ip.To4()); ok && hit(rr, a) {
					return true
				}
			}
		case *dns.SVCBIPv6Hint:
			for _, ip := range v.Hint {
				if a, ok := netip.AddrFromSlice(ip.To16()); ok && hit(rr, a) {
					return true
				}
			}
		}
	}
	return false
}

// embed puts an IPv4 address into a prefix (RFC 6052 §2.2).
func embed(p netip.Prefix, four netip.Addr) netip.Addr {
	b := p.Addr().As16()
	v := binary.BigEndian.Uint32(four.AsSlice())
	at := p.Bits() / 8
	for i := range 4 {
		if at == 8 {
			at++ // those bits are zero
		}
		b[at] = byte(v >> (24 - 8*i))
		at++
	}
	return netip.AddrFrom16(b)
}

// extract undoes embed.
func extract(p netip.Prefix, six netip.Addr) (netip.Addr, bool) {
	if !six.Is6() || !p.Contains(six) {
		return netip.Addr{}, false
	}
	b := six.As16()
	var four [4]byte
	at := p.Bits() / 8
	for i := range four {
		if at == 8 {
			at++
		}
		four[i] = b[at]
		at++
	}
	return netip.AddrFrom4(four), true
}
