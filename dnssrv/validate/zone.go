package validate

import (
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// anchor returns the closest zone at or above n that is trusted by itself, or
// nothing.
func (v *Validator) anchor(n name) name {
	for {
		if len(v.anchors[n]) > 0 {
			return n
		}
		if n == root || n == "" {
			return ""
		}
		n = n.parent()
	}
}

// place returns the name whose zone says whether n has records of the type: the
// parent's, for DS (RFC 4035 §3.1.4.1).
func place(n name, typ uint16) name {
	if typ == dns.TypeDS {
		return n.parent()
	}
	return n
}

// exempt reports whether n is in a domain of Options.Unsigned, which is not
// above the trust anchor.
func (v *Validator) exempt(n, anchor name) bool {
	if len(v.unsigned) == 0 || anchor == "" {
		return false
	}
	for ; n != anchor && n != root; n = n.parent() {
		if v.unsigned[n] {
			return true
		}
	}
	return false
}

// expect begins to ask for all that leads to the zone n, when none of it is
// known: each of its names above is most likely a zone too.
func (j *job) expect(n name) {
	anchor := j.v.anchor(n)
	for range 4 {
		if _, ok := j.known(n); ok || anchor == "" || j.v.exempt(n, anchor) {
			return
		}
		j.want(n, dns.TypeDNSKEY)
		if n == anchor {
			return
		}
		j.want(n, dns.TypeDS)
		n = n.parent()
	}
}

func (j *job) known(n name) (cut, bool) {
	if c, ok := j.cuts[n]; ok {
		return c, true
	}
	return j.v.cuts.get(n, j.now)
}

// zoneOf returns the zone that n is in, or the zone above it at which security
// ends.
func (j *job) zoneOf(n name) *zone {
	anchor := j.v.anchor(n)
	if anchor == "" {
		return &zone{state: Indeterminate}
	}
	if j.v.exempt(n, anchor) {
		return &zone{state: Insecure}
	}
	var below []name // the names whose place is not known, the lowest first
	var c cut
	for at := n; ; at = at.parent() {
		var ok bool
		if c, ok = j.known(at); ok {
			break
		}
		if at == anchor {
			c = j.anchored(at)
			break
		}
		below = append(below, at)
	}
	for _, at := range slices.Backward(below) {
		if c.last || c.zone.state != Secure {
			break
		}
		next := j.delegation(c.zone, at)
		next.until = earlier(next.until, c.until)
		j.remember(at, next)
		c = next
	}
	return c.zone
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// remember keeps what was found out about n. What is about this job alone goes
// with it.
func (j *job) remember(n name, c cut) {
	j.cuts[n] = c
	if c.zone.why == errWork || c.zone.why != nil && c.zone.why.brief && j.ctx.Err() != nil {
		return
	}
	j.v.cuts.put(n, c)
}

func (j *job) anchored(n name) cut {
	z, life := j.keysOf(n, j.v.anchors[n])
	c := cut{zone: z, until: j.now.Add(life)}
	j.remember(n, c)
	return c
}

// seconds is how long something with that TTL is kept.
func seconds(ttl uint32) time.Duration {
	return min(time.Duration(ttl)*time.Second, maxLife)
}

// bad is a zone of which nothing can be believed.
func bad(n name, f *fault) (*zone, time.Duration) {
	life := bogusLife
	if f.brief {
		life = brokenLife
	}
	return &zone{apex: n, state: Bogus, why: f}, life
}

// delegation finds out whether n, right below what is known of z, is a zone of
// its own.
func (j *job) delegation(z *zone, n name) cut {
	c := func(z *zone, life time.Duration) cut { return cut{zone: z, until: j.now.Add(life)} }
	m, f := j.get(n, dns.TypeDS, dns.ExtendedErrorCodeDNSSECIndeterminate)
	if f != nil {
		return c(bad(n, f))
	}
	answer := sets(m.Answer)
	if s := find(answer, n, dns.TypeDS); s != nil {
		if f := j.verify(s, z); f != nil {
			return c(bad(n, f))
		}
		var dss []*dns.DS
		for _, rr := range s.rrs {
			if ds, ok := rr.(*dns.DS); ok {
				dss = append(dss, ds)
			}
		}
		zone, life := j.keysOf(n, dss)
		return c(zone, min(life, seconds(s.ttl)))
	}
	if s := find(answer, n, dns.TypeCNAME); s != nil && len(s.sigs) > 0 {
		if f := j.verify(s, z); f != nil {
			return c(bad(n, f))
		}
		return c(z, seconds(s.ttl)) // an alias is no zone (RFC 1034 §3.6.2)
	}
	for up := n; up != z.apex; {
		up = up.parent()
		if s := find(answer, up, dns.TypeDNAME); s != nil && j.verify(s, z) == nil {
			return cut{zone: z, last: true, until: j.now.Add(seconds(s.ttl))}
		}
	}
	e := j.evidence(z, sets(m.Ns))
	if e.heavy != nil {
		return c(&zone{apex: n, state: Insecure, why: e.heavy}, seconds(e.ttl))
	}
	a, f := j.absent(e, n, dns.TypeDS)
	switch a {
	case delegated, optedOut, vanished, beneath:
		return c(&zone{apex: n, state: Insecure}, seconds(e.ttl))
	case noType:
		return c(z, seconds(e.ttl))
	case noName, voided:
		return cut{zone: z, last: true, until: j.now.Add(seconds(e.ttl))}
	}
	if f == nil {
		f = &fault{code: dns.ExtendedErrorCodeNSECMissing, text: "nothing proves that " + n.String() + " has no DS"}
	}
	return c(bad(n, f))
}

// keysOf fetches the keys of zone n, of which the DS records are proven.
func (j *job) keysOf(n name, dss []*dns.DS) (*zone, time.Duration) {
	dss, f := believable(n, dss)
	if f != nil {
		return &zone{apex: n, state: Insecure, why: f}, maxLife
	}
	m, f := j.get(n, dns.TypeDNSKEY, dns.ExtendedErrorCodeDNSKEYMissing)
	if f != nil {
		return bad(n, f)
	}
	s := find(sets(m.Answer), n, dns.TypeDNSKEY)
	if s == nil {
		return bad(n, &fault{code: dns.ExtendedErrorCodeDNSKEYMissing, text: n.String() + " has DS records and no DNSKEY"})
	}
	ring, f := newRing(s)
	if f != nil {
		return bad(n, f)
	}
	var why *fault
	failures, foreign := 0, 0
	for _, ds := range dss {
		alien := false
		for i, k := range ring.records {
			if ring.tags[i] != ds.KeyTag || k.Algorithm != ds.Algorithm {
				continue
			}
			if failures == maxMatches {
				return bad(n, errWork)
			}
			if got := k.ToDS(ds.DigestType); got == nil || !strings.EqualFold(got.Digest, ds.Digest) {
				failures++
				continue
			}
			one, ok := parseKey(k)
			if !ok {
				alien = true
				continue
			}
			if f := j.verify(s, &zone{apex: n, keys: []key{one}}); f != nil {
				failures++
				why = graver(why, f)
				continue
			}
			return &zone{apex: n, state: Secure, keys: ring.keys}, seconds(s.ttl)
		}
		if alien {
			foreign++
		}
	}
	switch {
	case foreign == len(dss): // else somebody may have taken out the key that is supported
		return &zone{apex: n, state: Insecure, why: &fault{code: dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm, text: "the keys of " + n.String() + " are of a size that is not supported"}}, maxLife
	case why == nil:
		why = &fault{code: dns.ExtendedErrorCodeDNSKEYMissing, text: "no DNSKEY of " + n.String() + " fits its DS records"}
	}
	return bad(n, why)
}

// believable returns the DS records that count. With SHA-256 and more there is
// nothing else to choose; where none counts the zone is insecure (RFC 4035
// §5.2), which is the fault.
func believable(n name, dss []*dns.DS) (out []*dns.DS, f *fault) {
	f = &fault{code: dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm, text: n.String() + " is signed by algorithms that are not supported"}
	for _, ds := range dss {
		switch {
		case !supported(ds.Algorithm):
		case !digests(ds.DigestType):
			f = &fault{code: dns.ExtendedErrorCodeUnsupportedDSDigestType, text: "the DS digests of " + n.String() + " are not supported"}
		default:
			out = append(out, ds)
		}
	}
	if len(out) > 0 {
		f = nil
	}
	return out, f
}

// A ring is the keys of a zone that may sign its records.
type ring struct {
	records []*dns.DNSKEY
	tags    []uint16 // of records
	keys    []key    // those that are supported
}

func newRing(s *set) (r ring, f *fault) {
	if len(s.rrs) > maxKeys {
		return r, &fault{code: dns.ExtendedErrorCodeDNSBogus, text: s.owner.String() + " has too many keys"}
	}
	type id struct {
		tag uint16
		alg uint8
	}
	same := map[id]int{}
	for _, rr := range s.rrs {
		k, ok := rr.(*dns.DNSKEY)
		if !ok || !usable(k) {
			continue
		}
		x := id{k.KeyTag(), k.Algorithm}
		if same[x]++; same[x] > maxSameTag {
			return r, &fault{code: dns.ExtendedErrorCodeDNSBogus, text: s.owner.String() + " has too many keys with the same tag"}
		}
		r.records = append(r.records, k)
		r.tags = append(r.tags, x.tag)
		if one, ok := parseKey(k); ok {
			r.keys = append(r.keys, one)
		}
	}
	if len(r.records) == 0 {
		return r, &fault{code: dns.ExtendedErrorCodeNoZoneKeyBitSet, text: s.owner.String() + " has no key for its records"}
	}
	return r, nil
}
