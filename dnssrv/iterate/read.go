package iterate

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// A kind is what a message means to somebody who follows delegations.
type kind uint8

const (
	failed   kind = iota // the server says that it cannot or will not
	lame                 // it does not know the zone that it is asked about
	answered             // here are the records
	denied               // there are none, or there is no such name
	aliased              // another name has them, and the message does not say which
	referred             // others know
	looped               // the aliases of the message lead nowhere
)

// A query is what is asked of the servers of a zone.
type query struct {
	zone  string
	name  string
	typ   uint16
	do    bool
	prime bool              // it is about who serves the root
	leave func(string) bool // whether an alias leads to where somebody else goes on; nil: nowhere
}

// A reading is what a message says within the bailiwick of the zone whose
// servers were asked: nothing in it is about names that are not below that.
type reading struct {
	kind   kind
	rcode  int
	answer []dns.RR // the aliases, one after the other, and the records
	ns     []dns.RR // what denies, and what proves wildcards
	next   string   // of aliased: the name that has them; of others the last one
	hops   int      // aliases in answer
	cut    *cut     // of referred, and of who serves the root; without the time
	ttl    uint32   // of cut, in seconds
	shaky  bool     // whether the server knows the zone is not sure: it resolves for others (RA and no AA), or says nothing at all
}

// read finds out what m, a reply to q, means. It never changes m.
func read(q query, m *dns.Msg) reading {
	switch m.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
	default:
		return reading{kind: failed, rcode: m.Rcode}
	}
	r := reader{q: q, m: m, byOwner: map[string][]dns.RR{}}
	r.rcode, r.shaky = m.Rcode, m.RecursionAvailable && !m.Authoritative
	for _, rr := range m.Answer {
		if owner, ok := r.within(rr); ok {
			r.byOwner[owner] = append(r.byOwner[owner], rr)
		}
	}
	r.chain()
	if r.kind == failed {
		r.end()
	}
	if r.kind == answered && q.prime {
		r.servers(m.Answer, q.name)
	}
	if r.kind != referred && r.kind != lame {
		r.proofs()
	}
	return r.reading
}

type reader struct {
	reading
	q       query
	m       *dns.Msg
	byOwner map[string][]dns.RR
}

// within returns the owner of rr, where it is one that servers of the zone may
// speak about.
func (r *reader) within(rr dns.RR) (string, bool) {
	h := rr.Header()
	owner := dns.CanonicalName(h.Name)
	return owner, h.Class == dns.ClassINET && below(owner, r.q.zone)
}

// chain follows the aliases of the answer from the question on.
func (r *reader) chain() {
	r.next = r.q.name
	seen := map[string]bool{}
	for r.next != "" {
		if seen[r.next] || r.hops > maxAliases {
			r.kind = looped
			return
		}
		seen[r.next] = true
		if r.take(r.next, r.q.typ) {
			r.kind, r.rcode = answered, dns.RcodeSuccess
			return
		}
		to, ok := r.alias(r.next)
		if !ok {
			return
		}
		r.hops++
		r.next = to
		if !below(to, r.q.zone) || r.q.leave != nil && r.q.leave(to) {
			r.kind, r.rcode = aliased, dns.RcodeSuccess
			return
		}
	}
	r.kind = looped // a DNAME makes of it what is no name
}

// take moves the records of that owner and type, with their signatures, to the
// answer.
func (r *reader) take(owner string, typ uint16) bool {
	found := false
	for _, rr := range r.byOwner[owner] {
		if t := rr.Header().Rrtype; t == typ || typ == dns.TypeANY {
			r.answer = append(r.answer, rr)
			found = true
		}
	}
	if found && typ != dns.TypeANY && typ != dns.TypeRRSIG {
		r.sign(owner, typ)
	}
	return found
}

func (r *reader) sign(owner string, typ uint16) {
	for _, rr := range r.byOwner[owner] {
		if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == typ {
			r.answer = append(r.answer, rr)
		}
	}
}

// alias takes the CNAME at owner, or the DNAME above it and what follows from it
// (RFC 6672 §3.4), and returns where that leads: nowhere, if the name is too
// long.
func (r *reader) alias(owner string) (to string, ok bool) {
	for up := owner; up != "." && up != r.q.zone; {
		up = parent(up)
		for _, rr := range r.byOwner[up] {
			d, is := rr.(*dns.DNAME)
			if !is {
				continue
			}
			to = substitute(owner, up, dns.CanonicalName(d.Target))
			if !slices.Contains(r.answer, rr) {
				r.answer = append(r.answer, rr)
				r.sign(up, dns.TypeDNAME)
			}
			if to != "" {
				r.answer = append(r.answer, &dns.CNAME{
					Hdr:    dns.RR_Header{Name: owner, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: d.Hdr.Ttl},
					Target: to,
				})
			}
			return to, true
		}
	}
	for _, rr := range r.byOwner[owner] {
		if c, is := rr.(*dns.CNAME); is {
			r.answer = append(r.answer, c)
			r.sign(owner, dns.TypeCNAME)
			return dns.CanonicalName(c.Target), true
		}
	}
	return "", false
}

// substitute replaces the end of name by to (RFC 6672 §2.2); nothing, where that
// is no name.
func substitute(name, end, to string) string {
	out := name[:len(name)-len(end)]
	if end == "." {
		out = name
	}
	if to != "." {
		out += to
	}
	if _, ok := dns.IsDomainName(out); !ok {
		return ""
	}
	var b [256]byte
	if n, err := dns.PackDomainName(out, b[:], 0, nil, false); err != nil || n > 255 {
		return ""
	}
	return out
}

// end judges a message without records for the last name of the chain.
func (r *reader) end() {
	soa := false
	var deeper, above string // the owners of NS records, below the zone and not
	for _, rr := range r.m.Ns {
		owner, ok := r.within(rr)
		switch rr.(type) {
		case *dns.SOA:
			soa = soa || ok && below(r.next, owner)
		case *dns.NS:
			switch {
			case ok && owner != r.q.zone && below(r.next, owner):
				if len(owner) > len(deeper) {
					deeper = owner
				}
			default:
				above = owner
			}
		}
	}
	switch {
	case r.rcode == dns.RcodeNameError, soa:
		r.kind = denied
	case r.hops > 0:
		r.kind = aliased // to be asked about by itself
	case deeper != "" && r.q.typ == dns.TypeDS && deeper == r.q.name:
		r.kind = denied // it does not know DNSSEC
	case deeper != "":
		r.kind = referred
		r.servers(r.m.Ns, deeper)
	case above == "", above == r.q.zone:
		r.kind, r.shaky = denied, r.shaky || !r.m.Authoritative
	default:
		r.kind = lame
	}
}

// servers reads who serves zone. Addresses count for it alone.
func (r *reader) servers(section []dns.RR, zone string) {
	r.ttl = uint32(maxLife.Seconds())
	c := &cut{zone: zone}
	seen := map[string]int{}
	for _, rr := range section {
		ns, ok := rr.(*dns.NS)
		if owner, in := r.within(rr); !ok || !in || owner != zone {
			continue
		}
		host := dns.CanonicalName(ns.Ns)
		if _, twice := seen[host]; twice || host == "." {
			continue
		}
		r.ttl = min(r.ttl, bound(ns.Hdr.Ttl))
		seen[host] = len(c.targets)
		c.targets = append(c.targets, target{name: host})
	}
	r.ttl = min(r.ttl, glue(c, seen, r.m.Extra, r.q.zone))
	c.targets = few(c.targets)
	r.cut = c
}

// glue gives the targets of c the addresses of a message from the servers of
// zone, and returns how long they count, in seconds.
func glue(c *cut, at map[string]int, extra []dns.RR, zone string) uint32 {
	ttl := uint32(maxLife.Seconds())
	for _, rr := range extra {
		h := rr.Header()
		owner := dns.CanonicalName(h.Name)
		i, ok := at[owner]
		if !ok || h.Class != dns.ClassINET || !below(owner, zone) {
			continue
		}
		a := addressOf(rr)
		t := &c.targets[i]
		if !a.IsValid() || slices.Contains(t.glue, a) || t.count(a) >= maxAddrs {
			continue
		}
		t.glue = append(t.glue, a)
		ttl = min(ttl, bound(h.Ttl))
	}
	return ttl
}

// few picks the name servers that are looked at where a delegation has more:
// those with addresses first, and otherwise any.
func few(all []target) []target {
	if len(all) <= maxTargets {
		return all
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b target) int { return min(len(b.glue), 1) - min(len(a.glue), 1) })
	return slices.Clone(all[:maxTargets])
}

// proofs takes from the authority section what denies: the SOA, and NSEC and
// NSEC3 records with their signatures.
func (r *reader) proofs() {
	for _, rr := range r.m.Ns {
		owner, ok := r.within(rr)
		if !ok {
			continue
		}
		typ := rr.Header().Rrtype
		if sig, is := rr.(*dns.RRSIG); is {
			typ = sig.TypeCovered
		}
		switch typ {
		case dns.TypeSOA:
			if r.kind == denied && below(r.next, owner) {
				r.ns = append(r.ns, rr)
			}
		case dns.TypeNSEC, dns.TypeNSEC3:
			r.ns = append(r.ns, rr)
		}
	}
}

// bound brings a TTL into bounds (RFC 2181 §8).
func bound(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}

// addressOf returns the address that rr has, the zero value where it has none.
func addressOf(rr dns.RR) netip.Addr {
	var a netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		a, _ = netip.AddrFromSlice(rr.A.To4())
	case *dns.AAAA:
		a, _ = netip.AddrFromSlice(rr.AAAA.To16())
		if a.Is4In6() {
			return netip.Addr{}
		}
	}
	return a
}
