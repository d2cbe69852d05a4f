package querylog

import "sync/atomic"

// ringSize is how many entries wait to be taken off a worker's ring: more than
// come in while the batcher waits for a core.
const ringSize = 4096

// A Ring carries the entries of one goroutine to the log. Add may be called by
// that goroutine alone.
type Ring struct {
	log     *Log
	slots   []Entry
	head    atomic.Uint64 // where the next goes
	seen    uint64        // of tail, by who adds
	dropped atomic.Uint64
	closed  atomic.Bool

	_    [64]byte      // the batcher's, on a cache line of its own
	tail atomic.Uint64 // the oldest
}

// newRing returns a ring of size slots, a power of two.
func newRing(l *Log, size int) *Ring { return &Ring{log: l, slots: make([]Entry, size)} }

// Add takes in one entry, or counts it as dropped.
func (r *Ring) Add(e *Entry) {
	n := uint64(len(r.slots))
	head := r.head.Load()
	if head-r.seen >= n {
		if r.seen = r.tail.Load(); head-r.seen >= n {
			r.dropped.Add(1)
			return
		}
	}
	r.slots[head&(n-1)] = *e
	r.head.Store(head + 1)
	// Once awake, the batcher comes by itself, but not soon enough for a flood.
	if r.log.asleep.Load() && r.log.asleep.CompareAndSwap(true, false) || head&(n/2-1) == n/2-1 {
		r.log.poke()
	}
}

// Close says that no more entries come.
func (r *Ring) Close() { r.closed.Store(true) }

// take appends what waits to batch.
func (r *Ring) take(batch []Entry) []Entry {
	n := uint64(len(r.slots))
	head := r.head.Load()
	for at := r.tail.Load(); at < head; at++ {
		slot := &r.slots[at&(n-1)]
		batch = append(batch, *slot)
		slot.Told, slot.Device = nil, "" // held no longer than needed
		r.tail.Store(at + 1)
	}
	return batch
}

func (r *Ring) empty() bool { return r.head.Load() == r.tail.Load() }

func (l *Log) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
