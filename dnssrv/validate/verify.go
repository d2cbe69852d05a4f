package validate

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

var errBroken = errors.New("its answer cannot be read")

// about names a set for people.
func (s *set) about() string { return s.owner.String() + " " + dns.Type(s.typ).String() }

// fixed reports whether records of the type are never made from wildcards.
func fixed(typ uint16) bool {
	switch typ {
	case dns.TypeSOA, dns.TypeDS, dns.TypeDNSKEY, dns.TypeDNAME, dns.TypeNSEC, dns.TypeNSEC3:
		return true
	}
	return false
}

// verify checks the signatures over s by the keys of z until one is good, and
// notes in s what follows from it.
func (j *job) verify(s *set, z *zone) *fault {
	if s.zone == z {
		return nil
	}
	why := &fault{code: dns.ExtendedErrorCodeRRSIGsMissing, text: s.about() + " has no signature by " + z.apex.String()}
	tries := 0
	for _, sig := range s.sigs {
		if toName(sig.SignerName) != z.apex {
			continue
		}
		owner, f := s.signedAs(sig, z)
		if f == nil {
			f = j.timely(s, sig)
		}
		if f != nil {
			why = graver(why, f)
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(sig.Signature)
		if err != nil {
			continue
		}
		var data []byte
		why = graver(why, &fault{code: dns.ExtendedErrorCodeDNSKEYMissing, text: s.about() + " is signed by a key that " + z.apex.String() + " does not have"})
		for i := range z.keys {
			k := &z.keys[i]
			if k.tag != sig.KeyTag || k.alg != sig.Algorithm {
				continue
			}
			if tries == maxTries {
				return graver(why, errWork)
			}
			tries++
			if data == nil {
				if data = s.signed(sig, z.apex, owner); data == nil {
					return &fault{code: dns.ExtendedErrorCodeDNSBogus, text: s.about() + " cannot be written as signed"}
				}
			}
			ok, f := j.check(k, data, raw)
			if f != nil {
				return f
			}
			if ok {
				j.accept(s, sig, z, owner)
				return nil
			}
			why = graver(why, &fault{code: dns.ExtendedErrorCodeDNSBogus, text: "the signature of " + s.about() + " is wrong"})
		}
	}
	return why
}

// signedAs returns the name that sig signs s under: its own, or a wildcard.
func (s *set) signedAs(sig *dns.RRSIG, z *zone) (name, *fault) {
	n, have := int(sig.Labels), s.owner.labels()
	if s.owner.wild() {
		have--
	}
	switch {
	case n == have:
		return s.owner, nil
	case n > have, n < z.apex.labels(), fixed(s.typ):
		return "", &fault{code: dns.ExtendedErrorCodeDNSBogus, text: "the signature of " + s.about() + " is for another name"}
	}
	return s.owner.last(n).star(), nil
}

// accept notes that sig is good.
func (j *job) accept(s *set, sig *dns.RRSIG, z *zone, owner name) {
	s.zone = z
	if owner != s.owner {
		s.from = owner.parent()
	}
	s.ttl = min(sig.OrigTtl, sig.Hdr.Ttl)
	for _, rr := range s.rrs {
		s.ttl = min(s.ttl, rr.Header().Ttl)
	}
	if !j.now.Before(j.v.credible) {
		left := int32(sig.Expiration - uint32(j.now.Unix()))
		s.ttl = min(s.ttl, uint32(max(left, 60))) // the skew bears a little more
	}
}

// timely reports what is wrong with the dates of sig (RFC 4034 §3.1.5), in
// serial arithmetic.
func (j *job) timely(s *set, sig *dns.RRSIG) *fault {
	if j.now.Before(j.v.credible) {
		return nil
	}
	now := uint32(j.now.Unix())
	life := time.Duration(int32(sig.Expiration-sig.Inception)) * time.Second
	skew := int32(min(max(life/10, minSkew), maxSkew) / time.Second)
	day := func(t uint32) string {
		return j.now.Add(time.Duration(int32(t-now)) * time.Second).UTC().Format("2006-01-02 15:04")
	}
	switch {
	case life < 0:
		return &fault{code: dns.ExtendedErrorCodeSignatureExpiredBeforeValid, text: "the signature of " + s.about() + " ends before it begins"}
	case int32(now-sig.Expiration) > skew:
		return &fault{code: dns.ExtendedErrorCodeSignatureExpired, text: fmt.Sprintf("the signature of %s expired on %s", s.about(), day(sig.Expiration))}
	case int32(sig.Inception-now) > skew:
		return &fault{code: dns.ExtendedErrorCodeSignatureNotYetValid, text: fmt.Sprintf("the signature of %s begins on %s", s.about(), day(sig.Inception))}
	}
	return nil
}

// graver returns the fault that says more.
func graver(a, b *fault) *fault {
	order := []uint16{
		dns.ExtendedErrorCodeDNSBogus, dns.ExtendedErrorCodeSignatureExpired, dns.ExtendedErrorCodeSignatureNotYetValid,
		dns.ExtendedErrorCodeSignatureExpiredBeforeValid, dns.ExtendedErrorCodeDNSKEYMissing, dns.ExtendedErrorCodeRRSIGsMissing,
	}
	if b == nil || a != nil && slices.Index(order, a.code) <= slices.Index(order, b.code) {
		return a
	}
	return b
}

// signers returns who claims to have signed s and could have: the zones that s
// may be in, no higher than the trust anchor, the closest first.
func (j *job) signers(s *set) []name {
	lowest := j.v.anchor(place(s.owner, s.typ))
	var out []name
	for _, sig := range s.sigs {
		n := toName(sig.SignerName)
		if n == "" || !s.owner.below(n) || !n.below(lowest) || slices.Contains(out, n) {
			continue
		}
		if s.typ == dns.TypeDS && n == s.owner && n != root {
			continue
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b name) int { return len(b) - len(a) })
	return out[:min(len(out), maxSigners)]
}

// authenticate finds out whether s is what its zone says.
func (j *job) authenticate(s *set) (State, *fault) {
	if j.v.exempt(s.owner, j.v.anchor(place(s.owner, s.typ))) {
		return Insecure, nil
	}
	var why *fault
	for _, signer := range j.signers(s) {
		j.expect(signer)
		z := j.zoneOf(signer)
		switch {
		case z.state != Secure:
			return z.state, z.why
		case z.apex != signer:
			why = graver(why, &fault{code: dns.ExtendedErrorCodeDNSBogus, text: s.about() + " is signed by " + signer.String() + ", which is no zone"})
			continue
		}
		f := j.verify(s, z)
		if f == nil {
			return Secure, nil
		}
		why = graver(why, f)
	}
	if why == nil {
		return j.unsigned(s.owner, s.typ, &fault{code: dns.ExtendedErrorCodeRRSIGsMissing, text: s.about() + " is not signed, and its zone is"})
	}
	return j.beyond(s.owner, s.typ, why)
}

// beyond is the state of something about that name and type that its claimed zone
// does not prove, which is why: it may be in a zone below that is not signed.
func (j *job) beyond(owner name, typ uint16, why *fault) (State, *fault) {
	if why != errWork {
		if state, f := j.unsigned(owner, typ, why); state == Insecure {
			return state, f
		}
	}
	return Bogus, why
}

// unsigned is the state of something about that name and type that nobody has
// signed; missing is what is wrong where somebody should have.
func (j *job) unsigned(owner name, typ uint16, missing *fault) (State, *fault) {
	z := j.zoneOf(place(owner, typ))
	if z.state == Secure {
		return Bogus, missing
	}
	return z.state, z.why
}
