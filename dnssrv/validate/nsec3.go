package validate

import (
	"crypto/sha1"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"

	"github.com/miekg/dns"
)

// A link is an NSEC3 record: no name has a hash between hash and next.
type link struct {
	hash, next string // as bytes
	types      []uint16
	optOut     bool
}

var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

func unhash(s string) (string, bool) {
	b, err := base32hex.DecodeString(strings.ToUpper(s))
	return string(b), err == nil && len(b) == sha1.Size
}

// add takes the verified NSEC3 records of one name in. Those of unknown kinds do
// not count (RFC 5155 §8.1), nor do those whose parameters differ from the
// first's (§8.2).
func (e *evidence) add(owner name, rrs []dns.RR) {
	hash, ok := unhash(string(owner[1 : 1+int(owner[0])]))
	if !ok || owner.parent() != e.zone.apex {
		return
	}
	for _, rr := range rrs {
		rr, ok := rr.(*dns.NSEC3)
		if !ok || rr.Hash != dns.SHA1 || rr.Flags > 1 {
			continue
		}
		salt, err := hex.DecodeString(strings.TrimPrefix(rr.Salt, "-"))
		next, ok := unhash(rr.NextDomain)
		if err != nil || !ok {
			continue
		}
		if rr.Iterations > maxIterations || len(salt) > maxSalt {
			e.heavy = &fault{
				code: dns.ExtendedErrorCodeUnsupportedNSEC3IterValue,
				text: fmt.Sprintf("the NSEC3 records of %s ask for %d iterations", e.zone.apex, rr.Iterations),
			}
			continue
		}
		if len(e.links) == 0 {
			e.salt, e.rest = string(salt), rr.Iterations
		}
		if string(salt) == e.salt && rr.Iterations == e.rest {
			e.links = append(e.links, link{hash, next, rr.TypeBitMap, rr.Flags&1 != 0})
		}
	}
}

// hash returns the hash of n with the parameters of e (RFC 5155 §5).
func (j *job) hash(e *evidence, n name) (string, *fault) {
	id := fmt.Sprintf("%d %x %s", e.rest, e.salt, string(n))
	if h, ok := j.hashed[id]; ok {
		return h, nil
	}
	if j.hashes >= maxHashes {
		return "", errWork
	}
	j.hashes++
	j.v.hashes.Add(1)
	if j.hashes%maxYield == 0 {
		runtime.Gosched()
	}
	j.v.relieve()
	if f := j.enter(); f != nil {
		return "", f
	}
	defer j.leave()
	var sum [sha1.Size]byte
	j.v.desk.do(func() { sum = e.sum(n) })
	if j.hashed == nil {
		j.hashed = map[string]string{}
	}
	j.hashed[id] = string(sum[:])
	return string(sum[:]), nil
}

func (e *evidence) sum(n name) [sha1.Size]byte {
	sum := sha1.Sum([]byte(string(n) + e.salt))
	buf := make([]byte, sha1.Size+len(e.salt))
	for range e.rest {
		copy(buf[copy(buf, sum[:]):], e.salt)
		sum = sha1.Sum(buf)
	}
	return sum
}

func (e *evidence) matching(hash string) *link {
	for i := range e.links {
		if e.links[i].hash == hash {
			return &e.links[i]
		}
	}
	return nil
}

func (e *evidence) covering(hash string) *link {
	for i := range e.links {
		l := &e.links[i]
		if l.hash < l.next && l.hash < hash && hash < l.next || // the next is further on
			l.hash >= l.next && hash != l.hash && (hash > l.hash || hash < l.next) { // or at the other end
			return l
		}
	}
	return nil
}

// nsec3 finds out what the NSEC3 records say (RFC 5155 §8.4 to 8.7).
func (j *job) nsec3(e *evidence, n name, typ uint16) (absence, *fault) {
	if len(e.links) == 0 || !n.below(e.zone.apex) {
		return unproven, nil
	}
	h, f := j.hash(e, n)
	if f != nil {
		return unproven, f
	}
	if l := e.matching(h); l != nil {
		switch {
		case typ != dns.TypeDS && unsignedCut(l.types):
			return beneath, nil
		case !lacks(l.types, n, typ):
			return unproven, nil
		case typ == dns.TypeDS && has(l.types, dns.TypeNS):
			return delegated, nil
		}
		return noType, nil
	}
	encloser, gap, f := j.closest(e, n)
	if gap == nil {
		if f == nil && encloser != "" {
			return beneath, nil
		}
		return unproven, f
	}
	if star := encloser.star(); star != "" {
		if h, f = j.hash(e, star); f != nil {
			return unproven, f
		}
		switch l := e.matching(h); {
		case gap.optOut && l == nil && e.covering(h) != nil:
			return vanished, nil
		case gap.optOut:
		case l != nil && !gives(l.types, typ) && !cutAt(l.types):
			return noType, nil
		case l == nil && e.covering(h) != nil:
			return noName, nil
		}
	}
	if gap.optOut {
		return optedOut, nil
	}
	return unproven, nil
}

// closest proves the closest encloser of n, and returns it with the record that
// covers the name one label longer; that is nil where there is no such proof
// (RFC 5155 §8.3), or none is needed since the encloser is an unsigned zone.
func (j *job) closest(e *evidence, n name) (encloser name, gap *link, f *fault) {
	for at := n; at != e.zone.apex; at = at.parent() {
		up, f := j.hash(e, at.parent())
		if f != nil {
			return "", nil, f
		}
		l := e.matching(up)
		if l == nil {
			continue
		}
		switch {
		case unsignedCut(l.types):
			return at.parent(), nil, nil
		case cutAt(l.types), has(l.types, dns.TypeDNAME):
			return "", nil, nil
		}
		h, f := j.hash(e, at)
		if f != nil {
			return "", nil, f
		}
		if gap = e.covering(h); gap == nil {
			return "", nil, nil
		}
		return at.parent(), gap, nil
	}
	return "", nil, nil
}
