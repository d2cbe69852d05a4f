package sign

import (
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// A Parent is what is known of the DS records that the zone above has.
type Parent struct {
	Known bool // false: it could not be asked
	DS    []*dns.DS
}

// advance returns the keys of a zone as they belong at now, and whether that is
// a change. parent is only of interest while a KSK is exchanged.
func advance(zone string, keys []key, now time.Time, parent Parent) ([]key, bool, error) {
	keys = slices.Clone(keys)
	changed := false
	for i := range keys {
		// A clock that was ahead must not keep a key for years.
		if keys[i].Since.After(now.Add(propagation)) {
			keys[i].Since, changed = now, true
		}
		if keys[i].Seen.After(now) {
			keys[i].Seen, changed = now, true
		}
	}
	if noteParent(zone, keys, now, parent) {
		changed = true
	}
	for i := range keys {
		k := &keys[i]
		age := now.Sub(k.Since)
		switch {
		case k.State == Published && k.Role == ZSK && age >= publish:
			replace(keys, i, Retired, now)
		case k.State == Published && k.Role == KSK && k.trusted(zone, now, parent):
			replace(keys, i, Revoked, now)
		default:
			continue
		}
		changed = true
	}
	kept := slices.DeleteFunc(keys, func(k key) bool { return k.over(now) })
	changed = changed || len(kept) < len(keys)
	if i := find(kept, ZSK, Active); i >= 0 && now.Sub(kept[i].Since) >= zskLife && find(kept, ZSK, Published) < 0 {
		k, err := newKey(zone, ZSK, Published, now, kept)
		if err != nil {
			return nil, false, err
		}
		kept, changed = append(kept, k), true
	}
	return kept, changed, nil
}

// over reports whether nobody needs k any more.
func (k key) over(now time.Time) bool {
	age := now.Sub(k.Since)
	return k.State == Retired && age >= retire || k.State == Revoked && age >= holdDown
}

// noteParent notes which keys the parent has.
func noteParent(zone string, keys []key, now time.Time, parent Parent) bool {
	changed := false
	for i := range keys {
		k := &keys[i]
		if !parent.Known || k.Role != KSK || k.State != Published {
			continue
		}
		has := parent.has(k.record(zone))
		if has == !k.Seen.IsZero() {
			continue
		}
		k.Seen, changed = time.Time{}, true
		if has {
			k.Seen = now
		}
	}
	return changed
}

func (p Parent) has(k *dns.DNSKEY) bool {
	return slices.ContainsFunc(p.DS, func(ds *dns.DS) bool {
		mine := k.ToDS(ds.DigestType)
		return mine != nil && mine.KeyTag == ds.KeyTag && mine.Algorithm == ds.Algorithm && mine.Digest == lowerHex(ds.Digest)
	})
}

func lowerHex(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'F' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// trusted reports whether a new KSK may take over alone: the parent has had it
// for long enough or, where the parent has none, validators that follow the key
// by itself have seen it for long enough.
func (k key) trusted(zone string, now time.Time, parent Parent) bool {
	if !k.Seen.IsZero() && now.Sub(k.Seen) >= registered {
		return true
	}
	return parent.Known && len(parent.DS) == 0 && now.Sub(k.Since) >= holdDown
}

// replace makes the key at i the active one and gives the former another state.
func replace(keys []key, i int, former State, now time.Time) {
	if j := find(keys, keys[i].Role, Active); j >= 0 {
		keys[j].State, keys[j].Since = former, now
	}
	keys[i].State, keys[i].Since = Active, now
}

func find(keys []key, role Role, state State) int {
	return slices.IndexFunc(keys, func(k key) bool { return k.Role == role && k.State == state })
}

// roll begins to exchange whichever of the keys is not being exchanged.
func roll(zone string, keys []key, now time.Time) ([]key, error) {
	keys = slices.Clone(keys)
	begun := false
	for _, role := range []Role{KSK, ZSK} {
		if find(keys, role, Published) >= 0 || role == KSK && find(keys, role, Revoked) >= 0 {
			continue
		}
		k, err := newKey(zone, role, Published, now, keys)
		if err != nil {
			return nil, err
		}
		keys, begun = append(keys, k), true
	}
	if begun {
		return keys, nil
	}
	i := find(keys, ZSK, Published)
	return nil, fmt.Errorf("the keys of %s are being exchanged already; the next one signs from %s on",
		undot(zone), keys[i].next().UTC().Format("2 January 2006, 15:04 MST"))
}

// next is when the state of k changes, zero where that is not known.
func (k key) next() time.Time {
	switch {
	case k.Role == ZSK && k.State == Published:
		return k.Since.Add(publish)
	case k.Role == ZSK && k.State == Active:
		return k.Since.Add(zskLife)
	case k.State == Retired:
		return k.Since.Add(retire)
	case k.State == Revoked:
		return k.Since.Add(holdDown)
	case k.State == Published && !k.Seen.IsZero():
		return k.Seen.Add(registered)
	case k.State == Published:
		return k.Since.Add(holdDown)
	}
	return time.Time{}
}
