package validate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	addHold    = 30 * 24 * time.Hour // that a new key is seen before it is trusted (RFC 5011 §2.4.1)
	removeHold = 30 * 24 * time.Hour // that a revoked key is remembered as such (§2.4.2)

	lookSoonest = time.Hour // between two looks (§2.3)
	lookLatest  = 15 * 24 * time.Hour
	againLatest = 24 * time.Hour
)

// A KeyState is what is thought of a key (RFC 5011 §4). A key that was never seen
// has none.
type KeyState string

const (
	Pending KeyState = "pending" // seen, and not yet for long enough
	Valid   KeyState = "valid"   // trusted
	Missing KeyState = "missing" // trusted, but not seen lately
	Revoked KeyState = "revoked" // not trusted, never again
	Removed KeyState = "removed" // the same, and long ago
)

// A FollowedKey is a key of a zone that may sign the zone's keys.
type FollowedKey struct {
	Record string    `json:"record"` // DNSKEY, as it was before it was revoked
	State  KeyState  `json:"state"`
	Since  time.Time `json:"since"` // when it came to that
}

// key reads the record.
func (k *FollowedKey) key() (*dns.DNSKEY, error) {
	rr, err := dns.NewRR(k.Record)
	if err != nil {
		return nil, err
	}
	d, ok := rr.(*dns.DNSKEY)
	if !ok || d.Flags&dns.REVOKE != 0 {
		return nil, fmt.Errorf("%q is not a key that was ever good", k.Record)
	}
	return d, nil
}

// Tag is the key's tag, 0 of one that cannot be read.
func (k *FollowedKey) Tag() uint16 {
	d, err := k.key()
	if err != nil {
		return 0
	}
	return d.KeyTag()
}

// A Followed is what is known of the keys that a zone is trusted by, once it has
// been looked at them (RFC 5011). It is a value: Observe returns the next. The
// zero Followed knows nothing.
type Followed struct {
	Keys []FollowedKey `json:"keys"`
	Seen time.Time     `json:"seen"` // when the zone's keys were last seen and proven
	Next time.Time     `json:"next"` // when they are to be looked at again
}

// Check reports why f, which comes from a file, cannot be used.
func (f Followed) Check() error {
	if len(f.Keys) > maxKeys {
		return fmt.Errorf("there are %d keys", len(f.Keys))
	}
	for _, k := range f.Keys {
		if _, err := k.key(); err != nil {
			return err
		}
		switch k.State {
		case Pending, Valid, Missing, Revoked, Removed:
		default:
			return fmt.Errorf("%q is not a state", k.State)
		}
	}
	return nil
}

// Anchors are what is trusted: the keys that are, and of the anchors that one
// began with those that were never seen.
func (f Followed) Anchors(initial []*dns.DS) []*dns.DS {
	var out, known []*dns.DS
	for _, k := range f.Keys {
		d, err := k.key()
		if err != nil {
			continue
		}
		ds := d.ToDS(dns.SHA256)
		if k.State == Valid || k.State == Missing {
			out = append(out, ds)
		}
		if k.State != Pending {
			known = append(known, ds)
			if other := d.ToDS(dns.SHA384); other != nil {
				known = append(known, other)
			}
		}
	}
	for _, ds := range initial {
		if !slices.ContainsFunc(known, func(k *dns.DS) bool { return sameDS(k, ds) }) {
			out = append(out, ds)
		}
	}
	return out
}

func sameDS(a, b *dns.DS) bool {
	return a.KeyTag == b.KeyTag && a.Algorithm == b.Algorithm && a.DigestType == b.DigestType && strings.EqualFold(a.Digest, b.Digest)
}

// bare is k as it was before it was revoked.
func bare(k *dns.DNSKEY) *dns.DNSKEY {
	d := *k
	d.Flags &^= dns.REVOKE
	return &d
}

func sameKey(a, b *dns.DNSKEY) bool {
	return a.Flags == b.Flags && a.Protocol == b.Protocol && a.Algorithm == b.Algorithm && a.PublicKey == b.PublicKey
}

// find returns the place of k, whether it is revoked or not, -1 if it is unknown.
func (f *Followed) find(k *dns.DNSKEY) int {
	k = bare(k)
	return slices.IndexFunc(f.Keys, func(have FollowedKey) bool {
		d, err := have.key()
		return err == nil && sameKey(d, k)
	})
}

var (
	errNoKeys   = errors.New("the answer has no keys of the zone, or more than a zone needs")
	errUnproven = errors.New("no key that is trusted has signed the keys of the zone")
)

// A sighting is the keys of a zone, and who has signed them.
type sighting struct {
	keys   []*dns.DNSKEY
	by     []*dns.DNSKEY // keys with a good signature over all of them
	ttl    time.Duration // as the zone has it
	expiry time.Duration // of the first signature to expire
}

// look reads the DNSKEY records of zone, and checks the signatures of those keys
// that f would hear: that are trusted, or known and revoked.
func (f *Followed) look(zone string, m *dns.Msg, now time.Time, trusted []*dns.DS) (s sighting, err error) {
	var sigs []*dns.RRSIG
	var set []dns.RR
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.DNSKEY:
			if rr.Hdr.Name == zone && rr.Flags&dns.ZONE != 0 && rr.Protocol == 3 {
				s.keys = append(s.keys, rr)
			}
			if rr.Hdr.Name == zone {
				set = append(set, rr)
			}
		case *dns.RRSIG:
			if rr.Hdr.Name == zone && rr.TypeCovered == dns.TypeDNSKEY && rr.SignerName == zone {
				sigs = append(sigs, rr)
			}
		}
	}
	if len(s.keys) == 0 || len(set) > maxKeys {
		return s, errNoKeys
	}
	tries := 0
	for _, sig := range sigs {
		for _, k := range s.keys {
			if sig.KeyTag != k.KeyTag() || sig.Algorithm != k.Algorithm || !supported(k.Algorithm) || !f.hears(k, trusted) {
				continue
			}
			if tries++; tries > maxTries {
				return s, errWork.err()
			}
			if !sig.ValidityPeriod(now) || sig.Verify(k, set) != nil {
				continue
			}
			left := time.Unix(int64(sig.Expiration), 0).Sub(now)
			if len(s.by) == 0 || left < s.expiry {
				s.expiry = left
			}
			s.ttl = time.Duration(sig.OrigTtl) * time.Second
			s.by = append(s.by, k)
		}
	}
	return s, nil
}

func (f *fault) err() error { return errors.New(f.text) }

// hears reports whether a signature of k says something: k is trusted, or was
// before it was revoked.
func (f *Followed) hears(k *dns.DNSKEY, trusted []*dns.DS) bool { return fits(bare(k), trusted) }

// fits reports whether an anchor is about k.
func fits(k *dns.DNSKEY, all []*dns.DS) bool {
	return slices.ContainsFunc(all, func(ds *dns.DS) bool {
		got := k.ToDS(ds.DigestType)
		return got != nil && sameDS(got, ds)
	})
}

// Observe returns what is to be thought of the keys of zone, in presentation
// format and lower case, after m has told of them at now. initial are the anchors
// that one began with. On an error f has another Next and is as it was otherwise.
func (f Followed) Observe(now time.Time, zone string, initial []*dns.DS, m *dns.Msg) (Followed, error) {
	f.Keys = slices.Clone(f.Keys)
	trusted := f.Anchors(initial)
	s, err := f.look(zone, m, now, trusted)
	if err != nil {
		return f.again(now), err
	}
	proven := false
	for _, k := range s.by {
		if k.Flags&dns.REVOKE == 0 {
			proven = true
			continue
		}
		f.set(bare(k), Revoked, now) // it says so itself (§2.1)
	}
	switch {
	case proven:
		f.seen(now, s, initial)
	case len(s.by) == 0:
		return f.again(now), errUnproven
	}
	for i, k := range f.Keys {
		if k.State == Revoked && now.Sub(k.Since) >= removeHold {
			f.Keys[i].State, f.Keys[i].Since = Removed, now
		}
	}
	f.Seen = now
	f.Next = now.Add(max(lookSoonest, min(lookLatest, s.ttl/2, s.expiry/2)))
	return f, nil
}

// seen takes a set of keys in that is proven.
func (f *Followed) seen(now time.Time, s sighting, initial []*dns.DS) {
	there := map[int]bool{}
	for _, k := range s.keys {
		i := f.find(k)
		if i >= 0 {
			there[i] = there[i] || k.Flags&dns.REVOKE == 0
		}
		if k.Flags&dns.REVOKE != 0 || k.Flags&dns.SEP == 0 || !supported(k.Algorithm) {
			continue
		}
		switch {
		case i < 0 && fits(k, initial):
			f.set(k, Valid, now)
			there[f.find(k)] = true
		case i < 0:
			if len(f.Keys) < maxKeys {
				f.set(k, Pending, now)
				there[f.find(k)] = true
			}
		case f.Keys[i].State == Pending:
			since := f.Keys[i].Since
			switch {
			case fits(k, initial), now.Sub(since) >= max(addHold, s.ttl):
				f.set(k, Valid, now)
			case now.Before(since): // the clock was ahead, and may have been then
				f.Keys[i].Since = now
			}
		case f.Keys[i].State == Missing:
			f.set(k, Valid, now)
		}
	}
	for i := range f.Keys {
		if f.Keys[i].State == Valid && !there[i] {
			f.Keys[i].State, f.Keys[i].Since = Missing, now
		}
	}
	all := f.Keys
	f.Keys = nil
	for i, k := range all {
		if k.State != Pending || there[i] { // one that went begins anew
			f.Keys = append(f.Keys, k)
		}
	}
}

// set puts k into a state.
func (f *Followed) set(k *dns.DNSKEY, state KeyState, now time.Time) {
	i := f.find(k)
	if i < 0 {
		d := *k
		d.Hdr.Ttl = 0
		f.Keys = append(f.Keys, FollowedKey{Record: d.String()})
		i = len(f.Keys) - 1
	}
	if old := f.Keys[i].State; old != state && old != Removed && old != Revoked {
		f.Keys[i].State, f.Keys[i].Since = state, now
	}
}

// Missed is f after nobody could tell of the keys at now.
func (f Followed) Missed(now time.Time) Followed { return f.again(now) }

// again has the keys looked at soon: an hour, or a tenth of the time between two
// looks that went well, but no later than in a day (§2.3).
func (f Followed) again(now time.Time) Followed {
	usual := f.Next.Sub(f.Seen)
	f.Next = now.Add(max(lookSoonest, min(againLatest, usual/5)))
	return f
}
