package dnssrv

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv/upstream"
)

// special are the zones that no query leaves the house for.
func special() []name {
	var out []name
	for _, s := range []string{
		"localhost", "local", "invalid", "onion", "alt", "test", // RFC 6761, 6762, 7686, 9476
		"home.arpa", "resolver.arpa", "service.arpa", // RFC 8375, 9462, 9665
		"ipv4only.arpa", "170.0.0.192.in-addr.arpa", "171.0.0.192.in-addr.arpa", // RFC 8880
		"6tisch.arpa", "eap-noob.arpa", // RFC 9031, 9140
	} {
		out = append(out, mustName(s))
	}
	// RFC 6303 §4, RFC 7793.
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.2.0/24", "192.168.0.0/16",
		"198.51.100.0/24", "203.0.113.0/24", "255.255.255.255/32",
		"::/128", "::1/128", "fd00::/8", "fe80::/12", "fe90::/12", "fea0::/12", "feb0::/12", "2001:db8::/32",
	} {
		out = append(out, reverseName(netip.MustParsePrefix(s)))
	}
	for i := 16; i < 32; i++ {
		out = append(out, mustName(fmt.Sprintf("%d.172.in-addr.arpa", i)))
	}
	for i := 64; i < 128; i++ {
		out = append(out, mustName(fmt.Sprintf("%d.100.in-addr.arpa", i)))
	}
	return out
}

// reserve adds the special zones. Where an upstream is on this host, names below
// test. are left to it.
func (b *builder) reserve() {
	b.special = map[name]bool{}
	for _, n := range special() {
		if b.zones[n] != nil || n == test && b.lab() {
			continue
		}
		b.special[n] = true
		b.add(n)
	}
	if z := b.zones[mustName("localhost")]; len(z.nodes) == 1 {
		for _, n := range []name{z.apex, "\x01*" + z.apex} { // RFC 6761 §6.3
			b.set(z, address(n.String(), loopback4, defaultTTL))
			b.set(z, address(n.String(), netip.IPv6Loopback(), defaultTTL))
		}
	}
	if z := b.zones[mustName("resolver.arpa")]; z != nil {
		z.node(mustName("_dns.resolver.arpa")) // RFC 9462 §4: there, and empty
	}
	if z := b.zones[mustName("ipv4only.arpa")]; b.special[z.apex] {
		b.onlyIPv4(z)
	}
}

// onlyIPv4 fills the zone by which hosts find out the prefix of DNS64 (RFC 7050,
// RFC 8880 §7.2).
func (b *builder) onlyIPv4(z *zone) {
	for _, last := range []byte{170, 171} {
		a := netip.AddrFrom4([4]byte{192, 0, 0, last})
		b.set(z, address(z.apex.String(), a, defaultTTL))
		if p := b.conf.DNS.DNS64; p.IsValid() {
			b.set(z, address(z.apex.String(), embed(p, a), defaultTTL))
		}
		if back := b.zones[reverseName(netip.PrefixFrom(a, 32))]; back != nil && b.special[back.apex] {
			b.set(back, &dns.PTR{
				Hdr: dns.RR_Header{Name: back.apex.String(), Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: defaultTTL},
				Ptr: z.apex.String(),
			})
		}
	}
}

// lab reports whether an upstream is on this host, or the household has a root
// of its own.
func (b *builder) lab() bool {
	if b.conf.DNS.Resolver == config.ResolveRecurse {
		return len(b.conf.DNS.Roots) > 0
	}
	return slices.ContainsFunc(b.conf.Upstreams, func(s string) bool {
		a, err := upstream.Parse(s)
		return err == nil && a.IP.Addr().IsLoopback()
	})
}
