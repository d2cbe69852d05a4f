package listen

import (
	"context"
	"slices"
	"strings"
	"sync"

	"pic/internal/order"
)

// A Set is the sockets of one service. Use [Pool.Set].
type Set struct {
	pool *Pool

	mu   sync.Mutex
	open map[Socket]Bound
}

// Set returns a new, empty set.
func (p *Pool) Set() *Set { return &Set{pool: p, open: map[Socket]Bound{}} }

// A Swap is a change of a set that is prepared: all that was missing is open,
// nothing is closed yet. Exactly one of Commit and Abort ends it; until then no
// other Swap of the set may be opened.
type Swap struct {
	set   *Set
	added []Bound
	gone  []Bound
}

// Open binds what the set lacks of want. If any socket cannot be had, none is
// kept and the set stays as it is; the error says which and what to do.
func (s *Set) Open(ctx context.Context, want []Socket) (*Swap, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &Swap{set: s}
	for _, k := range want {
		if _, ok := s.open[k]; ok || w.has(k) {
			continue
		}
		b, err := s.pool.acquire(ctx, k)
		if err != nil {
			w.Abort()
			return nil, err
		}
		w.added = append(w.added, b)
	}
	for k, b := range s.open {
		if !slices.Contains(want, k) {
			w.gone = append(w.gone, b)
		}
	}
	return w, nil
}

func (w *Swap) has(k Socket) bool {
	return slices.ContainsFunc(w.added, func(b Bound) bool { return b.Socket == k })
}

// Added returns the new sockets. The service starts to serve them before or
// after Commit, as it likes.
func (w *Swap) Added() []Bound { return w.added }

// Commit keeps what was added and closes what is no longer wanted.
func (w *Swap) Commit() {
	w.set.mu.Lock()
	defer w.set.mu.Unlock()
	for _, b := range w.added {
		w.set.open[b.Socket] = b
	}
	for _, b := range w.gone {
		delete(w.set.open, b.Socket)
		w.set.pool.release(b)
	}
	w.added, w.gone = nil, nil
}

// Abort closes what was added.
func (w *Swap) Abort() {
	for _, b := range w.added {
		w.set.pool.release(b)
	}
	w.added, w.gone = nil, nil
}

// Close closes all sockets of the set. It can be filled again.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, b := range s.open {
		delete(s.open, k)
		s.pool.release(b)
	}
}

// Bound returns the open sockets, in a steady order.
func (s *Set) Bound() []Bound {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Bound, 0, len(s.open))
	for _, b := range s.open {
		out = append(out, b)
	}
	order.By(out, func(a, b Bound) int { return strings.Compare(a.Socket.String(), b.Socket.String()) })
	return out
}

// Sockets returns what is open in words, such as "udp 127.0.0.1:53".
func (s *Set) Sockets() []string {
	var out []string
	for _, b := range s.Bound() {
		k := b.Socket
		k.Addr = b.LocalAddr()
		out = append(out, k.String())
	}
	return out
}
