package validate

import (
	"slices"

	"github.com/miekg/dns"
)

// An absence is what NSEC and NSEC3 records say about a name and type.
type absence uint8

const (
	unproven  absence = iota
	noType            // the name exists, or is made of a wildcard, and has no such record
	noName            // there is no such name
	voided            // the same, told as if it had no records (RFC 9824)
	delegated         // of DS: the name is a zone that is not signed
	optedOut          // the name may be an unsigned zone, or below one (RFC 5155 §6)
	vanished          // that, and there is no wildcard for it
	beneath           // the name is in a zone that is not signed
)

// Evidence is the NSEC and NSEC3 records of one zone, verified.
type evidence struct {
	zone  *zone
	spans []span
	links []link
	heavy *fault // why the NSEC3 records are not looked at
	why   *fault // of the first record that is not what the zone says
	ttl   uint32 // seconds that what they say is known
	salt  string
	rest  uint16 // further iterations of links
}

// evidence verifies the records of a section by which z denies things.
func (j *job) evidence(z *zone, section []*set) *evidence {
	e := &evidence{zone: z, ttl: 1 << 31}
	seen := 0
	for _, s := range section {
		if s.typ != dns.TypeNSEC && s.typ != dns.TypeNSEC3 || len(s.rrs) == 0 || !s.owner.below(z.apex) || !s.by(z.apex) {
			continue
		}
		if seen++; seen > maxEvidence {
			break
		}
		if f := j.verify(s, z); f != nil {
			if e.why == nil {
				e.why = f
			}
			continue
		}
		e.ttl = min(e.ttl, s.ttl)
		s.part = true
		switch rr := s.rrs[0].(type) {
		case *dns.NSEC:
			if len(s.canonical()) == 1 {
				e.spans = append(e.spans, span{s.owner, toName(rr.NextDomain), rr.TypeBitMap})
			}
		case *dns.NSEC3:
			e.add(s.owner, s.rrs)
		}
	}
	if e.ttl == 1<<31 {
		e.ttl = 0
	}
	return e
}

// by reports whether n claims to have signed s.
func (s *set) by(n name) bool {
	return slices.ContainsFunc(s.sigs, func(sig *dns.RRSIG) bool { return toName(sig.SignerName) == n })
}

// absent finds out what e says about n and typ.
func (j *job) absent(e *evidence, n name, typ uint16) (absence, *fault) {
	if a := e.nsec(n, typ); a != unproven {
		return a, nil
	}
	if a, f := j.nsec3(e, n, typ); a != unproven || f != nil {
		return a, f
	}
	return unproven, e.why
}

// noCloser finds out whether nothing exists between n and the wildcard below
// from that it was made of (RFC 4035 §5.3.4, RFC 5155 §8.8).
func (j *job) noCloser(e *evidence, n, from name) (State, *fault) {
	if e.heavy != nil {
		return Insecure, e.heavy
	}
	next := n.last(from.labels() + 1)
	for i := range e.spans {
		s := &e.spans[i]
		if s.covers(n, e.zone.apex) && !s.hides(n) && s.encloser(n).labels() <= from.labels() {
			return Secure, nil
		}
	}
	if len(e.links) > 0 {
		h, f := j.hash(e, next)
		if f != nil {
			return Bogus, f
		}
		if l := e.covering(h); l != nil {
			if l.optOut {
				return Insecure, nil
			}
			return Secure, nil
		}
	}
	if e.why != nil {
		return Bogus, e.why
	}
	return Bogus, &fault{code: dns.ExtendedErrorCodeNSECMissing, text: "nothing proves that " + n.String() + " comes of a wildcard"}
}

// negative judges an answer without records of the type. It returns the response
// code that is true.
func (j *job) negative(n name, typ uint16, section []*set, rcode int) (State, *fault, int) {
	if j.v.exempt(n, j.v.anchor(place(n, typ))) {
		return Insecure, nil, rcode
	}
	signer, signed := j.denier(n, typ, section)
	if !signed {
		s, f := j.unsigned(n, typ, &fault{code: dns.ExtendedErrorCodeRRSIGsMissing, text: "that there is no " + dns.Type(typ).String() + " of " + n.String() + " is not signed, and its zone is"})
		return s, f, rcode
	}
	j.expect(signer)
	z := j.zoneOf(signer)
	if z.state != Secure {
		return z.state, z.why, rcode
	}
	if z.apex != signer {
		return Bogus, &fault{code: dns.ExtendedErrorCodeDNSBogus, text: "it is signed by " + signer.String() + ", which is no zone"}, rcode
	}
	if s := find(section, signer, dns.TypeSOA); s != nil {
		if f := j.verify(s, z); f != nil {
			return Bogus, f, rcode
		}
		s.part = true
	}
	e := j.evidence(z, section)
	if e.heavy != nil {
		return Insecure, e.heavy, rcode
	}
	a, f := j.absent(e, n, typ)
	switch {
	case a == beneath, a == vanished, a == optedOut && rcode == dns.RcodeSuccess:
		return Insecure, nil, rcode // RFC 5155 §9.2
	case a == noType, a == delegated:
		return Secure, nil, dns.RcodeSuccess
	case a == voided, a == noName && rcode == dns.RcodeNameError:
		return Secure, nil, rcode
	case f == nil:
		f = &fault{code: dns.ExtendedErrorCodeNSECMissing, text: "nothing proves that there is no " + dns.Type(typ).String() + " of " + n.String()}
	}
	s, f := j.beyond(n, typ, f)
	return s, f, rcode
}

// denier returns the closest zone above n that has signed something by which it
// could deny n.
func (j *job) denier(n name, typ uint16, section []*set) (best name, ok bool) {
	lowest := j.v.anchor(place(n, typ))
	for _, s := range section {
		switch s.typ {
		case dns.TypeSOA, dns.TypeNSEC, dns.TypeNSEC3:
		default:
			continue
		}
		for _, sig := range s.sigs {
			z := toName(sig.SignerName)
			switch {
			case z == "" || !s.owner.below(z) || !n.below(z) || !z.below(lowest):
			case s.typ == dns.TypeSOA && z != s.owner:
			case typ == dns.TypeDS && z == n && n != root: // the child's own
			case len(z) > len(best):
				best, ok = z, true
			}
		}
	}
	return best, ok
}
