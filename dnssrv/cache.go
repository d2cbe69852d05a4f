package dnssrv

import (
	"container/list"
	"encoding/binary"
	"sync"
	"time"
)

const (
	cacheBytes   = 8 << 20 // of all entries together, their overhead included
	cacheEntries = 50_000
	cacheOne     = 32 << 10 // a longer answer is not worth the room of others
	// overhead is about what an entry takes besides its bytes.
	overhead = 256
)

// A question is what answers of upstreams are kept by.
type question struct {
	name   name
	typ    uint16
	do, cd bool
}

// An answer is what came of a question, ready to be put after it.
type answer struct {
	rcode  int
	tail   []byte    // answer and authority, packed after the question in lower case
	counts [3]uint16 // records in tail
	ttls   []int     // where in tail their TTLs are
	ede    *ede
	life   time.Duration // how long it may be kept; 0: not at all
	failed bool          // there was no answer, and this is why
}

// cost is about how many bytes an entry takes.
func (a *answer) cost(q question) int {
	return overhead + len(q.name) + len(a.tail) + 8*len(a.ttls)
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

// A cache keeps answers until their time is over, or until those used since
// need the room. Its methods may be called from any goroutine.
type cache struct {
	maxBytes, maxEntries int

	mu    sync.Mutex
	by    map[question]*list.Element
	order list.List // of *kept, the one used last in front
	bytes int
	epoch uint64 // of the last flush
}

type kept struct {
	question
	*answer
	born time.Time
}

func newCache(bytes, entries int) *cache {
	return &cache{maxBytes: bytes, maxEntries: entries, by: map[question]*list.Element{}}
}

// get returns the answer to q and its age.
func (c *cache) get(q question, now time.Time) (a *answer, age time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.by[q]
	if e == nil {
		return nil, 0, false
	}
	k := e.Value.(*kept)
	age = now.Sub(k.born)
	if age >= k.life || age < 0 {
		c.drop(e)
		return nil, 0, false
	}
	c.order.MoveToFront(e)
	return k.answer, age, true
}

// put keeps a, unless the cache was flushed since epoch.
func (c *cache) put(q question, a *answer, now time.Time, epoch uint64) {
	if a.life <= 0 || len(a.tail) > cacheOne {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		return
	}
	if e := c.by[q]; e != nil {
		c.drop(e)
	}
	c.by[q] = c.order.PushFront(&kept{q, a, now})
	c.bytes += a.cost(q)
	for c.bytes > c.maxBytes || c.order.Len() > c.maxEntries {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	k := c.order.Remove(e).(*kept)
	delete(c.by, k.question)
	c.bytes -= k.cost(k.question)
}

// flush forgets everything, also what is on its way in.
func (c *cache) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.by)
	c.order.Init()
	c.bytes = 0
	c.epoch++
}

// size returns how many answers there are, and how many bytes they take.
func (c *cache) size() (entries, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len(), c.bytes
}

func (c *cache) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}
