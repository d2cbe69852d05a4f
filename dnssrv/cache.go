package dnssrv

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	cacheBytes   = 32 << 20 // of all entries together at most, their overhead included
	cacheEntries = 200_000
	cacheOne     = 32 << 10 // a longer answer is not worth the room of others
	cacheShards  = 16
	// overhead is about what an entry takes besides its bytes.
	overhead = 320
	// staleTTL is what a client is told of an answer whose time is over, in
	// seconds (RFC 8767 §4).
	staleTTL = 30
	// Failures are kept for a second at first, and twice as long each time that
	// they are found again (RFC 9520 §3.2).
	failureLife = time.Second
	maxFailure  = 5 * time.Minute
	// maxUnreached is that for failures to reach anybody, which may be over at
	// any time.
	maxUnreached = 30 * time.Second
)

// A question is what answers of upstreams are kept by.
type question struct {
	name   name
	typ    uint16
	do, cd bool
	raw    bool   // as the upstream says it, for who checks it
	set    uint32 // of upstreams that are asked; see group
}

// An answer is what came of a question, ready to be put after it.
type answer struct {
	rcode   int
	tail    []byte    // answer and authority, packed after the question in lower case
	counts  [3]uint16 // records in tail
	ttls    []int     // where in tail their TTLs are
	ede     *ede
	life    time.Duration // how long it may be kept; 0: not at all
	failed  bool          // there was no answer, and this is why
	bogus   bool          // there was one that must not be believed
	unasked bool          // because nobody was reached
	alone   bool          // it is about who asked first and nobody else; see alone
	secure  bool          // checked by its signatures
	from    string        // who said it
	aliases []name        // where CNAMEs lead
	further name          // the last of aliases, where others are to be asked about it
}

// cost is about how many bytes an entry takes.
func (a *answer) cost(q question) int {
	n := overhead + len(q.name) + len(a.tail) + 8*len(a.ttls)
	for _, alias := range a.aliases {
		n += 16 + len(alias)
	}
	return n
}

// aged returns the tail as it is told after so long in the cache.
func (a *answer) aged(d time.Duration) []byte {
	s := uint32(max(d, 0) / time.Second)
	if s == 0 || len(a.tail) == 0 {
		return a.tail
	}
	out := append([]byte(nil), a.tail...)
	for _, at := range a.ttls {
		ttl := binary.BigEndian.Uint32(out[at:])
		binary.BigEndian.PutUint32(out[at:], ttl-min(s, ttl))
	}
	return out
}

// late returns a as it is told when its time is over.
func (a *answer) late() *answer {
	b := *a
	b.tail = append([]byte(nil), a.tail...)
	for _, at := range a.ttls {
		binary.BigEndian.PutUint32(b.tail[at:], min(staleTTL, max(binary.BigEndian.Uint32(b.tail[at:]), 1)))
	}
	b.ede = edeStale
	if a.rcode == dns.RcodeNameError {
		b.ede = edeStaleNX
	}
	b.life = 0
	return &b
}

// A cache keeps answers until their time is over, or until those used since
// need the room. What is over stays, if there is room, for when no upstream
// answers. Its methods may be called from any goroutine.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
	stale  atomic.Int64 // how long answers are told after their time
	epoch  atomic.Uint64
}

type shard struct {
	mu         sync.Mutex
	by         map[question]*kept
	front      kept // of a ring: the entry used last is front.next
	bytes      int
	maxBytes   int
	maxEntries int
}

// A kept is an entry: the last answer, and what came of asking since.
type kept struct {
	question
	*answer              // nil: none but the failure
	born       time.Time // of answer
	ahead      bool      // it is being asked for again already
	failure    *answer
	broken     time.Time // when failure came
	failures   int       // in a row
	cost       int
	prev, next *kept
}

func newCache(bytes, entries int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		s := &c.shards[i]
		s.by = map[question]*kept{}
		s.front.prev, s.front.next = &s.front, &s.front
		s.maxBytes, s.maxEntries = bytes/cacheShards, entries/cacheShards
	}
	return c
}

func (c *cache) shard(q question) *shard {
	return &c.shards[maphash.String(c.seed, string(q.name))%cacheShards]
}

// A find is what the cache has for a question.
type find struct {
	answer *answer // nil: nothing that may be told
	age    time.Duration
	stale  bool // its time is over; to be told at once, since asking failed just now
	ahead  bool // its time is nearly over, and who sees this asks again, alone
}

// get returns the answer to q that may be told at once.
func (c *cache) get(q question, now time.Time) (a *answer, age time.Duration, ok bool) {
	f := c.find(q, now, time.Time{})
	return f.answer, f.age, f.answer != nil && !f.stale
}

// find returns what may be told for q at once. Failures to reach anybody from
// before revived do not count.
func (c *cache) find(q question, now, revived time.Time) find {
	s := c.shard(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.by[q]
	if k == nil {
		return find{}
	}
	if age := now.Sub(k.born); k.answer != nil && age >= 0 && age < k.life {
		s.use(k)
		f := find{answer: k.answer, age: age}
		if !k.ahead && age >= k.life-k.life/10 && k.life >= 2*time.Second {
			k.ahead, f.ahead = true, true
		}
		return f
	}
	age := now.Sub(k.broken)
	if k.failure == nil || age < 0 || age >= k.failure.life || k.failure.unasked && k.broken.Before(revived) {
		return find{}
	}
	s.use(k)
	if a := c.spare(k, now); a != nil {
		return find{answer: a, stale: true}
	}
	return find{answer: k.failure, age: age}
}

// spare returns the answer of k whose time is over, if it may still be told: not
// where another came since that must not be believed.
func (c *cache) spare(k *kept, now time.Time) *answer {
	age := now.Sub(k.born)
	if k.answer == nil || k.failure != nil && k.failure.bogus || age < 0 || age >= k.life+time.Duration(c.stale.Load()) {
		return nil
	}
	return k.late()
}

// old returns the answer to q whose time is over, if it may still be told.
func (c *cache) old(q question, now time.Time) *answer {
	s := c.shard(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.by[q]
	if k == nil {
		return nil
	}
	return c.spare(k, now)
}

// put keeps a, unless the cache was flushed since epoch. A failure does not
// replace an answer.
func (c *cache) put(q question, a *answer, now time.Time, epoch uint64) {
	if a.life <= 0 || len(a.tail) > cacheOne {
		return
	}
	s := c.shard(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != c.epoch.Load() {
		return
	}
	k := s.by[q]
	if k == nil {
		k = &kept{question: q}
		s.by[q] = k
	} else {
		s.bytes -= k.cost
		s.unlink(k)
	}
	if a.failed {
		k.fail(a, now)
	} else {
		k.answer, k.born, k.ahead = a, now, false
		k.failure, k.failures = nil, 0
	}
	k.cost = overhead
	for _, part := range []*answer{k.answer, k.failure} {
		if part != nil {
			k.cost += part.cost(q)
		}
	}
	s.link(k)
	s.bytes += k.cost
	for s.bytes > s.maxBytes || len(s.by) > s.maxEntries {
		s.drop(s.front.prev)
	}
}

// fail notes a failure, which lasts the longer the more came before it.
func (k *kept) fail(a *answer, now time.Time) {
	if k.failure != nil && now.Sub(k.broken) > maxFailure+k.failure.life {
		k.failures = 0
	}
	most := maxFailure
	if a.unasked {
		most = maxUnreached
	}
	b := *a
	b.life = min(failureLife<<min(k.failures, 16), most)
	k.failure, k.broken = &b, now
	k.failures++
}

func (s *shard) link(k *kept) {
	k.prev, k.next = &s.front, s.front.next
	k.prev.next, k.next.prev = k, k
}

func (s *shard) unlink(k *kept) { k.prev.next, k.next.prev = k.next, k.prev }

// use puts k in front.
func (s *shard) use(k *kept) {
	if s.front.next != k {
		s.unlink(k)
		s.link(k)
	}
}

func (s *shard) drop(k *kept) {
	s.unlink(k)
	delete(s.by, k.question)
	s.bytes -= k.cost
}

// flush forgets everything, also what is on its way in.
func (c *cache) flush() {
	c.epoch.Add(1)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		clear(s.by)
		s.front.prev, s.front.next = &s.front, &s.front
		s.bytes = 0
		s.mu.Unlock()
	}
}

// size returns how many answers there are, and how many bytes they take.
func (c *cache) size() (entries, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entries += len(s.by)
		bytes += s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}

// now is how often the cache was flushed.
func (c *cache) now() uint64 { return c.epoch.Load() }
