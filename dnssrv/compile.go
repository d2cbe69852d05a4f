package dnssrv

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv/sign"
)

const (
	defaultTTL = 300 // of declared records, in seconds
	// negativeTTL is how long a client may remember that a name is not there:
	// not long, for leases come at any time.
	negativeTTL = 60
)

// A version is what a table is made of besides a Config.
type version struct {
	serial uint32                     // of every zone
	ring   func(zone name) *sign.Ring // what signs a zone, nil for those that are not; nil: none is
}

// compile makes the table that c describes, signed by nobody.
func compile(c Config, serial uint32) (*table, error) { return version{serial: serial}.compile(c) }

// compile makes the table that c describes. The error joins all that is wrong,
// each a [config.FieldError].
func (v version) compile(c Config) (*table, error) {
	if v.ring == nil {
		v.ring = func(name) *sign.Ring { return nil }
	}
	b := builder{
		table: &table{
			conf: c, zones: map[name]*zone{}, hosts: map[netip.Addr]string{}, elsewhere: map[name]bool{},
		},
		version: v,
	}
	if r := c.DNS.Rate; r != nil {
		b.rate = *r
	}
	if r := c.DNS.Responses; r != nil {
		b.responses = *r
	}
	if c.Domain != "" {
		b.build()
	}
	b.upstreams(c)
	b.ways(c)
	b.peers = c.peerings()
	b.trusted(c)
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	return b.table, nil
}

type builder struct {
	*table
	version
	domain name
	hosted []hosted // addresses that records of the document give
	errs   []error

	special map[name]bool // zones that nobody has asked for
}

// A hosted is an address that a record gives a name.
type hosted struct {
	zone *zone
	name name
	addr netip.Addr
}

func (b *builder) build() {
	domain, err := parseName(b.conf.Domain)
	if err != nil || domain == root {
		b.fail("cell.domain", "%q is not a domain name", b.conf.Domain)
		return
	}
	b.domain = domain
	b.home = "home." + domain.String()
	b.own()
	b.further()
	b.around()
	for i, r := range b.conf.Records {
		b.record(b.zones[domain], r, fmt.Sprintf("dns.records.%d", i))
	}
	for i, z := range b.conf.Zones {
		if n, err := parseName(z.Name); err == nil && b.zones[n] != nil {
			for j, r := range z.Records {
				b.record(b.zones[n], r, fmt.Sprintf("dns.zones.%d.records.%d", i, j))
			}
		}
	}
	b.together(b.zones[domain], b.conf.Records, "dns.records")
	for i, z := range b.conf.Zones {
		if n, err := parseName(z.Name); err == nil {
			b.together(b.zones[n], z.Records, fmt.Sprintf("dns.zones.%d.records", i))
		}
	}
	if len(b.errs) > 0 {
		return
	}
	b.cell()
	b.resolver()
	for _, h := range b.conf.Hosts {
		b.host(h)
	}
	b.back()
	b.mail()
	b.texts()
	for _, z := range b.zones {
		b.finish(z)
	}
	for _, z := range b.zones {
		b.delegate(z)
	}
	for _, z := range b.zones {
		z.sort()
	}
}

func (b *builder) fail(path, format string, args ...any) {
	b.errs = append(b.errs, &config.FieldError{Path: path, Problem: fmt.Sprintf(format, args...)})
}

// add makes a zone, unless there is one.
func (b *builder) add(apex name) *zone {
	z := b.zones[apex]
	if z != nil {
		return z
	}
	ns := "dns." + b.domain.String()
	z = newZone(apex, &dns.SOA{
		Hdr:    dns.RR_Header{Name: apex.String(), Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: defaultTTL},
		Ns:     ns,
		Mbox:   "hostmaster." + b.domain.String(),
		Serial: b.serial, Refresh: 3600, Retry: 600, Expire: 7 * 24 * 3600, Minttl: negativeTTL,
	})
	b.zones[apex] = z
	return z
}

func (b *builder) own() {
	z := b.add(b.domain)
	z.kind = Own
	for _, label := range []string{"lan", "vpn"} {
		z.node(mustName(label + "." + b.domain.String())) // there even while empty
	}
}

// further adds the zones of the document.
func (b *builder) further() {
	for i, z := range b.conf.Zones {
		path := fmt.Sprintf("dns.zones.%d.name", i)
		n, err := parseName(z.Name)
		switch {
		case err != nil || n == root || strings.ContainsFunc(z.Name, odd):
			b.fail(path, "%q is not a domain name", z.Name)
		case n == b.domain:
			b.fail(path, "%s is the cell's own domain; put its records under dns.records", z.Name)
		case b.zones[n] != nil:
			b.fail(path, "%s is there twice", z.Name)
		default:
			b.add(n).kind = Document
			if len(z.Primaries) > 0 {
				b.zones[n].kind = Secondary
				b.zones[n].absent = true
			}
		}
	}
}

// around adds the reverse zones of the cell's networks and the special zones.
func (b *builder) around() {
	for _, p := range append([]netip.Prefix{b.conf.LAN}, b.conf.VPN...) {
		if p.IsValid() {
			for _, n := range reverseZones(p) {
				if z := b.add(n); z.kind == "" {
					z.kind = Reverse
				}
			}
		}
	}
	b.reserve()
}

// set adds a record to the set that it belongs to, whose TTL is the least of
// its records' (RFC 2181 §5.2).
func (b *builder) set(z *zone, rr dns.RR) {
	at := z.node(mustName(rr.Header().Name))
	if at.sets == nil {
		at.sets = map[uint16][]dns.RR{}
	}
	at.sets[rr.Header().Rrtype] = merge(at.sets[rr.Header().Rrtype], rr)
}

func merge(set []dns.RR, rr dns.RR) []dns.RR {
	set = append(set, rr)
	if rr.Header().Rrtype == dns.TypeRRSIG {
		return set // each has the TTL of what it signs (RFC 4034 §3)
	}
	ttl := rr.Header().Ttl
	for _, r := range set {
		ttl = min(ttl, r.Header().Ttl)
	}
	for _, r := range set {
		r.Header().Ttl = ttl
	}
	return set
}

// cell adds the names of the cell itself. Where the user wrote an address or a
// CNAME for one of them, theirs counts.
func (b *builder) cell() {
	for _, s := range b.conf.Cell {
		n, err := parseName(s)
		if err != nil || n == root {
			continue
		}
		z := b.above(n)
		if z == nil {
			b.elsewhere[n] = true
			continue
		}
		if at := z.node(n); !at.addressed() {
			at.cell = true
			b.listCell(z, n)
		}
	}
}

// addressed reports whether the node says where its name is.
func (n *node) addressed() bool {
	return n.cell || n.sets[dns.TypeA] != nil || n.sets[dns.TypeAAAA] != nil || n.sets[dns.TypeCNAME] != nil
}

// host adds a declared device.
func (b *builder) host(h Host) {
	for i, s := range append([]string{h.Name}, h.Also...) {
		n, err := parseName(s)
		if err != nil {
			continue
		}
		z := b.above(n)
		if z == nil {
			continue
		}
		at := z.node(n)
		if at.addressed() || i > 0 && !at.empty() {
			continue
		}
		for _, a := range h.Addrs {
			if !a.IsValid() {
				continue
			}
			rr := address(n.String(), a, defaultTTL)
			b.set(z, rr)
			b.list(z, rr, h.Source, "")
			if b.hosts[a] == "" {
				b.hosts[a] = n.String()
				if rz := b.above(reverseName(netip.PrefixFrom(a, a.BitLen()))); rz != nil {
					b.list(rz, ptr(a, n.String()), h.Source, "")
				}
			}
		}
	}
}

// back lets the addresses of the document's records lead back to their names,
// where they are in a reverse zone of ours and nothing else has them.
func (b *builder) back() {
	for _, h := range b.hosted {
		rz := b.above(reverseOfAddr(h.addr))
		_, elsewhere := h.zone.above(h.name, dns.TypeA) // then it is glue
		if b.hosts[h.addr] != "" || rz == nil || elsewhere != 0 || b.above(h.name) != h.zone {
			continue
		}
		b.hosts[h.addr] = h.name.String()
		if at := rz.nodes[reverseOfAddr(h.addr)]; at == nil || at.empty() {
			b.list(rz, ptr(h.addr, h.name.String()), Record, "")
		}
	}
}

func ptr(a netip.Addr, target string) dns.RR {
	return &dns.PTR{Hdr: dns.RR_Header{
		Name: reverseName(netip.PrefixFrom(a, a.BitLen())).String(), Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: defaultTTL,
	}, Ptr: target}
}

// finish gives a zone its SOA, name server and keys.
func (b *builder) finish(z *zone) {
	b.set(z, z.soa)
	if z.nodes[z.apex].sets[dns.TypeNS] == nil {
		b.set(z, &dns.NS{
			Hdr: dns.RR_Header{Name: z.apex.String(), Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: defaultTTL},
			Ns:  z.soa.Ns,
		})
	}
	if z.ring = b.ring(z.apex); z.ring != nil {
		for _, rr := range z.ring.Apex() {
			b.set(z, dns.Copy(rr))
		}
	}
}

// delegate gives a zone its place in the zone above it: a delegation, so that
// its names can be told from names that are not there, and who signs it.
func (b *builder) delegate(z *zone) {
	if z.apex == root {
		return
	}
	up := b.above(z.apex.parent())
	if up == nil {
		return
	}
	at := up.node(z.apex)
	if at.sets[dns.TypeNS] == nil {
		for _, rr := range z.nodes[z.apex].sets[dns.TypeNS] {
			b.set(up, dns.Copy(rr))
		}
	}
	if z.ring != nil && at.sets[dns.TypeDS] == nil {
		for _, rr := range z.ring.Anchors() {
			b.set(up, dns.Copy(rr))
		}
	}
}
