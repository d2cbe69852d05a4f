package dnssrv

import "github.com/miekg/dns"

// mail adds what mail and DAV clients look for in every mail domain.
func (b *builder) mail() {
	domains := b.conf.Mail
	if len(domains) == 0 {
		domains = []string{b.conf.Domain}
	}
	for _, s := range domains {
		n, err := parseName(s)
		if err != nil {
			continue
		}
		z := b.above(n)
		if z == nil {
			continue // the world's business
		}
		if at := z.node(n); len(b.conf.Mail) > 0 && at.sets[dns.TypeMX] == nil && at.sets[dns.TypeCNAME] == nil {
			rr := &dns.MX{
				Hdr:        dns.RR_Header{Name: n.String(), Rrtype: dns.TypeMX, Class: dns.ClassINET, Ttl: defaultTTL},
				Preference: 10, Mx: "mail." + b.domain.String(),
			}
			b.set(z, rr)
			b.list(z, rr, Cell, "")
		}
		for _, v := range b.conf.Services {
			b.service(z, n, v)
		}
	}
}

// A Text is a TXT record of the cell's own.
type Text struct{ Name, Value string }

// texts adds the cell's own TXT records where the user has none.
func (b *builder) texts() {
	for _, t := range b.conf.Texts {
		n, err := parseName(t.Name)
		if err != nil {
			continue
		}
		z := b.above(n)
		if z == nil {
			continue // the world's business
		}
		if !z.node(n).empty() {
			continue
		}
		rr := &dns.TXT{Hdr: dns.RR_Header{Name: n.String(), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: defaultTTL}}
		for v := t.Value; v != ""; {
			k := min(len(v), 255)
			rr.Txt = append(rr.Txt, v[:k])
			v = v[k:]
		}
		b.set(z, rr)
		b.list(z, rr, Cell, "")
	}
}

// service announces v in the domain n of z.
func (b *builder) service(z *zone, n name, v Service) {
	owner, err := parseName(v.Name + "." + n.String())
	if err != nil {
		return
	}
	at := z.node(owner)
	if !at.empty() {
		return // the user's own
	}
	srv := func(port uint16) dns.RR {
		return &dns.SRV{
			Hdr:    dns.RR_Header{Name: owner.String(), Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: defaultTTL},
			Weight: 1, Port: port, Target: v.Target + "." + b.domain.String(),
		}
	}
	b.set(z, srv(v.Port))
	if v.Port != v.VPNPort {
		at.tunnel = map[uint16][]dns.RR{dns.TypeSRV: {srv(v.VPNPort)}}
		b.list(z, srv(v.VPNPort), Cell, "vpn")
	}
	b.list(z, srv(v.Port), Cell, "")
	if v.Path != "" {
		rr := &dns.TXT{
			Hdr: dns.RR_Header{Name: owner.String(), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: defaultTTL},
			Txt: []string{"path=" + v.Path},
		}
		b.set(z, rr)
		b.list(z, rr, Cell, "")
	}
}
