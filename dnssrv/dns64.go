package dnssrv

import (
	"context"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// translated is a, the answer to q for AAAA, or where it has no address of use
// that made of the IPv4 addresses of the name (RFC 6147 §5.1).
func (f *forwarder) translated(ctx context.Context, prefix netip.Prefix, q question, a *answer) *answer {
	if a.bogus || a.unasked || a.rcode == dns.RcodeNameError {
		return a
	}
	life := time.Duration(maxNegative) * time.Second
	if !a.failed {
		said := a.reply(0)
		m, err := said.unpack(q)
		if err != nil || usable(m.Answer) {
			return a
		}
		if a.life > 0 {
			life = a.life // that of the SOA (§5.1.7)
		}
	}
	four := q
	four.typ = dns.TypeA
	b, age := f.through(ctx, four)
	if b.failed || b.rcode != dns.RcodeSuccess {
		if a.failed {
			return b
		}
		return a
	}
	said := b.reply(age)
	m, err := said.unpack(four)
	if err != nil {
		return a
	}
	out := &answer{from: b.from, aliases: b.aliases, ede: b.ede}
	out.life = min(life, b.life-age)
	var answer []dns.RR
	made := false
	for _, rr := range m.Answer {
		h := *rr.Header()
		switch rr := rr.(type) {
		case *dns.A:
			ip, ok := netip.AddrFromSlice(rr.A.To4())
			if !ok || prefix == wellKnown && inward(ip) {
				continue // RFC 6052 §3.1
			}
			h.Rrtype, h.Rdlength = dns.TypeAAAA, 0
			h.Ttl = min(h.Ttl, uint32(life/time.Second))
			answer = append(answer, &dns.AAAA{Hdr: h, AAAA: embed(prefix, ip).AsSlice()})
			made = true
		case *dns.CNAME, *dns.DNAME:
			answer = append(answer, rr)
		}
	}
	if !made || out.pack(q, answer, nil) != nil {
		return a
	}
	return out
}

// usable reports whether there is an IPv6 address among the records; one that
// stands for an IPv4 address is none (§5.1.4).
func usable(rrs []dns.RR) bool {
	for _, rr := range rrs {
		if six, ok := rr.(*dns.AAAA); ok {
			if a, ok := netip.AddrFromSlice(six.AAAA.To16()); ok && !mapped.Contains(a) && !a.Is4In6() {
				return true
			}
		}
	}
	return false
}

// inward reports whether an IPv4 address is of no use to the world.
func inward(a netip.Addr) bool {
	for _, p := range inner {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// reverse64 returns the reverse name of the IPv4 address that n, a reverse name
// within the prefix, stands for (RFC 6147 §5.3.1).
func reverse64(prefix netip.Prefix, n name) (name, bool) {
	p, ok := reverseOf(n)
	if !ok || !prefix.IsValid() || !p.IsSingleIP() {
		return "", false
	}
	four, ok := extract(prefix, p.Addr())
	if !ok || embed(prefix, four) != p.Addr() {
		return "", false
	}
	return reverseName(netip.PrefixFrom(four, 32)), true
}
