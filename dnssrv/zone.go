package dnssrv

import (
	"github.com/miekg/dns"
)

// A zone is what the cell answers for below one name. It is immutable once it
// is in use.
type zone struct {
	apex  name
	soa   *dns.SOA
	nodes map[name]*node // every name with data, and all between them and apex
}

// A node is a name of a zone. Without data it is an empty non-terminal.
type node struct {
	sets   map[uint16][]dns.RR
	tunnel map[uint16][]dns.RR // replaces sets for those who ask from the VPN
	cell   bool                // A and AAAA are the cell's own, by who asks
	ddr    bool                // SVCB tells the cell's encrypted resolvers, by who asks
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
	further name // the target of a CNAME that is still to be followed
}

// find answers the question for typ of n, which is z.apex or below it. found
// tells of names that came up since the zone was built, nil where there is none.
func (z *zone) find(n name, typ uint16, who asker, found func(name) *node) outcome {
	if ns := z.cut(n, typ); ns != "" {
		return z.referral(ns)
	}
	at := z.at(n, found)
	if at != nil {
		return z.answer(at, n, typ, who)
	}
	// RFC 4592 §3.3.1: the closest encloser's asterisk, if there is one.
	closest := n.parent()
	for z.at(closest, found) == nil {
		closest = closest.parent()
	}
	if star := z.nodes["\x01*"+closest]; star != nil {
		return z.answer(star, n, typ, who)
	}
	return outcome{rcode: dns.RcodeNameError, aa: true, ns: z.negative()}
}

// at returns what is at n: what the document says, else what was found out.
func (z *zone) at(n name, found func(name) *node) *node {
	at := z.nodes[n]
	if at != nil && !at.empty() || n == z.apex {
		return at
	}
	if f := found(n); f != nil {
		return f
	}
	return at
}

// cut returns the highest delegation at or above n, if there is one.
func (z *zone) cut(n name, typ uint16) name {
	var at name
	for m := n; m != z.apex; m = m.parent() {
		if m == n && typ == dns.TypeDS {
			continue // the parent's side knows (RFC 4035 §3.1.4.1)
		}
		if c := z.nodes[m]; c != nil && c.sets[dns.TypeNS] != nil {
			at = m
		}
	}
	return at
}

func (z *zone) referral(at name) outcome {
	o := outcome{ns: z.nodes[at].sets[dns.TypeNS]}
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
	return o
}

// answer is what the node at says to a question for n, which is its own name or
// one that its asterisk covers.
func (z *zone) answer(at *node, n name, typ uint16, who asker) outcome {
	o := outcome{aa: true}
	owner := n.String()
	if typ == dns.TypeANY && !at.empty() {
		o.answer = []dns.RR{minimal(owner)}
		return o
	}
	if set := at.get(dns.TypeCNAME, who); set != nil && typ != dns.TypeCNAME {
		o.answer = owned(set, owner)
		o.further, _ = parseName(set[0].(*dns.CNAME).Target)
		return o
	}
	if at.cell && (typ == dns.TypeA || typ == dns.TypeAAAA) {
		o.answer = who.addresses(owner, typ)
	} else {
		o.answer = owned(at.get(typ, who), owner)
	}
	if len(o.answer) == 0 {
		o.ns = z.negative()
	}
	return o
}

func (n *node) get(typ uint16, who asker) []dns.RR {
	if set, ok := n.tunnel[typ]; ok && who.vpn {
		return set
	}
	return n.sets[typ]
}

// negative is the authority section that lets a client remember that there is
// nothing (RFC 2308 §3).
func (z *zone) negative() []dns.RR {
	soa := *z.soa
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return []dns.RR{&soa}
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
