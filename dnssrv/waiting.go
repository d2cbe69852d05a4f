package dnssrv

import "sync"

const (
	maxWaiting = 1024 // queries of clients that wait for upstreams
	maxPerHost = 128  // of them for one client, which leaves half of maxFlights to others
)

// waiting counts the queries that wait for upstreams.
type waiting struct {
	mu    sync.Mutex
	total int
	by    map[addr]int
}

func (w *waiting) enter(a addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.total >= maxWaiting || w.by[a] >= maxPerHost {
		return false
	}
	w.total++
	w.by[a]++
	return true
}

func (w *waiting) leave(a addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total--
	if w.by[a]--; w.by[a] == 0 {
		delete(w.by, a)
	}
}
