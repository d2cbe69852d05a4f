package transfer

import (
	"maps"
	"slices"

	"github.com/miekg/dns"
)

const (
	// maxSet is how many records of one type updates may put at a name.
	maxSet = 256
	// maxTTL is the longest TTL that they may give, in seconds, a week: keys and
	// signatures are kept for as long as others may remember records.
	maxTTL = 7 * 24 * 3600
)

// Sets are the records of one name, by type.
type Sets map[uint16][]dns.RR

// A View is what an update sees of a zone. Names are in presentation format, in
// lower case and with the last dot.
type View struct {
	Zone string
	// Within reports whether a name belongs to the zone.
	Within func(owner string) bool
	// Fixed returns what is at a name that no update may change.
	Fixed func(owner string) Sets
	// Dynamic returns what former updates put at a name.
	Dynamic func(owner string) Sets
	// Found returns what else is at a name, which counts for prerequisites only.
	Found func(owner string) Sets
	// Permit reports whether whoever asks may change such records. Type ANY asks
	// whether any type of the name may be changed.
	Permit func(owner string, typ uint16) bool
}

// A Change is what is at a name, of one type, after an update. No records:
// nothing.
type Change struct {
	Owner   string
	Type    uint16
	Records []dns.RR
}

// Update says what the message m makes of a zone (RFC 2136 §3). Either rcode is
// 0 and the changes are to be made together, in any order, or nothing is.
// Records that an update adds are copies. m must have come with a signature that
// was checked; its zone section is v's.
//
// What is fixed stays: an update that would delete some of it, or put a CNAME
// beside it, is refused as a whole. Where only former updates are in a CNAME's
// way, the record is ignored, as RFC 2136 §3.4.2.2 has it.
func Update(m *dns.Msg, v View) (changes []Change, rcode int) {
	u := updating{View: v, work: map[string]Sets{}}
	if rcode := u.require(m.Answer); rcode != dns.RcodeSuccess {
		return nil, rcode
	}
	if rcode := u.scan(m.Ns); rcode != dns.RcodeSuccess {
		return nil, rcode
	}
	for _, rr := range m.Ns {
		if !u.change(rr) {
			return nil, dns.RcodeRefused
		}
	}
	return u.changes(), dns.RcodeSuccess
}

type updating struct {
	View
	work map[string]Sets // names that the update is about, as it leaves them
}

// at returns what updates have put at a name, for change.
func (u *updating) at(owner string) Sets {
	s, ok := u.work[owner]
	if !ok {
		if s = maps.Clone(u.Dynamic(owner)); s == nil {
			s = Sets{}
		}
		u.work[owner] = s
	}
	return s
}

// all returns everything at a name before the update.
func (u *updating) all(owner string) Sets {
	out := Sets{}
	for _, s := range []Sets{u.Fixed(owner), u.Dynamic(owner)} {
		for t, set := range s {
			out[t] = append(out[t][:len(out[t]):len(out[t])], set...)
		}
	}
	if len(out) == 0 {
		return u.Found(owner)
	}
	return out
}

// require checks the prerequisites (RFC 2136 §3.2).
func (u *updating) require(all []dns.RR) int {
	type key struct {
		owner string
		typ   uint16
	}
	want := map[key][]dns.RR{}
	for _, rr := range all {
		h := rr.Header()
		owner := dns.CanonicalName(h.Name)
		_, bare := rr.(*dns.RR_Header)
		switch {
		case h.Ttl != 0:
			return dns.RcodeFormatError
		case !u.Within(owner):
			return dns.RcodeNotZone
		case (h.Class == dns.ClassANY || h.Class == dns.ClassNONE) && h.Rdlength != 0:
			return dns.RcodeFormatError
		}
		have := u.all(owner)
		switch h.Class {
		case dns.ClassANY:
			if h.Rrtype == dns.TypeANY && len(have) == 0 {
				return dns.RcodeNameError
			}
			if h.Rrtype != dns.TypeANY && len(have[h.Rrtype]) == 0 {
				return dns.RcodeNXRrset
			}
		case dns.ClassNONE:
			if h.Rrtype == dns.TypeANY && len(have) > 0 {
				return dns.RcodeYXDomain
			}
			if h.Rrtype != dns.TypeANY && len(have[h.Rrtype]) > 0 {
				return dns.RcodeYXRrset
			}
		case dns.ClassINET:
			if bare || meta(h.Rrtype) {
				return dns.RcodeFormatError
			}
			k := key{owner, h.Rrtype}
			if !contains(want[k], rr) {
				want[k] = append(want[k], rr)
			}
		default:
			return dns.RcodeFormatError
		}
	}
	for k, set := range want {
		have := u.all(k.owner)[k.typ]
		if len(have) != len(set) || slices.ContainsFunc(set, func(rr dns.RR) bool { return !contains(have, rr) }) {
			return dns.RcodeNXRrset
		}
	}
	return dns.RcodeSuccess
}

// scan checks the form of what is to be changed (RFC 2136 §3.4.1) and whether it
// may be.
func (u *updating) scan(all []dns.RR) int {
	for _, rr := range all {
		h := rr.Header()
		owner := dns.CanonicalName(h.Name)
		_, bare := rr.(*dns.RR_Header)
		if !u.Within(owner) {
			return dns.RcodeNotZone
		}
		switch h.Class {
		case dns.ClassINET:
			if bare || meta(h.Rrtype) {
				return dns.RcodeFormatError
			}
			if _, err := Wire(rr); err != nil {
				return dns.RcodeFormatError
			}
		case dns.ClassANY:
			if h.Ttl != 0 || h.Rdlength != 0 || meta(h.Rrtype) && h.Rrtype != dns.TypeANY {
				return dns.RcodeFormatError
			}
		case dns.ClassNONE:
			if h.Ttl != 0 || meta(h.Rrtype) {
				return dns.RcodeFormatError
			}
		default:
			return dns.RcodeFormatError
		}
	}
	for _, rr := range all {
		if owner := dns.CanonicalName(rr.Header().Name); !u.Permit(owner, rr.Header().Rrtype) || own(rr.Header().Rrtype) {
			return dns.RcodeRefused
		}
	}
	return dns.RcodeSuccess
}

// own are the types that only the server itself makes.
func own(t uint16) bool {
	switch t {
	case dns.TypeSOA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM:
		return true
	}
	return false
}

// change makes one change (RFC 2136 §3.4.2); it is false where that is refused.
func (u *updating) change(rr dns.RR) bool {
	h := rr.Header()
	owner, typ := dns.CanonicalName(h.Name), h.Rrtype
	s, fixed := u.at(owner), u.Fixed(owner)
	switch {
	case h.Class == dns.ClassINET:
		return u.add(s, fixed, owner, rr)
	case h.Class == dns.ClassNONE:
		gone := dns.Copy(rr)
		gone.Header().Class = dns.ClassINET
		if contains(fixed[typ], gone) {
			return false
		}
		s.set(typ, slices.DeleteFunc(slices.Clone(s[typ]), func(have dns.RR) bool { return same(have, gone) }))
	case typ == dns.TypeANY:
		for t := range fixed {
			if owner != u.Zone || t != dns.TypeSOA && t != dns.TypeNS {
				return false
			}
		}
		for t := range s {
			if owner == u.Zone && t == dns.TypeNS {
				continue // RFC 2136 §3.4.2.3
			}
			if !u.Permit(owner, t) {
				return false
			}
			delete(s, t)
		}
	default:
		if owner == u.Zone && typ == dns.TypeNS {
			return true // ignored
		}
		if len(fixed[typ]) > 0 {
			return false
		}
		delete(s, typ)
	}
	return true
}

// add adds a record, unless something is in its way.
func (u *updating) add(s, fixed Sets, owner string, rr dns.RR) bool {
	typ := rr.Header().Rrtype
	switch {
	case contains(fixed[typ], rr):
		return true // it is there
	case len(fixed[dns.TypeCNAME]) > 0, typ == dns.TypeCNAME && len(fixed) > 0:
		return false
	case single(typ) && len(fixed[typ]) > 0:
		return false
	case typ == dns.TypeCNAME && others(s, typ), typ != dns.TypeCNAME && len(s[dns.TypeCNAME]) > 0:
		return true // ignored
	}
	c := dns.Copy(rr)
	*c.Header() = dns.RR_Header{Name: owner, Rrtype: typ, Class: dns.ClassINET, Ttl: ttl(rr.Header().Ttl)}
	set := slices.DeleteFunc(slices.Clone(s[typ]), func(have dns.RR) bool { return single(typ) || same(have, c) })
	if len(set) >= maxSet {
		return false
	}
	for i, have := range set { // one TTL for all (RFC 2181 §5.2), the newest
		if have.Header().Ttl != c.Header().Ttl {
			set[i] = dns.Copy(have)
			set[i].Header().Ttl = c.Header().Ttl
		}
	}
	s[typ] = append(set, c)
	return true
}

// ttl brings a TTL within bounds. One with the highest bit set is none (RFC 2181
// §8).
func ttl(n uint32) uint32 {
	if n > 1<<31-1 {
		return 0
	}
	return min(n, maxTTL)
}

// single reports types of which a name has one record at most.
func single(t uint16) bool { return t == dns.TypeCNAME || t == dns.TypeDNAME }

func others(s Sets, typ uint16) bool {
	for t := range s {
		if t != typ {
			return true
		}
	}
	return false
}

func (s Sets) set(typ uint16, set []dns.RR) {
	if len(set) == 0 {
		delete(s, typ)
		return
	}
	s[typ] = set
}

// changes returns what differs from before.
func (u *updating) changes() []Change {
	var out []Change
	for _, owner := range slices.Sorted(maps.Keys(u.work)) {
		before, after := u.Dynamic(owner), u.work[owner]
		types := map[uint16]bool{}
		for _, s := range []Sets{before, after} {
			for t := range s {
				types[t] = true
			}
		}
		for _, t := range slices.Sorted(maps.Keys(types)) {
			if !equal(before[t], after[t]) {
				out = append(out, Change{owner, t, after[t]})
			}
		}
	}
	return out
}

func equal(a, b []dns.RR) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(rr dns.RR) bool {
		return !slices.ContainsFunc(b, func(o dns.RR) bool { return same(rr, o) && rr.Header().Ttl == o.Header().Ttl })
	})
}

func contains(set []dns.RR, rr dns.RR) bool {
	return slices.ContainsFunc(set, func(have dns.RR) bool { return same(have, rr) })
}

// same reports whether two records differ in TTL alone.
func same(a, b dns.RR) bool { return dns.IsDuplicate(a, b) }
