package dnssrv

import (
	"net"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"pic/core/config"
)

// resolver adds the names of the cell's encrypted resolver: where it is
// discovered (RFC 9461, RFC 9462), and one for each device that tells its name
// by that of the server.
func (b *builder) resolver() {
	host := "dns." + b.domain.String()
	n, err := parseName(host)
	if err != nil {
		return
	}
	z := b.above(n)
	if z == nil || z.nodes[n] == nil || !z.nodes[n].cell {
		return // the user has another server there
	}
	if at := z.node(mustName("_dns." + host)); at.empty() {
		at.ddr = true
	}
	if z := b.zones[mustName("resolver.arpa")]; z != nil {
		z.node(mustName("_dns.resolver.arpa")).ddr = true
	}
	star := mustName("*." + host)
	if at := z.node(star); at.empty() {
		at.cell = true
		b.listCell(z, star)
	}
}

// designated returns the SVCB records of _dns.resolver.arpa, or of
// _dns.dns.<domain>: one for each way to ask the cell that nobody can read along.
// Names, ports and addresses are those by which who asks reaches it.
func (m *moment) designated(n name) []dns.RR {
	var out []dns.RR
	for i, d := range m.designations() {
		rr := &dns.SVCB{
			Hdr:      dns.RR_Header{Name: n.String(), Rrtype: dns.TypeSVCB, Class: dns.ClassINET, Ttl: cellTTL},
			Priority: uint16(i + 1), Target: "dns." + dns.Fqdn(m.conf.Domain),
			Value: []dns.SVCBKeyValue{&dns.SVCBAlpn{Alpn: d.alpn}},
		}
		if d.port != d.standard {
			rr.Value = append(rr.Value, &dns.SVCBPort{Port: d.port})
		}
		if d.four {
			rr.Value = append(rr.Value, &dns.SVCBIPv4Hint{Hint: []net.IP{m.who.four.AsSlice()}})
		}
		if d.six {
			rr.Value = append(rr.Value, &dns.SVCBIPv6Hint{Hint: []net.IP{m.who.six.AsSlice()}})
		}
		if d.path {
			rr.Value = append(rr.Value, &dns.SVCBDoHPath{Template: dohPath + "{?dns}"})
		}
		out = append(out, rr)
	}
	return out
}

// A designation is one encrypted way to ask the cell.
type designation struct {
	alpn           []string
	port, standard uint16
	four, six      bool // the asker's address of the cell has it
	path           bool // it is DNS over HTTPS
}

// designations are the encrypted ways that are open to who asks. DNS over TLS
// comes first, for it costs both sides least.
func (m *moment) designations() []designation {
	c := &m.conf
	var out []designation
	add := func(e Endpoint, standard uint16, path bool, alpn ...string) {
		d := designation{alpn: alpn, port: e.Port, standard: standard, path: path}
		if m.who.vpn {
			d.port = standard
		}
		d.four = m.who.four.IsValid() && (m.who.vpn || e.covers(m.who.four))
		d.six = m.who.six.IsValid() && (m.who.vpn || e.covers(m.who.six))
		if d.four || d.six {
			out = append(out, d)
		}
	}
	if len(c.TLS) > 0 {
		e := Endpoint{c.DNS.TLSPort, c.DNS.Listen}
		add(e, portTLS, false, "dot")
		add(e, portTLS, false, "doq")
	}
	if config.On(c.DNS.HTTPS) && c.HTTPS.Port != 0 {
		add(c.HTTPS, portHTTPS, true, "h2", "h3")
	}
	return out
}

// covers reports whether what is sent to a arrives at e.
func (e Endpoint) covers(a netip.Addr) bool {
	return slices.ContainsFunc(e.Listen, func(l netip.Addr) bool {
		return l == a || l == netip.IPv6Unspecified() || l.IsUnspecified() && a.Is4()
	})
}
