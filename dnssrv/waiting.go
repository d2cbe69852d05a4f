package dnssrv

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	maxWaiting = 1024 // queries of clients that wait for upstreams
	maxPerHost = 128  // of them for one client, which leaves half of maxFlights to others
	maxInLine  = 128  // of one client, that wait for one of those
	// inLine is how long they do; with patience, what a client waits in all.
	inLine = 300 * time.Millisecond
)

// waiting counts the queries that wait for upstreams. Those of one client that
// are too many wait in line for a while: a burst is served late and not lost, and
// takes nothing from others.
type waiting struct {
	mu    sync.Mutex
	total int
	lines int // queries in line
	by    map[addr]*standing
}

// A standing is what one client has of them.
type standing struct {
	n    int
	line []chan struct{} // first come, first served
}

func (w *waiting) enter(a addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.room(w.of(a))
}

func (w *waiting) of(a addr) *standing {
	h := w.by[a]
	if h == nil {
		h = new(standing)
		w.by[a] = h
	}
	return h
}

// room takes a place of h, if there is one.
func (w *waiting) room(h *standing) bool {
	if w.total >= maxWaiting || h.n >= maxPerHost {
		return false
	}
	w.total++
	h.n++
	return true
}

// queue is enter for who can wait in line.
func (w *waiting) queue(ctx context.Context, a addr) bool {
	w.mu.Lock()
	h := w.of(a)
	if len(h.line) == 0 && w.room(h) {
		w.mu.Unlock()
		return true
	}
	if h.n == 0 || len(h.line) >= maxInLine || w.lines >= maxWaiting {
		w.mu.Unlock()
		return false
	}
	turn := make(chan struct{}, 1)
	h.line = append(h.line, turn)
	w.lines++
	w.mu.Unlock()
	timer := time.NewTimer(inLine)
	defer timer.Stop()
	select {
	case <-turn:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(h.line, turn)
	if i < 0 {
		return true // just now
	}
	h.line = slices.Delete(h.line, i, i+1)
	w.lines--
	return false
}

// leave gives a place back, to who is next in line.
func (w *waiting) leave(a addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.by[a]
	w.total--
	h.n--
	for len(h.line) > 0 && w.room(h) {
		h.line[0] <- struct{}{}
		h.line = slices.Delete(h.line, 0, 1)
		w.lines--
	}
	if h.n == 0 && len(h.line) == 0 {
		delete(w.by, a)
	}
}
