package dnssrv

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"pic/core/config"
)

// record adds a record of the document.
func (b *builder) record(z *zone, r config.Record, path string) {
	rr, ferr := parseRecord(r, z.apex, defaultTTL)
	if ferr != nil {
		b.fail(path+"."+ferr.Path, "%s", ferr.Problem)
		return
	}
	n := mustName(rr.Header().Name)
	typ := rr.Header().Rrtype
	at := z.node(n)
	switch {
	case typ == dns.TypeCNAME && n == z.apex:
		b.fail(path+".type", "the zone itself cannot be a CNAME; use A and AAAA records")
		return
	case typ == dns.TypeNS && n != z.apex && n[0] == 1 && n[1] == '*':
		b.fail(path+".type", "a wildcard cannot be delegated; delegate each name")
		return
	case typ == dns.TypeDNAME && n[0] == 1 && n[1] == '*':
		b.fail(path+".type", "a wildcard cannot be a DNAME; write one for each name")
		return
	case typ == dns.TypeDNAME && b.cellBelow(n) != "":
		b.fail(path+".name", "%s is below it, which is the cell itself and must not lead elsewhere", b.cellBelow(n))
		return
	case typ == dns.TypeDS && n == z.apex:
		b.fail(path+".name", "the DS records of a zone belong to the zone above it")
		return
	case typ == dns.TypeCNAME && !at.empty(), at.sets[dns.TypeCNAME] != nil:
		b.fail(path+".name", "%s has a CNAME, and then may have no other record", r.Name)
		return
	case typ == dns.TypeDNAME && at.sets[typ] != nil:
		b.fail(path+".name", "%s has a DNAME already, and can have one only", r.Name)
		return
	case n != z.apex && (typ == dns.TypeDNAME && at.sets[dns.TypeNS] != nil || typ == dns.TypeNS && at.sets[dns.TypeDNAME] != nil):
		b.fail(path+".type", "%s is delegated by an NS record, and so cannot lead elsewhere by a DNAME", r.Name)
		return
	}
	for _, have := range at.sets[typ] {
		if dns.IsDuplicate(have, rr) {
			b.fail(path+".value", "%s has that %s record already", r.Name, typeName(typ))
			return
		}
	}
	b.set(z, rr)
	b.list(z, rr, Record, "")
	if a, ok := addressOf(rr); ok && n[:2] != "\x01*" {
		b.hosted = append(b.hosted, hosted{z, n, a})
	}
}

// addressOf returns the address that a record gives.
func addressOf(rr dns.RR) (a netip.Addr, ok bool) {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok = netip.AddrFromSlice(rr.A.To4())
	case *dns.AAAA:
		a, ok = netip.AddrFromSlice(rr.AAAA)
	}
	return a, ok && !a.Is4In6()
}

// together checks what records of a zone mean to each other.
func (b *builder) together(z *zone, all []config.Record, path string) {
	if z == nil {
		return
	}
	for i, r := range all {
		n, err := ownerOf(r.Name, z.apex)
		if err != nil {
			continue // told
		}
		at := fmt.Sprintf("%s.%d", path, i)
		if typ, _ := kindOf(r.Type); typ == dns.TypeDS && n != z.apex && z.nodes[n] != nil && z.nodes[n].sets[dns.TypeNS] == nil {
			b.fail(at+".type", "%s has a DS record, which is about a delegation, but no NS record", r.Name)
		}
		for up := n; up != z.apex; {
			up = up.parent()
			if over := z.nodes[up]; over != nil && over.sets[dns.TypeDNAME] != nil {
				b.fail(at+".name", "%s is below %s, whose DNAME leads all names below it elsewhere", r.Name, undot(up.String()))
				break
			}
		}
	}
}

// cellBelow returns a name of the cell below n, or nothing.
func (b *builder) cellBelow(n name) string {
	for _, s := range b.conf.Cell {
		if c, err := parseName(s); err == nil && c != n && c.below(n) {
			return s
		}
	}
	return ""
}
