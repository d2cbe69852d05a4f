package wgdev

import (
	"sync"
	"time"
)

// A window bounds how many packets are inside wireguard-go in one direction,
// between the interface and the sockets. The library takes whatever it is given,
// and each packet lies in a buffer of 64 KB of a pool without bound: under load
// that was 170 to 230 MB, all of it cold in the caches. We stand at both ends,
// so we count what goes in and what comes out and let the entrance wait.
//
// The library also drops packets, or keeps them while it shakes hands, and tells
// nobody. So a wait is short: when nothing has come out for a moment, what is
// inside is taken for gone, and packets are let in a few at a time until
// something comes out again.
type window struct {
	limit int

	mu      sync.Mutex
	inside  int
	waiting bool
	stalled bool
	out     chan struct{} // of one
	timer   *time.Timer
}

const (
	patience = 2 * time.Millisecond
	// trickle is how many packets enter at once while none come out. The library
	// may keep 128 such batches for each peer that does not answer.
	trickle = 1
)

func newWindow(limit int) *window {
	return &window{limit: limit, out: make(chan struct{}, 1)}
}

// room waits until packets may enter and says how many, most at most. Only one
// goroutine waits at a time.
func (w *window) room(most int) int {
	w.mu.Lock()
	for w.inside >= w.limit {
		w.waiting = true
		w.mu.Unlock()
		if w.timer == nil {
			w.timer = time.NewTimer(patience)
		} else {
			w.timer.Reset(patience)
		}
		late := false
		select {
		case <-w.out:
		case <-w.timer.C:
			late = true
		}
		w.timer.Stop()
		w.mu.Lock()
		w.waiting = false
		if late && w.inside >= w.limit {
			w.inside, w.stalled = 0, true
		}
	}
	if w.stalled {
		most = min(most, trickle)
	}
	w.mu.Unlock()
	return most
}

// enter counts packets that have gone in.
func (w *window) enter(n int) {
	w.mu.Lock()
	w.inside += n
	w.mu.Unlock()
}

// leave counts packets that have come out.
func (w *window) leave(n int) {
	w.mu.Lock()
	w.inside = max(w.inside-n, 0)
	w.stalled = false
	wake := w.waiting && w.inside < w.limit
	if wake {
		w.waiting = false
	}
	w.mu.Unlock()
	if wake {
		select {
		case w.out <- struct{}{}:
		default:
		}
	}
}
