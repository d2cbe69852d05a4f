package sign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"pic/internal/atomicfile"
	"pic/internal/faultfs"
	"pic/internal/order"
)

// Keys are the keys of all zones that are signed. Their methods may be called
// from any goroutine. Zones are named in presentation format, in lower case and
// with the last dot.
type Keys struct {
	opt   Options
	fs    faultfs.FS
	cache *cache

	mu    sync.Mutex
	swept bool
	zones map[string]*zone // those to be signed
}

// A zone is the keys of one zone.
type zone struct {
	name string
	keys []key
	ring *Ring // of keys; nil: not made yet
	err  error // why there are no keys, or why they cannot be saved
	at   time.Time
}

// A KeyInfo is what is told of a key.
type KeyInfo struct {
	Tag   uint16    `json:"tag"`
	Role  Role      `json:"role"`
	State State     `json:"state"`
	Since time.Time `json:"since"`
	Next  time.Time `json:"next,omitzero"` // when the state changes next, where that is known
}

// A Fault is why a zone is not signed, or its keys stay as they are.
type Fault struct {
	Zone   string
	Signed bool // with the keys as they were
	Since  time.Time
	Err    error
}

// New returns the keys of no zones.
func New(o Options) *Keys {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keys{opt: o, fs: faultfs.OS, cache: newCache(maxSignatures), zones: map[string]*zone{}}
}

// Follow makes zones those that are signed, reads their keys, or makes them at
// the first time. Keys of other zones stay on disk.
func (k *Keys) Follow(zones []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(zones) > 0 && !k.swept {
		_ = atomicfile.Sweep(k.opt.Dir) // there may be no folder yet
		k.swept = true
	}
	next := map[string]*zone{}
	for _, name := range zones {
		z := k.zones[name]
		if z == nil || z.keys == nil {
			z = k.open(name, z)
		}
		next[name] = z
	}
	k.zones = next
}

// open reads or makes the keys of a zone; before is what came of it last time,
// nil if this is the first.
func (k *Keys) open(name string, before *zone) *zone {
	z := &zone{name: name, at: k.opt.Now()}
	if before != nil {
		z.at = before.at
	}
	z.keys, z.err = k.read(name)
	if errors.Is(z.err, errNoFile) {
		z.keys, z.err = nil, nil
		var keys []key
		for _, role := range []Role{KSK, ZSK} {
			one, err := newKey(name, role, Active, z.at, keys)
			if err != nil {
				z.err = err
				return z
			}
			keys = append(keys, one)
		}
		if z.err = k.write(name, keys); z.err == nil {
			z.keys = keys
			k.opt.Log.Info("keys made", "name", undot(name))
		}
	}
	if z.err != nil && before == nil {
		k.opt.Log.Error("no keys", "name", undot(name), "err", z.err)
	}
	return z
}

// Ring returns what signs a zone now, nil where it is not to be signed or has no
// keys. It is the same until Tick or Roll changes it.
func (k *Keys) Ring(name string) *Ring {
	k.mu.Lock()
	defer k.mu.Unlock()
	z := k.zones[name]
	if z == nil || z.keys == nil {
		return nil
	}
	if z.ring == nil {
		z.ring = newRing(name, z.keys, k.opt.Now(), k.cache)
	}
	return z.ring
}

// Rolling returns the zones whose KSK is being exchanged, so that somebody asks
// their parents.
func (k *Keys) Rolling() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for name, z := range k.zones {
		if find(z.keys, KSK, Published) >= 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Tick moves the keys on to where they belong now. It reports whether a Ring has
// changed. parents has what is known of the zones that Rolling told.
func (k *Keys) Tick(parents map[string]Parent) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.opt.Now()
	changed := false
	for name, z := range k.zones {
		if z.keys == nil {
			if fresh := k.open(name, z); fresh.keys != nil { // it was repaired
				k.zones[name], changed = fresh, true
			}
			continue
		}
		keys, moved, err := z.keys, false, error(nil)
		if !now.Before(k.opt.Credible) {
			keys, moved, err = advance(name, z.keys, now, parents[name])
		}
		if err == nil && moved {
			err = k.write(name, keys)
		}
		k.note(z, err, now)
		switch {
		case err != nil:
		case moved:
			z.keys, z.ring, changed = keys, nil, true
			k.opt.Log.Info("keys moved on", "name", undot(name))
		case z.ring != nil && z.ring.stale(keys, now):
			z.ring, changed = nil, true
		}
	}
	return changed
}

// stale reports whether the time has changed what r says.
func (r *Ring) stale(keys []key, now time.Time) bool {
	if r.day != now.Unix()/day {
		return true
	}
	k := announced(keys, now)
	return k != nil && len(r.ds) == 1 && r.ds[0].String() != k.record(r.zone).ToDS(2).String()
}

// note remembers since when saving has failed.
func (k *Keys) note(z *zone, err error, now time.Time) {
	if err != nil && z.err == nil {
		z.at = now
		k.opt.Log.Error("keys not saved", "name", undot(z.name), "err", err)
	}
	z.err = err
}

// Roll begins to exchange the keys of a zone. The error is a sentence for the
// user.
func (k *Keys) Roll(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	z := k.zones[name]
	if z == nil {
		return fmt.Errorf("%s is not signed", undot(name))
	}
	if z.keys == nil {
		return fmt.Errorf("the keys of %s cannot be read: %w", undot(name), z.err)
	}
	keys, err := roll(name, z.keys, k.opt.Now())
	if err != nil {
		return err
	}
	if err := k.write(name, keys); err != nil {
		return err
	}
	z.keys, z.ring, z.err = keys, nil, nil
	k.opt.Log.Info("key rollover begun", "name", undot(name))
	return nil
}

// Status returns the keys of a zone.
func (k *Keys) Status(name string) []KeyInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	z := k.zones[name]
	if z == nil {
		return nil
	}
	out := make([]KeyInfo, 0, len(z.keys))
	for _, one := range z.keys {
		out = append(out, KeyInfo{one.record(name).KeyTag(), one.Role, one.State, one.Since, one.next()})
	}
	return out
}

// Faults returns the zones that are not signed though they should be, or whose
// keys cannot be saved.
func (k *Keys) Faults() []Fault {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Fault
	for _, z := range k.zones {
		if z.err != nil {
			out = append(out, Fault{undot(z.name), z.keys != nil, z.at, z.err})
		}
	}
	order.By(out, func(a, b Fault) int { return strings.Compare(a.Zone, b.Zone) })
	return out
}

// A file is what is kept of a zone, before it is sealed.
type file struct {
	Keys []key `json:"keys"`
}

// errNoFile says that a zone has no keys yet. No other error does: whoever
// unseals may miss a file of its own.
var errNoFile = errors.New("there is no file of keys")

// Path returns where the keys of a zone are.
func (k *Keys) path(name string) string {
	return filepath.Join(k.opt.Dir, url.PathEscape(undot(name))+".keys")
}

func (k *Keys) read(name string) ([]key, error) {
	if k.opt.Dir == "" || k.opt.Seal == nil || k.opt.Unseal == nil {
		return nil, errors.New("there is nowhere to keep keys")
	}
	sealed, err := os.ReadFile(k.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoFile
	}
	if err != nil {
		return nil, err
	}
	plain, err := k.opt.Unseal("dns/keys/"+name, sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.path(name), err)
	}
	defer clear(plain)
	var f file
	if json.Unmarshal(plain, &f) != nil { // whose words could quote a key
		return nil, fmt.Errorf("%s: not a file of keys", k.path(name))
	}
	for i := range f.Keys {
		if err := f.Keys[i].load(); err != nil {
			return nil, fmt.Errorf("%s: %w", k.path(name), err)
		}
	}
	for _, role := range []Role{KSK, ZSK} {
		if find(f.Keys, role, Active) < 0 {
			return nil, fmt.Errorf("%s: no %s is active", k.path(name), role)
		}
	}
	return f.Keys, nil
}

func (k *Keys) write(name string, keys []key) error {
	plain, err := json.Marshal(file{keys})
	if err != nil {
		return err
	}
	defer clear(plain)
	if err := os.MkdirAll(k.opt.Dir, 0o700); err != nil {
		return fmt.Errorf("saving the keys of %s: %w", undot(name), err)
	}
	err = atomicfile.Write(k.fs, k.path(name), k.opt.Seal("dns/keys/"+name, plain), 0o600)
	if errors.Is(err, atomicfile.ErrUnsynced) {
		err = nil // in place, and written again at the next change
	}
	if err != nil {
		return fmt.Errorf("saving the keys of %s: %w", undot(name), err)
	}
	return nil
}

func undot(s string) string { return strings.TrimSuffix(s, ".") }
