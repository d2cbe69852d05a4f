package proxy

import (
	"net/netip"
	"sync"
)

// Limits of what is answered at once, whatever the number of connections: those
// of HTTP/2 carry many requests, and each can hold one to an upstream.
const (
	maxRequests     = 4096
	maxRequestsFrom = 1024 // of one address, or one /64; loopback has no such limit
)

// A load counts the requests under way, websockets included.
type load struct {
	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

// enter reports whether one more request of a may be answered; it must then leave.
func (l *load) enter(a netip.Addr) bool {
	p := network(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxRequests || l.from[p] >= maxRequestsFrom && !a.IsLoopback() {
		return false
	}
	l.all++
	l.from[p]++
	return true
}

func (l *load) leave(a netip.Addr) {
	p := network(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.from[p]--; l.from[p] <= 0 {
		delete(l.from, p)
	}
}
