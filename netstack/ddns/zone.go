package ddns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const ttl = 60 // seconds; addresses of households change at any time

// updateZone replaces the addresses of the name in its zone.
func updateZone(ctx context.Context, n Name, a Addresses) error {
	zone := n.Zone
	if zone == "" {
		_, zone, _ = strings.Cut(n.Name, ".")
	}
	m := new(dns.Msg).SetUpdate(dns.Fqdn(zone))
	name := dns.Fqdn(n.Name)
	for typ, on := range map[uint16]bool{dns.TypeA: n.Four, dns.TypeAAAA: n.Six} {
		if on {
			m.RemoveRRset([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: name, Rrtype: typ}}})
		}
	}
	for _, x := range a.list() {
		m.Insert([]dns.RR{record(name, x)})
	}
	c := &dns.Client{Net: "tcp", Timeout: asking}
	if n.User != "" {
		key := dns.Fqdn(n.User)
		c.TsigSecret = map[string]string{key: n.Password}
		m.SetTsig(key, dns.HmacSHA256, 300, time.Now().Unix())
	}
	server := n.Server
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	r, _, err := c.ExchangeContext(ctx, m, server)
	switch {
	case errors.Is(err, dns.ErrSig), errors.Is(err, dns.ErrKey), errors.Is(err, dns.ErrKeyAlg), errors.Is(err, dns.ErrAuth):
		return sayf("the name server %s does not accept the key %s", server, n.User)
	case err != nil:
		return fmt.Errorf("asking the name server %s: %w", server, err)
	}
	switch r.Rcode {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeNotAuth, dns.RcodeBadSig, dns.RcodeBadKey:
		return sayf("the name server %s does not accept the key %s, or is not that of the zone %s", server, n.User, zone)
	case dns.RcodeRefused:
		return sayf("the name server %s refuses updates of %s", server, n.Name)
	case dns.RcodeNotZone:
		return sayf("%s is not in the zone %s", n.Name, zone)
	}
	return fmt.Errorf("the name server %s answers %s", server, dns.RcodeToString[r.Rcode])
}

func record(name string, a netip.Addr) dns.RR {
	h := dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: ttl}
	if a.Is4() {
		h.Rrtype = dns.TypeA
		return &dns.A{Hdr: h, A: a.AsSlice()}
	}
	h.Rrtype = dns.TypeAAAA
	return &dns.AAAA{Hdr: h, AAAA: a.AsSlice()}
}
