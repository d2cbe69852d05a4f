package sign

import (
	"sync"

	"github.com/miekg/dns"
)

// maxSignatures bounds the signatures that are kept, of all zones together: some
// 6 MB.
const maxSignatures = 16384

// A cache keeps signatures; the oldest make room for new ones.
type cache struct {
	mu   sync.Mutex
	max  int
	by   map[[32]byte]*dns.RRSIG
	ring [][32]byte // in the order they came
	hand int        // the oldest, once ring is full
}

func newCache(max int) *cache { return &cache{max: max, by: map[[32]byte]*dns.RRSIG{}} }

func (c *cache) get(at [32]byte) *dns.RRSIG {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[at]
}

func (c *cache) put(at [32]byte, sig *dns.RRSIG) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[at] != nil {
		return
	}
	if len(c.ring) < c.max {
		c.ring = append(c.ring, at)
	} else {
		delete(c.by, c.ring[c.hand])
		c.ring[c.hand] = at
		c.hand = (c.hand + 1) % c.max
	}
	c.by[at] = sig
}
