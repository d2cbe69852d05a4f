package ra

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"

	"pic/internal/atomicfile"
)

// A memory knows which prefixes devices may have from us.
type memory struct {
	path   string
	loaded bool
	known  []known
}

// A known prefix was advertised. While it is, Until is zero.
type known struct {
	Net   netip.Prefix `json:"net"`
	Until time.Time    `json:"until,omitzero"` // it is withdrawn until then
}

// mostKnown bounds the memory; a provider that gives ever other prefixes makes the
// oldest be forgotten.
const mostKnown = 16

// advertise notes what is advertised from now on and returns what is to be
// withdrawn. An error is about the disk; the result is right all the same.
func (m *memory) advertise(now []Prefix, at time.Time) ([]netip.Prefix, error) {
	err := m.load()
	var next []known
	for _, k := range m.known {
		current := slices.ContainsFunc(now, func(p Prefix) bool { return p.Net == k.Net })
		switch {
		case current:
			k.Until = time.Time{}
		case k.Until.IsZero():
			k.Until = at.Add(mostValid)
		case !at.Before(k.Until):
			continue
		}
		next = append(next, k)
	}
	for _, p := range now {
		if !slices.ContainsFunc(next, func(k known) bool { return k.Net == p.Net }) {
			next = append(next, known{Net: p.Net})
		}
	}
	if over := len(next) - mostKnown; over > 0 {
		next = next[over:]
	}
	if !slices.Equal(next, m.known) {
		m.known = next
		err = errors.Join(err, m.save())
	}
	var stale []netip.Prefix
	for _, k := range m.known {
		if !k.Until.IsZero() {
			stale = append(stale, k.Net)
		}
	}
	return stale, err
}

func (m *memory) save() error {
	b, err := json.Marshal(m.known)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(m.path, append(b, '\n'), 0o600)
}

// load reads what an earlier process advertised, once. Damage loses it.
func (m *memory) load() error {
	if m.loaded {
		return nil
	}
	m.loaded = true
	b, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m.known)
	}
	if err != nil {
		m.known = nil
		return fmt.Errorf("reading the advertised prefixes: %w", err)
	}
	m.known = slices.DeleteFunc(m.known, func(k known) bool { return k.Net.Bits() != 64 || !k.Net.Addr().Is6() })
	return nil
}
