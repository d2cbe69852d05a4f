package mailsrv

import (
	"context"
	"net/netip"
	"sync"
)

// How many connections there may be.
const (
	maxIMAP       = 1000
	maxIMAPSource = 100
	maxSMTP       = 500
	maxSMTPSource = 30
)

// A limiter counts connections, altogether and of each source.
type limiter struct {
	all, each int

	mu      sync.Mutex
	total   int
	sources map[netip.Prefix]int
}

func newLimiter(all, each int) *limiter {
	return &limiter{all: all, each: each, sources: map[netip.Prefix]int{}}
}

// source is what counts as one: whoever has one IPv6 address usually has its
// whole /64.
func source(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// enter reports whether one more connection is all right; then leave must be
// called in the end.
func (l *limiter) enter(a netip.Addr) bool {
	s := source(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.all || l.sources[s] >= l.each {
		return false
	}
	l.total++
	l.sources[s]++
	return true
}

func (l *limiter) leave(a netip.Addr) {
	s := source(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.sources[s]--; l.sources[s] == 0 {
		delete(l.sources, s)
	}
}

func (l *limiter) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// Sessions knows who is connected, so that their connections can be ended.
type sessions struct {
	mu  sync.Mutex
	all map[*session]struct{}
}

// A session is one connection.
type session struct {
	cancel context.CancelFunc
	user   string // "" before the login; guarded by sessions.mu
}

func (s *sessions) add(cancel context.CancelFunc) *session {
	x := &session{cancel: cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*session]struct{}{}
	}
	s.all[x] = struct{}{}
	return x
}

func (s *sessions) remove(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, x)
}

// is notes who is connected.
func (s *sessions) is(x *session, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.user = user
}

// end closes the connections of users for whom keep is false.
func (s *sessions) end(keep func(user string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.all {
		if x.user != "" && !keep(x.user) {
			x.cancel()
		}
	}
}

// endAll closes all connections.
func (s *sessions) endAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.all {
		x.cancel()
	}
}
