package signedtest

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// A World is a tree of zones. Once somebody asks, change it, and its zones, within
// [World.Change] only.
type World struct {
	Root *Zone
	// Edit, if not nil, may change each answer before it is given.
	Edit func(q dns.Question, m *dns.Msg)

	mu    sync.Mutex
	asked map[dns.Question]int
}

// Fetch answers as a validate.Fetch.
func (w *World) Fetch(_ context.Context, name string, typ uint16) (*dns.Msg, error) {
	return w.Ask(name, typ), nil
}

// Change runs f while nobody is answered.
func (w *World) Change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// Asked returns how often the question was asked.
func (w *World) Asked(name string, typ uint16) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[dns.Question{Name: name, Qtype: typ, Qclass: dns.ClassINET}]
}

// Ask answers a question, from a copy of what the zones have.
func (w *World) Ask(name string, typ uint16) *dns.Msg {
	name = dns.CanonicalName(name)
	q := dns.Question{Name: name, Qtype: typ, Qclass: dns.ClassINET}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked == nil {
		w.asked = map[dns.Question]int{}
	}
	w.asked[q]++
	m := &dns.Msg{Question: []dns.Question{q}}
	m.Response, m.RecursionAvailable, m.RecursionDesired = true, true, true
	at := name
	for range 20 {
		next := w.zone(at, typ).answer(m, at, typ)
		if next == "" {
			break
		}
		at = next
	}
	if w.Edit != nil {
		w.Edit(q, m)
	}
	b, err := m.Pack() // nobody shall change the zones' own
	if err != nil {
		panic(err)
	}
	out := new(dns.Msg)
	if err := out.Unpack(b); err != nil {
		panic(err)
	}
	return out
}

// zone returns the zone that answers for n.
func (w *World) zone(n string, typ uint16) *Zone {
	z := w.Root
next:
	for {
		for _, c := range z.children {
			if dns.IsSubDomain(c.Apex, n) && (typ != dns.TypeDS || c.Apex != n) {
				z = c
				continue next
			}
		}
		return z
	}
}

// answer adds to m what the zone says of n, and returns where an alias leads.
func (z *Zone) answer(m *dns.Msg, n string, typ uint16) (next string) {
	for at := n; at != z.Apex; {
		at = parent(at)
		if d := z.set(at, dns.TypeDNAME); d != nil {
			target := strings.TrimSuffix(n, at) + d[0].(*dns.DNAME).Target
			m.Answer = append(m.Answer, d...)
			m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: n, Rrtype: dns.TypeCNAME, Class: 1, Ttl: z.TTL}, Target: target})
			return target
		}
	}
	from := n
	if !slices.Contains(z.names(true), n) {
		from = z.encloser(n)
		star := "*." + strings.TrimPrefix(from, ".")
		if _, ok := z.Records[star]; !ok {
			m.Rcode = dns.RcodeNameError
			z.deny(m, n, n, star)
			return ""
		}
		z.denyCloser(m, n, from)
		from = star
	}
	if typ == dns.TypeANY {
		for _, t := range z.types(from) {
			m.Answer = append(m.Answer, z.as(n, from, t)...)
		}
		return ""
	}
	if rrs := z.as(n, from, typ); rrs != nil {
		m.Answer = append(m.Answer, rrs...)
		return ""
	}
	if c := z.as(n, from, dns.TypeCNAME); c != nil {
		m.Answer = append(m.Answer, c...)
		return c[0].(*dns.CNAME).Target
	}
	z.deny(m, n, from)
	return ""
}

// encloser returns the closest name above n that exists.
func (z *Zone) encloser(n string) string {
	all := z.names(true)
	for !slices.Contains(all, n) {
		n = parent(n)
	}
	return n
}

// deny adds the SOA and proofs about the names.
func (z *Zone) deny(m *dns.Msg, n string, about ...string) {
	m.Ns = append(m.Ns, z.set(z.Apex, dns.TypeSOA)...)
	if len(z.Keys) == 0 {
		return
	}
	if z.NSEC3 != nil {
		if e := z.encloser(n); e != n {
			about = slices.DeleteFunc(about, func(s string) bool { return s == n })
			about = append(about, e, z.nextCloser(n, e))
		} else if z.OptOut && z.insecure[n] {
			about = append(about, parent(n))
		}
	}
	for _, a := range about {
		z.prove(m, a)
	}
}

func (z *Zone) nextCloser(n, encloser string) string {
	for parent(n) != encloser {
		n = parent(n)
	}
	return n
}

func (z *Zone) denyCloser(m *dns.Msg, n, encloser string) {
	switch {
	case len(z.Keys) == 0:
	case z.NSEC3 != nil:
		z.prove(m, z.nextCloser(n, encloser))
	default:
		z.prove(m, n)
	}
}

// prove adds the record that is at n or covers it.
func (z *Zone) prove(m *dns.Msg, n string) {
	rr := z.nsec(n)
	if z.NSEC3 != nil {
		rr = z.nsec3(n)
	}
	for _, have := range m.Ns {
		if have.Header().Name == rr.Header().Name && have.Header().Rrtype == rr.Header().Rrtype {
			return
		}
	}
	m.Ns = append(append(m.Ns, rr), z.Sign([]dns.RR{rr})...)
}

func (z *Zone) nsec(n string) dns.RR {
	all := z.names(false)
	i, ok := slices.BinarySearchFunc(all, n, order)
	if !ok {
		i--
	}
	next := all[(i+1)%len(all)]
	return &dns.NSEC{
		Hdr:        dns.RR_Header{Name: all[i], Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 300},
		NextDomain: next, TypeBitMap: bitmap(z.types(all[i]), dns.TypeNSEC, dns.TypeRRSIG),
	}
}

func bitmap(types []uint16, more ...uint16) []uint16 {
	out := append(slices.Clone(types), more...)
	slices.Sort(out)
	return slices.Compact(out)
}

func (z *Zone) nsec3(n string) dns.RR {
	hash := func(n string) string { return dns.HashName(n, z.NSEC3.Hash, z.NSEC3.Iterations, z.NSEC3.Salt) }
	by := map[string]string{}
	var all []string
	for _, n := range z.names(true) {
		if z.OptOut && z.insecure[n] {
			continue
		}
		h := hash(n)
		by[h] = n
		all = append(all, h)
	}
	slices.Sort(all)
	i, ok := slices.BinarySearch(all, hash(n))
	if !ok {
		i = (i + len(all) - 1) % len(all)
	}
	types := z.types(by[all[i]])
	if len(types) > 0 && !z.insecure[by[all[i]]] {
		types = bitmap(types, dns.TypeRRSIG)
	}
	rr := &dns.NSEC3{
		Hdr:  dns.RR_Header{Name: strings.ToLower(all[i]) + "." + strings.TrimPrefix(z.Apex, "."), Rrtype: dns.TypeNSEC3, Class: dns.ClassINET, Ttl: 300},
		Hash: z.NSEC3.Hash, Iterations: z.NSEC3.Iterations, SaltLength: z.NSEC3.SaltLength, Salt: z.NSEC3.Salt,
		HashLength: 20, NextDomain: all[(i+1)%len(all)], TypeBitMap: types,
	}
	if z.OptOut {
		rr.Flags = 1
	}
	return rr
}

// Hash3 makes the parameters of NSEC3, with a salt in hexadecimal digits.
func Hash3(iterations uint16, salt string) *dns.NSEC3PARAM {
	return &dns.NSEC3PARAM{Hash: dns.SHA1, Iterations: iterations, Salt: salt, SaltLength: uint8(len(salt) / 2)}
}
