package validate

import (
	"container/list"
	"sync"
	"time"
)

const maxCuts = 8192 // a few hundred bytes each, with keys up to some KiB

// A zone is a zone as far as it has been found out.
type zone struct {
	apex  name
	state State
	keys  []key
	why   *fault // it is not secure; nil where that needs no words
}

// A cut says which zone a name is in, the zone's apex included.
type cut struct {
	zone  *zone
	last  bool // there is nothing below the name
	until time.Time
}

// cuts remembers which names are zones, until their time is over or others need
// the room.
type cuts struct {
	mu    sync.Mutex
	by    map[name]*list.Element
	order list.List // of keptCut, the one used last in front
}

type keptCut struct {
	name name
	cut  cut
}

func newCuts() *cuts { return &cuts{by: map[name]*list.Element{}} }

func (c *cuts) get(n name, now time.Time) (cut, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.by[n]
	if e == nil {
		return cut{}, false
	}
	k := e.Value.(keptCut)
	if !now.Before(k.cut.until) || k.cut.until.Sub(now) > maxLife {
		// The latter: the clock went back.
		c.order.Remove(e)
		delete(c.by, n)
		return cut{}, false
	}
	c.order.MoveToFront(e)
	return k.cut, true
}

func (c *cuts) put(n name, x cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.by[n]; e != nil {
		e.Value = keptCut{n, x}
		c.order.MoveToFront(e)
		return
	}
	c.by[n] = c.order.PushFront(keptCut{n, x})
	if c.order.Len() > maxCuts {
		old := c.order.Remove(c.order.Back()).(keptCut)
		delete(c.by, old.name)
	}
}

func (c *cuts) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.by)
	c.order.Init()
}

func (c *cuts) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}
