package sign

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	day = 24 * 3600 // seconds
	// fresh is how many days a signature is used, and spread over how many days
	// sets are signed anew.
	fresh = 7
	// validity is how long a signature is valid, in days.
	validity = 14
	// skew is how long before its day a signature is valid, for clocks that are
	// behind, in seconds.
	skew = 3600
)

// A Ring is the keys of a zone as they are on one day. It never changes and may
// be used from any goroutine: whoever keeps answers keeps them no longer than
// the ring that signed them.
type Ring struct {
	zone  string // presentation format, lower case, with the last dot
	day   int64  // since 1970
	keys  []ringKey
	apex  []dns.RR
	ds    []dns.RR
	all   []dns.RR
	cache *cache
}

type ringKey struct {
	key
	tag uint16
}

func newRing(zone string, keys []key, now time.Time, c *cache) *Ring {
	r := &Ring{zone: zone, day: now.Unix() / day, cache: c}
	for _, k := range keys {
		rr := k.record(zone)
		r.keys = append(r.keys, ringKey{k, rr.KeyTag()})
		r.apex = append(r.apex, rr)
		if k.Role == KSK && k.State != Revoked {
			r.all = append(r.all, rr.ToDS(dns.SHA256))
		}
	}
	if k := announced(keys, now); k != nil {
		rr := k.record(zone)
		ds := rr.ToDS(dns.SHA256)
		r.ds = []dns.RR{ds}
		cds, cdnskey := ds.ToCDS(), rr.ToCDNSKEY()
		cds.Hdr.Ttl, cdnskey.Hdr.Ttl = rr.Hdr.Ttl, rr.Hdr.Ttl
		r.apex = append(r.apex, cds, cdnskey)
	}
	return r
}

// announced returns the KSK that the parent should have: the next one, once
// everybody can know it.
func announced(keys []key, now time.Time) *key {
	var best *key
	for i, k := range keys {
		switch {
		case k.Role != KSK:
		case k.State == Published && now.Sub(k.Since) >= publish, k.State == Active && best == nil:
			best = &keys[i]
		}
	}
	return best
}

// Zone returns the name of the zone in presentation format.
func (r *Ring) Zone() string { return r.zone }

// Apex returns the DNSKEY, CDS and CDNSKEY records of the zone. They are shared.
func (r *Ring) Apex() []dns.RR { return r.apex }

// DS returns the DS records that the parent of the zone should have, or
// validators as trust anchors. They are shared.
func (r *Ring) DS() []dns.RR { return r.ds }

// Anchors returns the DS records of all keys that may be trusted, those of the
// next KSK among them, for a parent that follows at once. They are shared.
func (r *Ring) Anchors() []dns.RR { return r.all }

// Sign returns the signatures of a set, whose records have one name within the
// zone, one type and one TTL. They are shared: who changes one copies it first.
func (r *Ring) Sign(set []dns.RR) ([]*dns.RRSIG, error) {
	if len(set) == 0 {
		return nil, errors.New("signing: no records")
	}
	typ := set[0].Header().Rrtype
	sum, err := digest(set)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", set[0].Header().Name, err)
	}
	var out []*dns.RRSIG
	for _, k := range r.keys {
		if !k.signs(typ) {
			continue
		}
		sig, err := r.by(k, set, sum)
		if err != nil {
			return nil, fmt.Errorf("signing %s: %w", set[0].Header().Name, err)
		}
		out = append(out, sig)
	}
	return out, nil
}

// signs reports whether k signs sets of that type. What the parent is told has
// signatures of both roles: it looks for that of the KSK (RFC 7344 §4.1).
func (k key) signs(typ uint16) bool {
	told := typ == dns.TypeCDS || typ == dns.TypeCDNSKEY
	if k.Role == KSK {
		return typ == dns.TypeDNSKEY || told && k.State == Active
	}
	return k.State == Active && typ != dns.TypeDNSKEY
}

// by returns the signature of one key.
func (r *Ring) by(k ringKey, set []dns.RR, sum [32]byte) (*dns.RRSIG, error) {
	h := set[0].Header()
	spread := fnv.New32a()
	spread.Write([]byte(h.Name))
	spread.Write(binary.BigEndian.AppendUint16(nil, h.Rrtype))
	n := int64(spread.Sum32())
	begin := (r.day - (r.day+n)%fresh) * day
	id := sha256.New()
	id.Write(sum[:])
	id.Write(k.Secret)
	id.Write([]byte(r.zone))
	id.Write(binary.BigEndian.AppendUint16(nil, k.tag))
	id.Write(binary.BigEndian.AppendUint64(nil, uint64(begin)))
	var at [32]byte
	id.Sum(at[:0])
	if sig := r.cache.get(at); sig != nil {
		return sig, nil
	}
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Ttl: h.Ttl},
		Algorithm: dns.ECDSAP256SHA256, KeyTag: k.tag, SignerName: r.zone, OrigTtl: h.Ttl,
		// The last hours differ too, so that not all of a day end at once.
		Inception: stamp(begin - skew), Expiration: stamp(begin + validity*day + n%skew),
	}
	// The library does not tell a TTL of 0 from one that is not set; both come to
	// the same here.
	if err := sig.Sign(signer{k.private}, set); err != nil {
		return nil, err
	}
	r.cache.put(at, sig)
	return sig, nil
}

// stamp is a time in a signature; before 1970 there is none.
func stamp(t int64) uint32 { return uint32(min(max(t, 0), math.MaxUint32)) }

// digest stands for a set, in whatever order its records are.
func digest(set []dns.RR) ([32]byte, error) {
	parts := make([]string, 0, len(set))
	var buf []byte
	for _, rr := range set {
		if n := dns.Len(rr) + 1; n > len(buf) {
			buf = make([]byte, n)
		}
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			return [32]byte{}, err
		}
		parts = append(parts, string(buf[:n]))
	}
	slices.Sort(parts)
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		h.Write([]byte(p))
	}
	var out [32]byte
	h.Sum(out[:0])
	return out, nil
}
