package peerbook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pic/core/state"
	"pic/netstack/handout"
)

// A record is what is kept of a peer.
type record struct {
	Endpoint  netip.AddrPort   `json:"endpoint,omitzero"`
	Handshake time.Time        `json:"handshake,omitzero"`
	Rx        uint64           `json:"rx,omitempty"`
	Tx        uint64           `json:"tx,omitempty"`
	Since     time.Time        `json:"since,omitzero"` // connected since, as the timeline was told; zero: away
	Given     *handout.Handout `json:"given,omitempty"`
	GivenAt   time.Time        `json:"givenAt,omitzero"`
	Warned    time.Time        `json:"warned,omitzero"` // the end that was warned of
	Stage     int              `json:"stage,omitempty"` // how many warnings there were of it
	Gone      time.Time        `json:"gone,omitzero"`   // when the document was first without it
}

func recordKey(key string) []byte { return []byte("p/" + key) }

// load reads all records, once.
func (b *Book) load() error {
	if b.loaded {
		return nil
	}
	err := b.Space.View(func(r state.Reader) error {
		for k, v := range r.Scan([]byte("p/"), nil) {
			e := &entry{}
			if err := json.Unmarshal(v, &e.record); err != nil {
				return fmt.Errorf("what is known of a peer is damaged: %w", err)
			}
			b.known[strings.TrimPrefix(string(k), "p/")] = e
		}
		return nil
	})
	b.loaded = err == nil
	return err
}

func put(w state.Writer, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Put(key, data)
}

// at returns the entry of a key, and makes it.
func (b *Book) at(key string) *entry {
	e := b.known[key]
	if e == nil {
		e = &entry{}
		b.known[key] = e
	}
	return e
}

// move gives what is known of old keys to new ones.
func (b *Book) move(ctx context.Context, moved map[string]string) error {
	err := b.Space.Update(ctx, func(w state.Writer) error {
		for old, key := range moved {
			if e := b.known[old]; e != nil {
				if err := put(w, recordKey(key), e.record); err != nil {
					return err
				}
			}
			for _, from := range [][]byte{recordKey(old), historyPrefix(old)} {
				for k, v := range w.Scan(from, nil) {
					if rest, ok := strings.CutPrefix(string(k), string(historyPrefix(old))); ok {
						if err := w.Put(append(historyPrefix(key), rest...), slices.Clone(v)); err != nil {
							return err
						}
					}
					if err := w.Delete(slices.Clone(k)); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keeping what is known of peers: %w", err)
	}
	for old, key := range moved {
		if e := b.known[old]; e != nil {
			delete(b.known, old)
			e.sampled = false // the counters of another key begin anew
			if had := b.known[key]; had != nil {
				e.at, e.rx, e.tx, e.sampled, e.seen = had.at, had.rx, had.tx, had.sampled, had.seen
			}
			b.known[key] = e
		}
	}
	return nil
}

// Given returns what the device was given last, and when; ok is false where it
// was given nothing since the book was begun.
func (b *Book) Given(key string) (h handout.Handout, at time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.known[key]; e != nil && e.Given != nil {
		return *e.Given, e.GivenAt, true
	}
	return handout.Handout{}, time.Time{}, false
}

// Give remembers that the device which has that key in the document was given h.
// It is kept when Give returns.
func (b *Book) Give(ctx context.Context, key string, h handout.Handout) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(); err != nil {
		return err
	}
	rec := b.at(key).record
	rec.Given, rec.GivenAt = &h, time.Now()
	err := b.Space.Update(ctx, func(w state.Writer) error { return put(w, recordKey(key), rec) })
	if err != nil {
		return fmt.Errorf("keeping what a peer was given: %w", err)
	}
	b.at(key).record = rec
	return nil
}

// keep is how long what belongs to no peer stays, for a peer may come back by a
// rollback.
const keep = 30 * 24 * time.Hour

// sweep removes what nobody needs any more.
func (b *Book) sweep(ctx context.Context, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	listed := map[string]bool{}
	for _, p := range b.conf.Peers {
		listed[p.PublicKey], listed[p.Next] = true, true
	}
	var old []string
	for key, e := range b.known {
		switch {
		case listed[key]:
			e.dirty = e.dirty || !e.Gone.IsZero()
			e.Gone = time.Time{}
		case e.Gone.IsZero():
			e.Gone, e.dirty = now, true
		case now.Sub(e.Gone) > keep:
			old = append(old, key)
		}
	}
	err := b.Space.Update(ctx, func(w state.Writer) error {
		for _, key := range old {
			for _, prefix := range [][]byte{recordKey(key), historyPrefix(key)} {
				for k := range w.Scan(prefix, nil) {
					if err := w.Delete(slices.Clone(k)); err != nil {
						return err
					}
				}
			}
		}
		return dropLinks(w, func(l Link) bool { return now.After(l.Expires.Add(keep)) })
	})
	if err != nil {
		b.Log.Warn("old peers are not forgotten", "err", err)
		return
	}
	for _, key := range old {
		delete(b.known, key)
	}
}
