package dnssrv

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	reliefEvery = 50 * time.Microsecond // at most, for all who compute
	reliefLasts = time.Second           // that a socket is looked at after a query came
	reliefBatch = 8                     // queries that are taken together
)

// A relief answers what is at hand from among those who work on what is not.
//
// The runtime looks for packets when it has nothing else to run. While many misses
// are computed, a hit would thus wait for all that are ready before it: tens of
// milliseconds, if others make them costly. So who computes looks for hits in
// between, every [reliefEvery] or so, which takes half a microsecond.
type relief struct {
	began time.Time
	last  atomic.Int64 // since then, when somebody looked

	mu    sync.Mutex // of changes
	crews atomic.Pointer[[]*crew]
}

// join has the queries that come to c seen to. leave ends that.
func (r *relief) join(c *crew) {
	c.heard.Store(-int64(reliefLasts)) // nothing yet
	r.change(func(all []*crew) []*crew { return append(all, c) })
}

func (r *relief) leave(c *crew) {
	r.change(func(all []*crew) []*crew {
		for i := range all {
			if all[i] == c {
				return append(all[:i], all[i+1:]...)
			}
		}
		return all
	})
	c.spare.close()
}

func (r *relief) change(f func([]*crew) []*crew) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*crew
	if old := r.crews.Load(); old != nil {
		all = append(all, *old...)
	}
	all = f(all)
	r.crews.Store(&all)
}

// look answers what has come to sockets that are in use. Whoever computes for
// longer than [reliefEvery] calls it in between, holding no lock.
func (r *relief) look() {
	crews := r.crews.Load()
	if crews == nil {
		return
	}
	now := int64(time.Since(r.began))
	last := r.last.Load()
	if now-last < int64(reliefEvery) || !r.last.CompareAndSwap(last, now) {
		return
	}
	for _, c := range *crews {
		if now-c.heard.Load() < int64(reliefLasts) {
			c.spare.serve(c)
		}
	}
}

// note says that queries have come to c.
func (r *relief) note(c *crew, at time.Time) { c.heard.Store(int64(at.Sub(r.began))) }

// A spare is a hand that whoever has a moment lends to a crew.
type spare struct {
	mu   sync.Mutex
	hand *hand // made when it is first needed
	over bool
}

// serve answers what is there, unless somebody is at it.
func (s *spare) serve(c *crew) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if s.hand == nil {
		s.hand = c.hand(maxHands-1, reliefBatch)
	}
	// Of errors the leader tells.
	if got, err := s.hand.batch.Poll(); err == nil && len(got) > 0 {
		s.hand.serve(got)
	}
}

func (s *spare) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.hand != nil {
		s.hand.seen.ring.Close()
	}
}
