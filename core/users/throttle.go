package users

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrThrottled says that somebody has to wait before the next try. See
// [RetryAfter].
var ErrThrottled = errors.New("too many failed sign-ins")

type throttledError struct {
	after  time.Duration
	reason string
}

func (e *throttledError) Error() string {
	whole := (e.after + time.Second - 1).Truncate(time.Second) // never "in 0s"
	return fmt.Sprintf("%s: try again in %s", e.reason, whole)
}

func (e *throttledError) Is(target error) bool { return target == ErrThrottled }

// RetryAfter tells how long to wait after an error that wraps [ErrThrottled],
// in whole seconds; 0 for others.
func RetryAfter(err error) time.Duration {
	var t *throttledError
	if !errors.As(err, &t) {
		return 0
	}
	return t.after
}

// A limit says how many guesses are free, how the delay after the next ones
// grows, and when guesses are forgotten.
type limit struct {
	free      int
	min, max  time.Duration
	forget    time.Duration
	maxTables int
}

var (
	perPair   = limit{5, time.Second, 5 * time.Minute, 15 * time.Minute, 4096}
	perSource = limit{20, time.Second, 5 * time.Minute, 15 * time.Minute, 4096}
	// perLogin only holds a guess up for a moment: more would let strangers lock
	// a person out.
	perLogin = limit{20, 100 * time.Millisecond, 2 * time.Second, time.Hour, 1024}
)

// A count is the wrong guesses of one login, source or pair of them.
type count struct {
	fails   int
	pending int // guesses that are being checked
	last    time.Time
	until   time.Time
}

// A counter keeps counts. It is bounded: when full, an old entry makes room.
type counter[K comparable] struct {
	limit
	m map[K]*count
}

func newCounter[K comparable](l limit) counter[K] { return counter[K]{l, map[K]*count{}} }

func (c *counter[K]) at(k K, now time.Time) *count {
	n := c.m[k]
	if n == nil {
		if len(c.m) >= c.maxTables {
			evict(c.m, func(n *count) time.Time { return n.last }, func(n *count) bool { return n.pending > 0 })
		}
		n = &count{last: now}
		c.m[k] = n
	}
	if n.pending == 0 && now.Sub(n.last) > c.forget {
		*n = count{last: now}
	}
	return n
}

// wait says how long whoever n counts must wait before a guess. Guesses that are
// being checked count as wrong until they are not, so that many at once are not
// free.
func (c *counter[K]) wait(n *count, now time.Time) time.Duration {
	if d := n.until.Sub(now); d > 0 {
		return d
	}
	if n.pending >= max(1, c.free-n.fails) {
		return time.Second
	}
	return 0
}

// fail counts a wrong guess.
func (c *counter[K]) fail(n *count, now time.Time) {
	n.fails++
	n.last = now
	if d := c.delay(n); d > 0 {
		n.until = now.Add(d)
	}
}

func (c *counter[K]) delay(n *count) time.Duration {
	over := n.fails - c.free
	if over < 0 {
		return 0
	}
	return min(c.max, c.min<<min(over, 20))
}

// evict removes one of m: the oldest of a few that may go.
func evict[K comparable, V any](m map[K]V, age func(V) time.Time, busy func(V) bool) {
	var victim K
	var oldest time.Time
	seen := 0
	for k, v := range m { // in random order
		if busy(v) {
			continue
		}
		if t := age(v); seen == 0 || t.Before(oldest) {
			victim, oldest = k, t
		}
		if seen++; seen == 8 {
			break
		}
	}
	if seen > 0 {
		delete(m, victim)
	}
}

// sourceOf is what counts as one address: whoever has one IPv6 address usually
// has its whole /64.
func sourceOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: the cell's own socket
	}
	return p
}
