package dnssrv

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"pic/core/names"
	"pic/internal/order"
)

// An Entry is a record that the cell answers with, in words.
type Entry struct {
	Zone   string `json:"zone"`
	Name   string `json:"name"` // absolute, without the last dot
	Type   string `json:"type"`
	TTL    uint32 `json:"ttl"` // seconds
	Value  string `json:"value"`
	Source Source `json:"source"`
	// Asker says who gets it: "host", "lan" or "vpn"; empty is everybody.
	Asker string `json:"asker,omitempty"`
}

func (b *builder) list(z *zone, rr dns.RR, src Source, asker string) {
	if z.kind == Secondary {
		return // its primaries say what is in it
	}
	b.entries = append(b.entries, entry(z.apex, rr, src, asker))
}

// listCell notes the addresses of a name of the cell.
func (b *builder) listCell(z *zone, n name) {
	own := []struct {
		asker string
		addr  netip.Addr
	}{{"host", loopback4}, {"lan", b.conf.LAN.Addr()}}
	if b.conf.Loopback6 {
		own = slices.Insert(own, 1, own[0])
		own[1].addr = netip.IPv6Loopback()
	}
	for _, o := range own {
		if o.addr.IsValid() {
			b.list(z, address(n.String(), o.addr, cellTTL), Cell, o.asker)
		}
	}
	for _, a := range b.conf.Tunnel {
		b.list(z, address(n.String(), a, cellTTL), Cell, "vpn")
	}
}

func entry(zone name, rr dns.RR, src Source, asker string) Entry {
	h := rr.Header()
	return Entry{
		Zone: undot(zone.String()), Name: undot(h.Name), Type: typeName(h.Rrtype), TTL: h.Ttl,
		Value: content(rr), Source: src, Asker: asker,
	}
}

func undot(s string) string { return strings.TrimSuffix(s, ".") }

// all returns the entries of the table and of the names found out, by zone and
// name.
func (t *table) all(snap *names.Snapshot) []Entry {
	out := slices.Clone(t.entries)
	for _, z := range t.zones {
		z.entriesOf(func(e Entry) { out = append(out, e) })
	}
	if snap != nil {
		m := moment{table: t, snap: snap}
		for src, h := range snap.Each() {
			out = append(out, m.discovered(src, h)...)
		}
	}
	order.Stable(out, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Zone, b.Zone), strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type))
	})
	return out
}

// discovered returns the entries of a host that was found out, as far as they
// are visible.
func (m *moment) discovered(src names.Source, h names.Host) []Entry {
	n, err := parseName(h.Name)
	if err != nil {
		return nil
	}
	source := Lease
	if src == names.Links {
		source = Link
	}
	zone := n.parent()
	if z := m.above(n); z != nil {
		zone = z.apex
		if at := z.nodes[n]; at != nil && !at.empty() {
			return nil // the document has that name
		}
	}
	var out []Entry
	for _, a := range h.Addrs {
		out = append(out, entry(zone, address(n.String(), a, seconds(h)), source, ""))
	}
	return out
}
