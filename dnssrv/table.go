package dnssrv

import (
	"iter"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"pic/core/names"
	"pic/dnssrv/transfer"
)

// A Source is where a record of the cell's zones comes from.
type Source string

const (
	Cell        Source = "cell"        // the cell's own services
	Record      Source = "record"      // written by the user
	Peer        Source = "peer"        // a device of the VPN
	Reservation Source = "reservation" // a device with an address for good
	Lease       Source = "lease"       // a device with an address for now
	Link        Source = "link"        // told by another cell
	Updated     Source = "update"      // put there by a program (RFC 2136)
	Transferred Source = "primary"     // of a zone that others are the primaries of
)

// A table is all that the cell answers for. It is made of a Config by compile
// and never changes.
type table struct {
	conf      Config
	zones     map[name]*zone
	hosts     map[netip.Addr]string // names of declared devices, with the last dot
	elsewhere map[name]bool         // names of the cell outside of its zones
	routes    []route               // who is asked about all else
	care      care
	loops     []loop        // of the document's resolvers, those that are the cell itself
	abroad    map[name]bool // domains that others are asked about, wherever they are
	anchors   []*dns.DS     // of the document
	entries   []Entry
	ways      []*way // by which questions of some clients leave
	exitUp    func(string) bool
	home      string // the name of the cell's own addresses, with the last dot
	made      time.Time

	rate      int // queries of one client in a second; 0: no limit
	responses int // equal answers in a second to a network beyond LAN and VPN; 0: no limit

	base  map[name]*zone    // zones as the document has them
	snap  *names.Snapshot   // that the serials of zones count in
	peers map[name]*peering // of zones that others have a part in
	keys  transfer.Keys
	bad   map[string]error // keys that cannot be used
}

// zone returns the zone that answers a question for typ of n, nil if none does.
func (t *table) zone(n name, typ uint16) *zone {
	first := t.above(n)
	if typ == dns.TypeDS && first != nil && first.apex == n && n != root {
		// The parent's side knows, if it is here. If it is not, nobody is asked:
		// the names of the household are nobody's business.
		if z := t.above(n.parent()); z != nil {
			return z
		}
	}
	return first
}

// above returns the zone with the longest apex at or above n.
func (t *table) above(n name) *zone {
	for ; ; n = n.parent() {
		if t.abroad[n] {
			return nil
		}
		if z := t.zones[n]; z != nil || n == root {
			return z
		}
	}
}

// A moment is what a table is joined with for one question: who asks, and the
// names found out so far.
type moment struct {
	*table
	who   asker
	snap  *names.Snapshot
	do    bool // signatures are wanted (RFC 3225)
	whole bool // the client is who it says, so ANY may be answered in full
}

// local answers from the zones and from the names found out; ok is false where
// others must be asked.
func (m *moment) local(n name, typ uint16) (o outcome, ok bool) {
	if typ == dns.TypePTR {
		if four, ok := reverse64(m.care.dns64, n); ok {
			o.answer = []dns.RR{&dns.CNAME{
				Hdr:    dns.RR_Header{Name: n.String(), Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: defaultTTL},
				Target: four.String(),
			}}
			o.aa, o.further = true, four
			return o, true
		}
	}
	if z := m.zone(n, typ); z != nil {
		return z.find(m, n, typ), true
	}
	if m.elsewhere[n] {
		switch typ {
		case dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB:
			// The way within the house. What the world tells of the service
			// (RFC 9460) is about the way from outside, so there is none.
			if typ == dns.TypeA || typ == dns.TypeAAAA {
				o.answer = m.who.addresses(n.String(), typ)
			}
			o.aa = true
			return o, true
		}
	}
	at := m.found(n)
	if at == nil || at.empty() {
		return o, false
	}
	o.answer = owned(at.sets[typ], n.String())
	return o, true
}

// found returns the node of a name that is not in the document: told by a lease
// or another cell, or the reverse of an address.
func (m *moment) found(n name) *node {
	if p, ok := reverseOf(n); ok {
		return m.foundReverse(n, p)
	}
	s, ok := n.host()
	if !ok || m.snap == nil {
		return nil
	}
	h, ok := m.snap.Lookup(s)
	if !ok {
		if m.snap.Exists(s) {
			return &node{}
		}
		return nil
	}
	at := &node{sets: map[uint16][]dns.RR{}}
	for _, a := range h.Addrs {
		rr := address("", a, seconds(h))
		typ := rr.Header().Rrtype
		at.sets[typ] = append(at.sets[typ], rr)
	}
	return at
}

// foundReverse returns the node of a reverse name, which stands for p.
func (m *moment) foundReverse(n name, p netip.Prefix) *node {
	if p.IsSingleIP() {
		target, ttl := m.nameOf(p.Addr())
		if target == "" {
			return nil
		}
		return &node{sets: map[uint16][]dns.RR{dns.TypePTR: {&dns.PTR{
			Hdr: dns.RR_Header{Name: n.String(), Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttl},
			Ptr: target,
		}}}}
	}
	for a := range m.addresses() {
		if p.Contains(a) {
			return &node{} // there is something below
		}
	}
	return nil
}

// nameOf returns the best name of an address, with the last dot.
func (m *moment) nameOf(a netip.Addr) (string, uint32) {
	for own := range m.own() {
		if a == own {
			return m.home, cellTTL
		}
	}
	if s := m.hosts[a]; s != "" {
		return s, defaultTTL
	}
	if m.snap == nil {
		return "", 0
	}
	if all := m.snap.Names(a); len(all) > 0 {
		h, _ := m.snap.Lookup(all[0])
		return all[0] + ".", seconds(h)
	}
	return "", 0
}

// own yields the addresses of the cell itself.
func (m *moment) own() iter.Seq[netip.Addr] {
	all := []netip.Addr{loopback4, netip.IPv6Loopback(), m.conf.LAN.Addr(), m.who.four, m.who.six}
	all = append(all, m.conf.Tunnel...)
	return func(yield func(netip.Addr) bool) {
		for _, a := range all {
			if a.IsValid() && !yield(a) {
				return
			}
		}
	}
}

// addresses yields every address that has a name.
func (m *moment) addresses() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for a := range m.own() {
			if !yield(a) {
				return
			}
		}
		for a := range m.hosts {
			if !yield(a) {
				return
			}
		}
		if m.snap == nil {
			return
		}
		for _, h := range m.snap.Each() {
			for _, a := range h.Addrs {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// seconds is how long a client may remember a host that was found out. Leases
// move, so it is never long.
func seconds(h names.Host) uint32 {
	return uint32(min(max(h.TTL.Seconds(), 0), defaultTTL))
}
