package dnssrv

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// A ruling says what becomes of an answer, or of a query.
type ruling uint8

const (
	pass ruling = iota
	// slip: say that it is too long, so that who really asks comes back over TCP,
	// and nobody else gets more bytes than were sent in his name.
	slip
	drop
)

const (
	limitSets = 1024
	limitWays = 4
	burst     = time.Second // this much of a rate may be used at once
	slipEvery = 2           // of those that are over the limit
)

// A limiter bounds how often a second something happens for each of some keys:
// for each, a time is kept by which all of it so far would be due at that rate
// (the generic cell rate algorithm). What is over may slip, every second time,
// as often as the rate again. It remembers 4096 keys, and of more those that were
// busy last; no lock is taken. The zero limiter is not ready; use newLimiter.
type limiter struct {
	seed  maphash.Seed
	start time.Time
	sets  [limitSets][limitWays]bucket
}

// A bucket belongs to a key. Two that write it at once may lose a count or two.
type bucket struct {
	key  atomic.Uint64 // its hash; a collision shares
	due  atomic.Int64  // nanoseconds after start
	late atomic.Int64  // the same for those that slip
	over atomic.Uint64 // how many were over the limit
}

func newLimiter() *limiter { return &limiter{seed: maphash.MakeSeed(), start: time.Now()} }

// judge counts one more of key, of which there may be rate in a second. A rate
// of 0 is no limit.
func (l *limiter) judge(key uint64, rate int, now time.Time) ruling {
	if rate <= 0 {
		return pass
	}
	gap, at := int64(time.Second)/int64(rate), int64(now.Sub(l.start))
	b := l.bucket(key, at)
	if b.count(&b.due, at, gap) {
		return pass
	}
	if b.over.Add(1)%slipEvery == 1 && b.count(&b.late, at, gap) {
		return slip
	}
	return drop
}

// count adds gap to due, unless that is beyond the burst.
func (b *bucket) count(due *atomic.Int64, at, gap int64) bool {
	for {
		old := due.Load()
		next := max(old, at) + gap
		if next-at > int64(burst)+gap/2 { // half: a rate of one lets one through
			return false
		}
		if due.CompareAndSwap(old, next) {
			return true
		}
	}
}

// bucket returns that of key. A key that is new takes over the bucket that has
// been of no use for the longest.
func (l *limiter) bucket(key uint64, at int64) *bucket {
	set := &l.sets[key%limitSets]
	oldest := &set[0]
	for i := range set {
		b := &set[i]
		if b.key.Load() == key {
			return b
		}
		if b.due.Load() < oldest.due.Load() {
			oldest = b
		}
	}
	oldest.due.Store(at)
	oldest.late.Store(at)
	oldest.over.Store(0)
	oldest.key.Store(key)
	return oldest
}

// client is the key of a client: its address, or the /64 of an IPv6 address, of
// which a single machine has them all.
func (l *limiter) client(a netip.Addr) uint64 {
	return l.network(a, 32, 64)
}

// network is the key of the network of a with so many bits.
func (l *limiter) network(a netip.Addr, bits4, bits6 int) uint64 {
	b := maskOf(a, bits4, bits6)
	return maphash.Bytes(l.seed, b[:])
}

// maskOf returns the first bits of a, the rest zero.
func maskOf(a netip.Addr, bits4, bits6 int) [16]byte {
	b := a.As16()
	keep := bits6
	if a.Unmap().Is4() {
		keep = 96 + bits4
	}
	for i := keep / 8; i < len(b); i++ {
		b[i] &= ^byte(0xff >> max(0, keep-8*i))
	}
	return b
}

// admit counts one query of a client, and judges it. Every way that queries come
// in asks it once for each. Clients of streams wait until it passes.
func (s *Server) admit(from netip.Addr, now time.Time) ruling {
	rate := s.table.Load().rate
	if rate == 0 {
		return pass
	}
	return s.rate.judge(s.rate.client(from), rate, now)
}
