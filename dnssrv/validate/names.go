package validate

import (
	"cmp"
	"strings"

	"github.com/miekg/dns"
)

// A name is a domain name in wire format, lower case, with the root label.
type name string

const root name = "\x00"

// toName reads presentation format. What is no name becomes the empty string,
// which is below nothing.
func toName(s string) name {
	var b [256]byte
	n, err := dns.PackDomainName(dns.Fqdn(s), b[:], 0, nil, false)
	if err != nil || n > 255 {
		return ""
	}
	for i, c := range b[:n] { // length bytes are below 64, so none is a letter
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return name(b[:n])
}

// String returns n in presentation format with the last dot.
func (n name) String() string {
	s, _, err := dns.UnpackDomainName([]byte(n), 0)
	if err != nil {
		return "."
	}
	return s
}

// parent returns n without its first label; that of the root is the root.
func (n name) parent() name {
	if len(n) <= 1 {
		return root
	}
	return n[1+int(n[0]):]
}

// below reports whether n is z or ends in it. Nothing is below the empty string.
func (n name) below(z name) bool {
	for z != "" && len(n) > len(z) {
		n = n.parent()
	}
	return n == z && n != ""
}

// labels returns how many labels n has, without the root's.
func (n name) labels() int {
	i := 0
	for ; len(n) > 1; n = n.parent() {
		i++
	}
	return i
}

// last returns the name of the last k labels of n.
func (n name) last(k int) name {
	for i := n.labels(); i > k; i-- {
		n = n.parent()
	}
	return n
}

// wild reports whether n is a wildcard.
func (n name) wild() bool { return strings.HasPrefix(string(n), "\x01*") }

// star returns the wildcard right below n, or nothing where it would be too
// long for a name.
func (n name) star() name {
	if len(n) > 253 {
		return ""
	}
	return "\x01*" + n
}

// offsets fills at with where the labels of n begin and returns how many there
// are.
func (n name) offsets(at *[128]uint8) int {
	k := 0
	for i := 0; i < len(n) && n[i] != 0 && k < len(at); i += 1 + int(n[i]) {
		at[k] = uint8(i)
		k++
	}
	return k
}

func (n name) label(at uint8) name { return n[int(at)+1 : int(at)+1+int(n[at])] }

// compare orders names as RFC 4034 §6.1 says.
func compare(a, b name) int {
	var atA, atB [128]uint8
	i, j := a.offsets(&atA), b.offsets(&atB)
	for i > 0 && j > 0 {
		i, j = i-1, j-1
		if c := cmp.Compare(a.label(atA[i]), b.label(atB[j])); c != 0 {
			return c
		}
	}
	return cmp.Compare(i, j)
}

// common returns the longest name that both a and b are or are below.
func common(a, b name) name {
	for !b.below(a) {
		a = a.parent()
	}
	return a
}

// A set is all records of one name and type, and the signatures over them.
type set struct {
	owner name
	typ   uint16
	rrs   []dns.RR
	sigs  []*dns.RRSIG

	canon [][]byte // memo of canonical
	zone  *zone    // that signed it, once verified
	from  name     // what the wildcard is below that it was expanded from; mostly empty
	ttl   uint32   // the most that may be told of it, once verified
	part  bool     // of the answer, and proven
}

// sets sorts the records of a section.
func sets(rrs []dns.RR) []*set {
	type key struct {
		owner name
		typ   uint16
	}
	var out []*set
	by := map[key]*set{}
	at := func(owner name, typ uint16) *set {
		k := key{owner, typ}
		s := by[k]
		if s == nil {
			s = &set{owner: owner, typ: typ}
			by[k] = s
			out = append(out, s)
		}
		return s
	}
	for _, rr := range rrs {
		h := rr.Header()
		if h.Class != dns.ClassINET {
			continue
		}
		owner := toName(h.Name)
		if owner == "" {
			continue
		}
		if sig, ok := rr.(*dns.RRSIG); ok {
			s := at(owner, sig.TypeCovered)
			s.sigs = append(s.sigs, sig)
			continue
		}
		s := at(owner, h.Rrtype)
		s.rrs = append(s.rrs, rr)
	}
	return out
}

// find returns the records of that owner and type, nil where there are none.
func find(all []*set, owner name, typ uint16) *set {
	for _, s := range all {
		if s.typ == typ && s.owner == owner && len(s.rrs) > 0 {
			return s
		}
	}
	return nil
}
