package iterate

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// A cut is a zone and who serves it, as its parent's servers say. They alone are
// believed about that, so that no zone outlives its delegation.
type cut struct {
	zone    string
	targets []target // at most maxTargets
	born    time.Time
	until   time.Time

	mu   sync.Mutex
	lame map[netip.Addr]time.Time // servers that do not know the zone, until then
}

// A target is a name server of a zone.
type target struct {
	name string       // empty where only the address is known, as of hints
	glue []netip.Addr // as the parent has them
	port uint16       // of glue; 0: 53
}

// count returns how many addresses of the family of a there are.
func (t *target) count(a netip.Addr) int {
	n := 0
	for _, g := range t.glue {
		if g.Is4() == a.Is4() {
			n++
		}
	}
	return n
}

// avoid notes that the server at a does not know the zone.
func (c *cut) avoid(a netip.Addr, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lame == nil {
		c.lame = map[netip.Addr]time.Time{}
	}
	if len(c.lame) < 4*maxTargets {
		c.lame[a] = now.Add(lameLife)
	}
}

func (c *cut) avoided(a netip.Addr, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.lame[a])
}

// A memory keeps what was found out about names until its time is over, or until
// what was used since needs the room. Its methods may be called from any
// goroutine.
type memory[V any] struct {
	most  int
	until func(V) time.Time
	gone  func(V) // called, without the lock, for what had to make room; may be nil

	mu    sync.Mutex
	by    map[string]*list.Element
	order list.List // of remembered[V], the one used last in front
}

type remembered[V any] struct {
	key   string
	value V
}

func newMemory[V any](most int, until func(V) time.Time) *memory[V] {
	return &memory[V]{most: most, until: until, by: map[string]*list.Element{}}
}

// get returns what is kept by key, while its time is not over.
func (m *memory[V]) get(key string, now time.Time) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.by[key]
	if e == nil {
		return v, false
	}
	v = e.Value.(remembered[V]).value
	if now.After(m.until(v)) {
		var none V
		return none, false
	}
	m.order.MoveToFront(e)
	return v, true
}

// old returns what is kept by key, whatever the time.
func (m *memory[V]) old(key string) (v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.by[key]; e != nil {
		v = e.Value.(remembered[V]).value
	}
	return v
}

// put keeps v in place of what was kept by key.
func (m *memory[V]) put(key string, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.by[key]; e != nil {
		e.Value = remembered[V]{key, v}
		m.order.MoveToFront(e)
		return
	}
	m.by[key] = m.order.PushFront(remembered[V]{key, v})
	if m.order.Len() > m.most {
		last := m.order.Remove(m.order.Back()).(remembered[V])
		delete(m.by, last.key)
		if m.gone != nil {
			m.gone(last.value)
		}
	}
}

// drop forgets what is kept by key.
func (m *memory[V]) drop(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.by[key]; e != nil {
		m.order.Remove(e)
		delete(m.by, key)
	}
}

func (m *memory[V]) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.by)
	m.order.Init()
}

func (m *memory[V]) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.order.Len()
}
