package ntpsrv

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Rate is how many answers one client gets a second in the long run, and Burst
// how many at once.
const (
	Rate  = 8
	Burst = 16
)

// A verdict says what becomes of a query.
type verdict int

const (
	allowed verdict = iota
	kissed          // told to ask less often
	ignored
)

const (
	sets = 1024 // of the table; a power of two
	ways = 4    // clients of a set
)

// A limiter keeps clients from asking too often. Its table has a fixed size; a
// flood of addresses pushes out those that asked least lately, whose account
// then starts anew.
type limiter struct {
	seed maphash.Seed

	mu    sync.Mutex
	table [sets][ways]account
}

// An account is what a client may still ask. IPv6 clients share one per /64.
type account struct {
	key    netip.Addr
	seen   time.Time // tokens are counted up to then
	tokens float64
	kissed time.Time
}

func newLimiter() *limiter { return &limiter{seed: maphash.MakeSeed()} }

// judge takes a query of a into account.
func (l *limiter) judge(a netip.Addr, now time.Time) verdict {
	key := a.WithZone("")
	if key.Is6() {
		key = netip.PrefixFrom(key, 64).Masked().Addr()
	}
	set := maphash.Comparable(l.seed, key) % sets
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.find(set, key, now)
	c.tokens = min(c.tokens+Rate*max(now.Sub(c.seen), 0).Seconds(), Burst)
	c.seen = now
	switch {
	case c.tokens >= 1:
		c.tokens--
		return allowed
	case now.Sub(c.kissed) >= time.Second:
		c.kissed = now
		return kissed
	default:
		return ignored
	}
}

// find returns the account of key, in place of the oldest of the set if need be.
func (l *limiter) find(set uint64, key netip.Addr, now time.Time) *account {
	oldest := &l.table[set][0]
	for i := range l.table[set] {
		c := &l.table[set][i]
		if c.key == key {
			return c
		}
		if c.seen.Before(oldest.seen) {
			oldest = c
		}
	}
	*oldest = account{key: key, seen: now, tokens: Burst}
	return oldest
}
