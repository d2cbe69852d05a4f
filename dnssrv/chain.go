package dnssrv

import (
	"slices"

	"github.com/miekg/dns"

	"pic/core/names"
	"pic/dnssrv/sign"
)

// A chain is all names of a zone that can have records, in the order of RFC 4034
// §6.1, with those found out by the time of a snapshot. In a reverse zone they
// depend on who asks, too.
type chain struct {
	snap  *names.Snapshot
	who   asker
	names []name
}

// signs reports whether answers of z are signed for who asks.
func (m *moment) signs(z *zone) bool { return m.do && (z.ring != nil || z.others != nil) }

// signed returns set with its signatures behind it, where they are wanted. They
// are copies, and set has its own name.
func (z *zone) signed(m *moment, set []dns.RR) []dns.RR {
	if len(set) == 0 || !m.signs(z) {
		return set
	}
	return append(set, z.sign(set)...)
}

// sign returns copies of the signatures of a set.
func (z *zone) sign(set []dns.RR) []dns.RR {
	if z.ring == nil {
		return z.theirs(set)
	}
	sigs, err := z.ring.Sign(set)
	if err != nil {
		return nil // what can be packed can be signed; validators see what is missing
	}
	var out []dns.RR
	for _, sig := range sigs {
		out = append(out, dns.Copy(sig))
	}
	return out
}

// signatures returns the signatures of all sets of a node.
func (z *zone) signatures(m *moment, at *node, own, n name) []dns.RR {
	var out []dns.RR
	for _, t := range z.types(m, own, at) {
		if set := at.set(m, own, t); len(set) > 0 {
			out = append(out, z.sign(set)...)
		}
	}
	if rr := z.nsec(m, n); own == n && rr != nil {
		out = append(out, z.sign([]dns.RR{rr})...)
	}
	for _, rr := range out {
		rr.Header().Name = n.String()
	}
	return out
}

// prove adds to ns the NSEC record that says what there is at n, or that there
// is nothing, unless it is there already or not wanted.
func (z *zone) prove(m *moment, ns []dns.RR, n name) []dns.RR {
	if !m.signs(z) {
		return ns
	}
	if z.ring == nil && z.others.nsec3 != nil {
		return z.deny(ns, n)
	}
	rr := z.nsec(m, z.owner(m, n))
	if rr == nil {
		return ns
	}
	return z.add(ns, []dns.RR{rr})
}

// nsec returns the NSEC record of n (RFC 4034 §4), nil where n has no records.
func (z *zone) nsec(m *moment, n name) dns.RR {
	types := z.types(m, n, z.at(m, n))
	if len(types) == 0 {
		return nil
	}
	if z.ring == nil {
		if set := z.nodes[n].sets[dns.TypeNSEC]; len(set) == 1 {
			return dns.Copy(set[0])
		}
		return nil
	}
	return &dns.NSEC{
		Hdr: dns.RR_Header{
			Name: n.String(), Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: min(z.soa.Hdr.Ttl, z.soa.Minttl), // RFC 9077
		},
		NextDomain: z.next(m, n).String(),
		TypeBitMap: merged(types, dns.TypeRRSIG, dns.TypeNSEC),
	}
}

func merged(types []uint16, more ...uint16) []uint16 {
	types = append(types[:len(types):len(types)], more...)
	slices.Sort(types)
	return slices.Compact(types)
}

// types returns the types that the zone itself answers with, signed, for a node
// and who asks, in order.
func (z *zone) types(m *moment, n name, at *node) []uint16 {
	if at == nil {
		return nil
	}
	if n != z.apex && at.sets[dns.TypeNS] != nil {
		var out []uint16
		for _, t := range []uint16{dns.TypeNS, dns.TypeDS, dns.TypeRRSIG, dns.TypeNSEC} {
			if at.sets[t] != nil {
				out = append(out, t)
			}
		}
		return out
	}
	var out []uint16
	for t, set := range at.sets {
		if len(set) > 0 {
			out = append(out, t)
		}
	}
	for t := range at.tunnel {
		if m.who.vpn {
			out = append(out, t)
		}
	}
	if at.cell {
		for t, a := range map[uint16]bool{dns.TypeA: m.who.four.IsValid(), dns.TypeAAAA: m.who.six.IsValid()} {
			if a {
				out = append(out, t)
			}
		}
	}
	if at.ddr && len(m.designations()) > 0 {
		out = append(out, dns.TypeSVCB)
	}
	return merged(out)
}

// owner returns the last name with records that is n or comes before it.
func (z *zone) owner(m *moment, n name) name {
	all := z.all(m)
	i, is := slices.BinarySearchFunc(all, n, compareNames)
	if !is {
		i--
	}
	for ; i > 0; i-- { // the first is the apex, which has records
		if len(z.types(m, all[i], z.at(m, all[i]))) > 0 {
			return all[i]
		}
	}
	return z.apex
}

// next returns the first name with records that comes after n, which has some;
// after the last that is the apex.
func (z *zone) next(m *moment, n name) name {
	all := z.all(m)
	i, is := slices.BinarySearchFunc(all, n, compareNames)
	if is {
		i++
	}
	for ; i < len(all); i++ {
		if len(z.types(m, all[i], z.at(m, all[i]))) > 0 {
			return all[i]
		}
	}
	return z.apex
}

func compareNames(a, b name) int { return sign.Compare(string(a), string(b)) }

// all returns the names of a zone that can have records at that moment.
func (z *zone) all(m *moment) []name {
	reverse := z.apex.below(arpa4) || z.apex.below(arpa6)
	want := chain{snap: m.snap}
	if reverse {
		want.who = m.who
	}
	if c := z.chain.Load(); c != nil && c.snap == want.snap && c.who == want.who {
		return c.names
	}
	want.names = slices.Clone(z.sorted)
	add := func(n name) {
		if n.below(z.apex) && m.above(n) == z && z.kind != Secondary && z.answers(n) {
			want.names = append(want.names, n)
		}
	}
	if reverse {
		for a := range m.addresses() {
			add(reverseOfAddr(a))
		}
	}
	if m.snap != nil && !reverse {
		for _, h := range m.snap.Each() {
			if n, err := parseName(h.Name); err == nil {
				add(n)
			}
		}
	}
	slices.SortFunc(want.names, compareNames)
	want.names = slices.Compact(want.names)
	z.chain.Store(&want)
	return want.names
}

// answers reports whether z answers for what is at n itself, so that it is
// signed: not below a delegation or a DNAME, though at one.
func (z *zone) answers(n name) bool {
	at, _ := z.above(n, dns.TypeDS)
	return at == "" || at == n
}

// place notes a name that has records.
func (z *zone) place(n name) {
	if z.answers(n) {
		z.sorted = append(z.sorted, n)
	}
	if _, what := z.above(n, dns.TypeA); what == dns.TypeNS && z.nodes[n].addressed() {
		z.glue = append(z.glue, n)
	}
}

// sort notes the names of z that have records.
func (z *zone) sort() {
	for n, at := range z.nodes {
		if !at.empty() {
			z.place(n)
		}
	}
	slices.SortFunc(z.sorted, compareNames)
	slices.SortFunc(z.glue, compareNames)
	z.presign()
}
