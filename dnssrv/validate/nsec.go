package validate

import (
	"slices"

	"github.com/miekg/dns"
)

// A span is an NSEC record: nothing is between owner and next.
type span struct {
	owner, next name
	types       []uint16
}

func has(types []uint16, t uint16) bool { return slices.Contains(types, t) }

// cutAt reports whether a record with those types is the parent's side of a
// delegation, which says nothing about what is at and below it (RFC 6840 §4.1).
func cutAt(types []uint16) bool { return has(types, dns.TypeNS) && !has(types, dns.TypeSOA) }

// unsignedCut reports whether it is the parent's side of one to a zone that is not
// signed.
func unsignedCut(types []uint16) bool { return cutAt(types) && !has(types, dns.TypeDS) }

// covers reports whether n, in the zone apex, is in the gap.
func (s *span) covers(n, apex name) bool {
	if !n.below(apex) || !s.next.below(apex) || compare(s.owner, n) >= 0 {
		return false
	}
	return s.next == apex || compare(n, s.next) < 0
}

// hides reports whether n is below something that ends the zone there.
func (s *span) hides(n name) bool {
	return n != s.owner && n.below(s.owner) && (cutAt(s.types) || has(s.types, dns.TypeDNAME))
}

// encloser returns the longest name above n, which s covers, that exists.
func (s *span) encloser(n name) name {
	a, b := common(n, s.owner), common(n, s.next)
	if len(a) > len(b) {
		return a
	}
	return b
}

// gives reports whether a name with those types has an answer to the question for
// typ. Everything is one to ANY, but what belongs to the proof.
func gives(types []uint16, typ uint16) bool {
	if typ == dns.TypeANY {
		return slices.ContainsFunc(types, func(t uint16) bool { return t != dns.TypeNSEC && t != dns.TypeRRSIG && t != dns.TypeNXNAME })
	}
	return has(types, typ) || has(types, dns.TypeCNAME)
}

// lacks reports whether a record with those types at n itself says that there is
// no such type.
func lacks(types []uint16, n name, typ uint16) bool {
	switch {
	case gives(types, typ):
		return false
	case typ == dns.TypeDS:
		return n == root || !has(types, dns.TypeSOA) // the parent's side, for once
	}
	return !cutAt(types)
}

// nsec finds out what the NSEC records say (RFC 4035 §5.4, RFC 4592).
func (e *evidence) nsec(n name, typ uint16) absence {
	for i := range e.spans {
		s := &e.spans[i]
		if typ != dns.TypeDS && n.below(s.owner) && unsignedCut(s.types) {
			return beneath
		}
		if s.owner != n || !lacks(s.types, n, typ) {
			continue
		}
		switch {
		case has(s.types, dns.TypeNXNAME):
			return voided
		case typ == dns.TypeDS && has(s.types, dns.TypeNS):
			return delegated
		}
		return noType
	}
	for i := range e.spans {
		s := &e.spans[i]
		if !s.covers(n, e.zone.apex) || s.hides(n) {
			continue
		}
		if s.next.below(n) {
			return noType // there is something below it
		}
		if a := e.wildcard(s.encloser(n).star(), typ); a != unproven {
			return a
		}
	}
	return unproven
}

// wildcard finds out what is said of the wildcard that would be n.
func (e *evidence) wildcard(star name, typ uint16) absence {
	for i := range e.spans {
		s := &e.spans[i]
		switch {
		case star == "":
		case s.owner == star && !gives(s.types, typ) && !cutAt(s.types):
			return noType
		case !s.covers(star, e.zone.apex) || s.hides(star):
		case s.next.below(star):
			return noType
		default:
			return noName
		}
	}
	return unproven
}
