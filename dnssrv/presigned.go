package dnssrv

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxIterations bounds what a name costs to hash in a zone that others signed;
// RFC 9276 §3.1 wants none.
const maxIterations = 100

// A presigned is what others made of a zone that they signed: its signatures are
// told as they are.
type presigned struct {
	nsec3  *dns.NSEC3PARAM // nil: names are denied by NSEC
	hashed []hashed        // in the order of their hashes
}

// A hashed is an NSEC3 record and the hash that it is for.
type hashed struct {
	hash string // in base32, upper case
	set  []dns.RR
}

// presign notes how z was signed by others, if it was.
func (z *zone) presign() {
	top := z.nodes[z.apex].sets
	if z.ring != nil || top[dns.TypeDNSKEY] == nil || top[dns.TypeRRSIG] == nil {
		return
	}
	z.others = &presigned{}
	if top[dns.TypeNSEC] != nil {
		return
	}
	for _, rr := range top[dns.TypeNSEC3PARAM] {
		if p := rr.(*dns.NSEC3PARAM); p.Hash == dns.SHA1 && p.Iterations <= maxIterations {
			z.others.nsec3 = p
		}
	}
	for n, at := range z.nodes {
		if set := at.sets[dns.TypeNSEC3]; set != nil && n.parent() == z.apex {
			z.others.hashed = append(z.others.hashed, hashed{strings.ToUpper(string(n[1 : 1+n[0]])), set})
		}
	}
	slices.SortFunc(z.others.hashed, func(a, b hashed) int { return strings.Compare(a.hash, b.hash) })
}

// theirs returns copies of the signatures that others made of a set.
func (z *zone) theirs(set []dns.RR) []dns.RR {
	n, err := parseName(set[0].Header().Name)
	if err != nil || z.nodes[n] == nil {
		return nil
	}
	var out []dns.RR
	for _, rr := range z.nodes[n].sets[dns.TypeRRSIG] {
		if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == set[0].Header().Rrtype {
			c := dns.Copy(sig)
			c.Header().Ttl = set[0].Header().Ttl
			out = append(out, c)
		}
	}
	return out
}

// deny adds to ns what says what there is at n, or that there is nothing: the
// NSEC3 record of the closest name that has one and, where that is not n itself,
// the one that covers the next name towards n (RFC 5155 §7.2).
func (z *zone) deny(ns []dns.RR, n name) []dns.RR {
	next := name("")
	for at := n; len(z.others.hashed) > 0; next, at = at, at.parent() {
		if set := z.others.record(at, false); set != nil {
			ns = z.add(ns, set)
			break
		}
		if at == z.apex {
			return ns // not a chain that holds together
		}
	}
	if next != "" {
		ns = z.add(ns, z.others.record(next, true))
	}
	return ns
}

// record returns the NSEC3 set that is for n, or covers it.
func (p *presigned) record(n name, covers bool) []dns.RR {
	hash := dns.HashName(n.String(), p.nsec3.Hash, p.nsec3.Iterations, p.nsec3.Salt)
	i, is := slices.BinarySearchFunc(p.hashed, hash, func(h hashed, s string) int { return strings.Compare(h.hash, s) })
	switch {
	case is && !covers:
		return p.hashed[i].set
	case is || !covers:
		return nil
	}
	return p.hashed[(i+len(p.hashed)-1)%len(p.hashed)].set
}

// add adds a set and its signatures to a section that has not got it.
func (z *zone) add(ns, set []dns.RR) []dns.RR {
	if len(set) == 0 || slices.ContainsFunc(ns, func(rr dns.RR) bool {
		return rr.Header().Rrtype == set[0].Header().Rrtype && rr.Header().Name == set[0].Header().Name
	}) {
		return ns
	}
	return append(append(ns[:len(ns):len(ns)], set...), z.sign(set)...)
}
