package dnssrv

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"pic/dnssrv/transfer"
)

// pointers returns the reverse of the declared devices and of the cell, by zone.
func (t *table) pointers() map[name][]dns.RR {
	out := map[name][]dns.RR{}
	add := func(a netip.Addr, target string) {
		n := reverseName(netip.PrefixFrom(a, a.BitLen()))
		z := t.above(n)
		if z == nil || z.kind == Secondary {
			return
		}
		if at := z.nodes[n]; at == nil || at.empty() {
			out[z.apex] = append(out[z.apex], ptr(a, target))
		}
	}
	own := slices.Collect(t.outside().own())
	slices.SortFunc(own, netip.Addr.Compare)
	for _, a := range slices.Compact(own) {
		add(a, t.home)
	}
	for a, target := range t.hosts {
		if !slices.Contains(own, a) {
			add(a, target)
		}
	}
	return out
}

// discoveries yields the records of the names found out that are visible in the
// zones, with their zones.
func (t *table) discoveries() iter.Seq2[*zone, dns.RR] {
	return func(yield func(*zone, dns.RR) bool) {
		if t.snap == nil {
			return
		}
		m := t.outside()
		reversed := map[netip.Addr]bool{}
		for _, h := range t.snap.Each() {
			n, err := parseName(h.Name)
			if err != nil {
				continue
			}
			if z := m.free(n); z != nil {
				for _, a := range h.Addrs {
					if !yield(z, address(n.String(), a, seconds(h))) {
						return
					}
				}
			}
			for _, a := range h.Addrs {
				if reversed[a] || t.hosts[a] != "" {
					continue
				}
				reversed[a] = true
				r := reverseName(netip.PrefixFrom(a, a.BitLen()))
				target, ttl := m.nameOf(a)
				if z := m.free(r); z != nil && target != "" && target != t.home {
					rr := ptr(a, target)
					rr.Header().Ttl = ttl
					if !yield(z, rr) {
						return
					}
				}
			}
		}
	}
}

// free returns the zone where n may be found out, nil where it is taken.
func (t *table) free(n name) *zone {
	z := t.above(n)
	if z == nil || z.kind == Secondary {
		return nil
	}
	if at := z.nodes[n]; at != nil && !at.empty() {
		return nil
	}
	return z
}

// content returns all that the zone holds for the LAN, as others transfer it:
// signed where it is.
func (t *table) content(z *zone) (*transfer.Content, error) {
	var soa string
	var out []string
	for _, rr := range z.dump(t.outside()) {
		w, err := transfer.Wire(rr)
		if err != nil {
			return nil, err
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			soa = w
			continue
		}
		out = append(out, w)
	}
	return transfer.NewContent(soa, out), nil
}
