package dnssrv

import (
	"sync/atomic"

	"github.com/miekg/dns"

	"pic/dnssrv/sign"
)

// A zone is what the cell answers for below one name. It is immutable once it
// is in use.
type zone struct {
	apex  name
	kind  Kind // empty: one of those that only keep names in the house
	soa   *dns.SOA
	nodes map[name]*node // every name with data, and all between them and apex
	ring  *sign.Ring     // signs it; nil: the cell does not

	sorted []name                // of nodes with data that z answers for, in the order of RFC 4034 §6.1
	glue   []name                // of hosts at and below delegations, in the same order
	others *presigned            // how others signed it; nil: they did not
	chain  atomic.Pointer[chain] // sorted and what was found out, as last needed

	absent bool   // others are its primaries, and have not told it yet, or too long ago
	sum    uint64 // of what it holds; see keeper
}

// A node is a name of a zone. Without data it is an empty non-terminal.
type node struct {
	sets   map[uint16][]dns.RR
	tunnel map[uint16][]dns.RR // replaces sets for those who ask from the VPN
	cell   bool                // A and AAAA are the cell's own, by who asks
	ddr    bool                // SVCB tells the cell's encrypted resolvers, by who asks

	dynamic map[uint16][]dns.RR // those of sets that updates put there
}

func (n *node) empty() bool { return len(n.sets) == 0 && len(n.tunnel) == 0 && !n.cell && !n.ddr }

func newZone(apex name, soa *dns.SOA) *zone {
	return &zone{apex: apex, soa: soa, nodes: map[name]*node{apex: {}}}
}

// node returns the node of n, which is within z, making it and those above it.
func (z *zone) node(n name) *node {
	if at := z.nodes[n]; at != nil {
		return at
	}
	at := &node{}
	z.nodes[n] = at
	z.node(n.parent())
	return at
}

// An outcome is what one zone knows of a question.
type outcome struct {
	rcode   int
	aa      bool
	answer  []dns.RR
	ns      []dns.RR
	extra   []dns.RR
	ede     *ede
	further name // the target of a CNAME that is still to be followed
}

// star is the name of the wildcard below n.
func star(n name) name { return "\x01*" + n }

// find answers the question for typ of n, which is z.apex or below it, at a
// moment.
func (z *zone) find(m *moment, n name, typ uint16) outcome {
	if z.absent {
		return outcome{rcode: dns.RcodeServerFailure, ede: edeAbsent}
	}
	switch at, what := z.above(n, typ); what {
	case dns.TypeNS:
		return z.referral(m, at)
	case dns.TypeDNAME:
		return z.redirect(m, at, n, typ)
	}
	if at := z.at(m, n); at != nil {
		return z.answer(m, at, n, n, typ)
	}
	// RFC 4592 §3.3.1: the closest encloser's asterisk, if there is one.
	closest := n.parent()
	for z.at(m, closest) == nil {
		closest = closest.parent()
	}
	if at := z.nodes[star(closest)]; at != nil {
		o := z.answer(m, at, star(closest), n, typ)
		o.ns = z.prove(m, o.ns, n) // that there is nothing closer (RFC 4035 §3.1.3.3)
		return o
	}
	o := outcome{rcode: dns.RcodeNameError, aa: true, ns: z.negative(m)}
	o.ns = z.prove(m, o.ns, n)
	o.ns = z.prove(m, o.ns, star(closest))
	return o
}

// at returns what is at n: what the document says, else what was found out.
func (z *zone) at(m *moment, n name) *node {
	at := z.nodes[n]
	if at != nil && !at.empty() || n == z.apex || z.kind == Secondary {
		return at
	}
	if f := m.found(n); f != nil {
		return f
	}
	return at
}

// above returns the highest name at or above n where others take over, and the
// type of the record that says so: NS at a delegation, DNAME above n where all
// that is below leads elsewhere. It is 0 where z itself answers for n.
func (z *zone) above(n name, typ uint16) (at name, what uint16) {
	for m := n; m != z.apex; m = m.parent() {
		c := z.nodes[m]
		switch {
		case c == nil:
		case m == n && typ == dns.TypeDS: // the parent's side knows (RFC 4035 §3.1.4.1)
		case c.sets[dns.TypeNS] != nil:
			at, what = m, dns.TypeNS
		case c.sets[dns.TypeDNAME] != nil && m != n:
			at, what = m, dns.TypeDNAME
		}
	}
	if z.nodes[z.apex].sets[dns.TypeDNAME] != nil && n != z.apex {
		return z.apex, dns.TypeDNAME
	}
	return at, what
}

func (z *zone) referral(m *moment, at name) outcome {
	cut := z.nodes[at]
	o := outcome{ns: cut.sets[dns.TypeNS]}
	for _, rr := range o.ns {
		target, err := parseName(rr.(*dns.NS).Ns)
		if err != nil || !target.below(z.apex) {
			continue
		}
		if glue := z.nodes[target]; glue != nil {
			o.extra = append(o.extra, glue.sets[dns.TypeA]...)
			o.extra = append(o.extra, glue.sets[dns.TypeAAAA]...)
		}
	}
	if !m.signs(z) {
		return o
	}
	o.ns = o.ns[:len(o.ns):len(o.ns)]
	if ds := cut.sets[dns.TypeDS]; ds != nil {
		o.ns = append(o.ns, z.signed(m, owned(ds, at.String()))...)
	} else {
		o.ns = z.prove(m, o.ns, at) // that the child is not signed
	}
	return o
}

// redirect answers for n, which is below the DNAME at at (RFC 6672 §3).
func (z *zone) redirect(m *moment, at, n name, typ uint16) outcome {
	set := owned(z.nodes[at].sets[dns.TypeDNAME], at.String())
	o := outcome{aa: true, answer: z.signed(m, set)}
	to, err := parseName(set[0].(*dns.DNAME).Target)
	if err != nil {
		return outcome{rcode: dns.RcodeServerFailure}
	}
	target := n[:len(n)-len(at)] + to
	if len(target) > maxName {
		o.rcode = dns.RcodeYXDomain
		return o
	}
	o.answer = append(o.answer, &dns.CNAME{
		Hdr:    dns.RR_Header{Name: n.String(), Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: set[0].Header().Ttl},
		Target: target.String(),
	})
	if typ != dns.TypeCNAME && typ != dns.TypeANY {
		o.further = target
	}
	return o
}

// answer is what the node at, whose name is own, says to a question for n: the
// same name, or one that its asterisk covers.
func (z *zone) answer(m *moment, at *node, own, n name, typ uint16) outcome {
	o := outcome{aa: true}
	switch {
	case typ == dns.TypeANY && !at.empty() && !m.whole:
		o.answer = []dns.RR{minimal(n.String())}
		return o
	case typ == dns.TypeANY:
		for _, t := range z.types(m, own, at) {
			if t == dns.TypeRRSIG && m.signs(z) {
				continue // each set has its own
			}
			o.answer = append(o.answer, z.renamed(m, at, own, n, t)...)
		}
	case typ == dns.TypeRRSIG && z.ring != nil:
		o.answer = z.signatures(m, at, own, n)
	case typ == dns.TypeNSEC && z.ring != nil && own == n:
		if rr := z.nsec(m, n); rr != nil {
			o.answer = z.signed(m, []dns.RR{rr})
		}
	case typ != dns.TypeCNAME && at.get(dns.TypeCNAME, m.who) != nil:
		o.answer = z.renamed(m, at, own, n, dns.TypeCNAME)
		o.further, _ = parseName(at.get(dns.TypeCNAME, m.who)[0].(*dns.CNAME).Target)
		return o
	default:
		o.answer = z.renamed(m, at, own, n, typ)
	}
	if len(o.answer) == 0 {
		o.ns = z.prove(m, z.negative(m), own)
	}
	return o
}

// renamed returns one set of a node for a question for n, signed if that is
// wanted. The records are the caller's own.
func (z *zone) renamed(m *moment, at *node, own, n name, typ uint16) []dns.RR {
	set := z.signed(m, at.set(m, own, typ))
	if own == n {
		return set
	}
	owner := n.String()
	for _, rr := range set {
		rr.Header().Name = owner
	}
	return set
}

// set returns copies of one set of the node n, whose name is own, for who asks.
func (n *node) set(m *moment, own name, typ uint16) []dns.RR {
	switch {
	case n.cell && (typ == dns.TypeA || typ == dns.TypeAAAA):
		return m.who.addresses(own.String(), typ)
	case n.ddr && typ == dns.TypeSVCB:
		return m.designated(own)
	}
	return owned(n.get(typ, m.who), own.String())
}

func (n *node) get(typ uint16, who asker) []dns.RR {
	if set, ok := n.tunnel[typ]; ok && who.vpn {
		return set
	}
	return n.sets[typ]
}

// negative is the authority section that lets a client remember that there is
// nothing (RFC 2308 §3).
func (z *zone) negative(m *moment) []dns.RR {
	soa := *z.soa
	out := z.signed(m, []dns.RR{&soa})
	for _, rr := range out { // after the signature, which is that of the SOA
		rr.Header().Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	}
	return out
}

// owned returns copies of set with another owner.
func owned(set []dns.RR, owner string) []dns.RR {
	out := make([]dns.RR, 0, len(set))
	for _, rr := range set {
		c := dns.Copy(rr)
		c.Header().Name = owner
		out = append(out, c)
	}
	return out
}

// minimal is the answer to ANY (RFC 8482 §4.2).
func minimal(owner string) dns.RR {
	return &dns.HINFO{
		Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: 3600},
		Cpu: "RFC8482",
	}
}
