package dnssrv

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"pic/core/names"
	"pic/dnssrv/policy"
	"pic/dnssrv/querylog"
)

const (
	hotWays  = 4
	hotSets  = 1 << 14 // at most; there are fewer while few messages are kept
	hotFirst = 1 << 6
	// hotRoom is how many slots there are for each message, hotMost how many there
	// may be. A set of which one more is in use than it holds never answers them
	// all, and a miss costs several hits: with two slots for each of a thousand
	// messages that was a sixth of all time.
	hotRoom  = 8
	hotMost  = 64
	hotBytes = 8 << 20 // of all kept messages together at most, their overhead included
	// hotOverhead is about what a kept message takes besides its bytes.
	hotOverhead = 480
	// wakeShare is the part of its time at whose end a message that is still asked
	// for is found out anew.
	wakeShare = 10
	// zoneLife is how long an answer of a zone is kept where nothing changes: its
	// signatures do not last for ever.
	zoneLife = time.Hour
)

// A hot keeps whole messages, as they were sent, for those who ask the same from
// the same view. It belongs to one basis: where that changes, another takes its
// place, so nothing that it holds needs to be searched for and no answer outlives
// what it was made of. Readers take no lock. The OPT record is not kept: it is
// made for each client (RFC 6891 §6.1.1), so all take the same message.
type hot struct {
	basis basis
	seed  maphash.Seed
	slots atomic.Pointer[[]atomic.Pointer[warm]] // a power of two of sets of hotWays

	mu    sync.Mutex // of those who put
	count int
	bytes int
	most  int // of bytes
	hand  int // the slot that makes room next
}

// A basis is all that answers are made of at one moment. Two are the same where
// all their parts are.
type basis struct {
	table *table
	snap  *names.Snapshot
	set   *policy.Set
}

func (s *Server) basis() basis {
	t, snap := s.present()
	return basis{t, snap, s.filter.Current()}
}

// A warm is a message that is kept. It never changes, but for woken and less.
type warm struct {
	who  audience
	key  string // see sighting.key
	hash uint64
	wire []byte // id 0, the question in lower case, without OPT
	opts []byte // options that belong to the answer
	via  via
	code int                           // response code
	told *querylog.Told                // to all who get it
	less atomic.Pointer[querylog.Told] // to those who do not, for it is rationed

	ttls  []uint16  // where TTLs are that count down; none in answers of zones
	born  time.Time // when they began to; zero: they do not
	aged  uint32    // seconds that are counted down in wire
	until time.Time
	wake  time.Time   // from then on who asks has it found out anew
	woken atomic.Bool // somebody did
}

func (w *warm) cost() int {
	n := hotOverhead + len(w.key) + len(w.wire) + len(w.opts) + 2*len(w.ttls)
	if t := w.told; t != nil {
		n += len(t.Name) + len(t.Answer) + len(t.Upstream) + len(t.Reason)
	}
	return n
}

func newHot(b basis) *hot {
	h := &hot{basis: b, seed: maphash.MakeSeed(), most: hotBytes}
	first := make([]atomic.Pointer[warm], hotFirst*hotWays)
	h.slots.Store(&first)
	return h
}

// current returns what is kept for the basis of this moment.
func (s *Server) current() *hot {
	b := s.basis()
	h := s.hot.Load()
	if h != nil && h.basis == b {
		return h
	}
	fresh := newHot(b)
	fresh.most = s.hotMost
	s.hot.CompareAndSwap(h, fresh) // who loses keeps for nobody, once
	return fresh
}

// hit answers the message b from what is kept, or returns nil. What it returns
// is part of g, which then also says where an answer to b may be kept; g.hot is
// nil where none may.
func (s *Server) hit(g *sighting, b []byte, c client) []byte {
	return s.sought(g, b, c, s.current(), time.Now())
}

// sought is hit for who knows what is kept and the time. Over UDP it may return an
// empty message, where nothing is to be sent.
func (s *Server) sought(g *sighting, b []byte, c client, h *hot, now time.Time) []byte {
	g.hot = nil
	if !g.read(b) {
		return nil
	}
	if g.recognise(h, c, now); !g.allowed {
		return nil
	}
	g.hot = h
	g.hash = maphash.Bytes(h.seed, g.key[:g.n])
	w := h.get(g)
	if w == nil {
		return nil
	}
	limit := c.proto.limit(&g.opt)
	if len(w.wire) > limit {
		return nil
	}
	if g.out == nil {
		g.out = make([]byte, 0, roomFor)
	}
	out := append(g.out[:0], w.wire...)
	if !now.Before(w.until) {
		return nil
	}
	if !w.born.IsZero() {
		if !w.age(out, now) {
			return nil
		}
		if now.After(w.wake) && w.woken.CompareAndSwap(false, true) {
			s.wake(g.who.exit, g.asked())
		}
	}
	copy(out, b[:2])
	copy(out[headerLen:], b[headerLen:g.end])
	if g.edns {
		out[11]++ // of at most some dozens
		if g.personal() {
			g.ready = s.greeting(g.ready[:0], &g.opt, c)
		} else {
			g.ready = g.ready[:0]
		}
		at := len(out)
		out = g.pad(g.record(out, w.code, w.opts, g.ready), at, c.proto, limit)
		if len(out) > limit {
			return nil
		}
	}
	if g.far && c.proto == overUDP {
		return s.rationed(g, w, c, b, out, now)
	}
	s.told(g, w, c, now)
	return out
}

// roomFor is the length of the longest answer from what is kept, with all its
// options.
const roomFor = 2048

// told counts and notes a hit. Every one comes by here.
func (s *Server) told(g *sighting, w *warm, c client, now time.Time) {
	count := g.count
	if count == nil {
		count = &s.count
	}
	count.answered(w.code, w.via)
	// It took far less than the log tells apart.
	s.note(g.ring, c, g.view, w.told, now, 0)
}

// wake has the resolver find out anew what somebody asks for and will soon be
// over, where it can do that.
func (s *Server) wake(exit string, q question) {
	if b, ok := s.asks(exit).(interface{ prefetch(question) }); ok {
		b.prefetch(q)
	}
}

func (h *hot) get(g *sighting) *warm {
	slots := *h.slots.Load()
	set := slotOf(slots, g.hash)
	for i := range hotWays {
		w := slots[set+i].Load()
		if w != nil && w.hash == g.hash && w.key == string(g.key[:g.n]) && w.who == g.who {
			return w
		}
	}
	return nil
}

// slotOf is where the set of a hash begins.
func slotOf(slots []atomic.Pointer[warm], hash uint64) int {
	return int(hash) & (len(slots)/hotWays - 1) * hotWays
}

// age counts the TTLs of out down; it is false where they have not begun to.
func (w *warm) age(out []byte, now time.Time) bool {
	if now.Before(w.born) {
		return false
	}
	d := uint32(now.Sub(w.born)/time.Second) - w.aged
	if d == 0 {
		return true
	}
	for _, at := range w.ttls {
		ttl := binary.BigEndian.Uint32(out[at:])
		binary.BigEndian.PutUint32(out[at:], ttl-min(d, ttl))
	}
	return true
}

// keep takes in the reply r to q, which g saw, and what the log was told of it. It
// may change the records of r. The basis is compared once more, for r was made
// after g was.
func (s *Server) keep(g *sighting, t *table, q *query, r reply, told *querylog.Told) {
	h := g.hot
	if h == nil || h.basis.table != t || h.basis != s.basis() || r.fleeting || r.rcode > 15 {
		return
	}
	if (r.via == viaCache || r.via == viaUpstream) && r.born.IsZero() {
		return // made of parts that age each in its own way, or not to be kept
	}
	small := *q
	small.id = 0
	small.raw = lower(q.raw[:len(q.asked)])
	small.asked = small.raw
	small.raw = append(small.raw, q.raw[len(q.asked):]...)
	small.opt = opt{edns: true, do: q.edns && q.do, size: udpSize}
	small.ready, small.proto = nil, overUDP
	if len(r.answer) > 0 {
		asked, name := q.presented(), small.presented()
		for _, rr := range r.answer {
			if asked != name && rr.Header().Name == asked { // then it is a copy
				rr.Header().Name = name
			}
		}
	}
	w := &warm{who: g.who, key: string(g.key[:g.n]), hash: g.hash, via: r.via, code: r.rcode}
	w.wire = message(&small, r, udpSize)
	if binary.BigEndian.Uint16(w.wire[2:])&flagTC != 0 || !w.dress(g.end) {
		return
	}
	w.wire, w.opts = bytes.Clone(w.wire), bytes.Clone(w.opts) // without the room that they were made in
	if r.via == viaUpstream {
		r.via, w.via = viaCache, viaCache
	}
	if told == nil || told.Answer == "" { // it may have been cut
		w.told = account(&small, &r, w.wire)
	} else {
		later := *told
		later.Source = sourceOf(&r)
		w.told = &later
	}
	switch r.via {
	case viaZone:
		w.ttls, w.until = nil, time.Now().Add(zoneLife)
	case viaBlocked, viaRewritten:
		w.ttls, w.until = nil, time.Now().Add(blockedTTL*time.Second)
		if end := r.born.Add(r.life); !r.born.IsZero() && end.Before(w.until) {
			w.until = end // by where an answer leads, so for as long as that does
		}
	default:
		w.born, w.until, w.aged = r.born, r.born.Add(r.life), uint32(r.age/time.Second)
		w.wake = w.until.Add(-r.life / wakeShare)
	}
	h.put(w)
}

// dress finds the TTLs in the message of w, whose records begin at off, and takes
// its OPT record off.
func (w *warm) dress(off int) bool {
	for off < len(w.wire) {
		rr, ok := skim(w.wire, off)
		if !ok {
			return false
		}
		if rr.typ == dns.TypeOPT {
			if rr.end != len(w.wire) || w.wire[11] == 0 {
				return false
			}
			w.opts = w.wire[rr.ttlAt+6 : rr.end : rr.end]
			w.wire = w.wire[:off:off]
			w.wire[11]--
			return w.wire[11] < 255
		}
		w.ttls = append(w.ttls, uint16(rr.ttlAt))
		off = rr.end
	}
	return false
}

// put keeps w in its set, and lets go of others until there is room.
func (h *hot) put(w *warm) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slots := *h.slots.Load(); h.count >= len(slots)/hotRoom && len(slots) < hotSets*hotWays {
		h.grow(2 * len(slots))
	}
	slots := *h.slots.Load()
	at := place(slots, w)
	for at < 0 && len(slots) < min(hotSets*hotWays, hotMost*h.count) {
		h.grow(2 * len(slots))
		slots = *h.slots.Load()
		at = place(slots, w)
	}
	if at < 0 {
		h.hand = (h.hand + 1) % len(slots)
		at = slotOf(slots, w.hash) + h.hand%hotWays
	}
	h.drop(slots, at)
	for h.count > 0 && h.bytes+w.cost() > h.most {
		h.hand = (h.hand + 1) % len(slots)
		h.drop(slots, h.hand)
	}
	h.bytes += w.cost()
	h.count++
	slots[at].Store(w)
}

// place is the slot of what w takes the place of, or one that is free; -1 if its
// set is full.
func place(slots []atomic.Pointer[warm], w *warm) int {
	at := -1
	for i := slotOf(slots, w.hash); i < slotOf(slots, w.hash)+hotWays; i++ {
		switch old := slots[i].Load(); {
		case old == nil && at < 0:
			at = i
		case old != nil && old.key == w.key && old.who == w.who:
			return i
		}
	}
	return at
}

func (h *hot) drop(slots []atomic.Pointer[warm], at int) {
	if old := slots[at].Swap(nil); old != nil {
		h.bytes -= old.cost()
		h.count--
	}
}

// grow moves all to n slots.
func (h *hot) grow(n int) {
	old, fresh := *h.slots.Load(), make([]atomic.Pointer[warm], n)
	for i := range old {
		w := old[i].Load()
		if w == nil {
			continue
		}
		// A set is split in two, so there is room for all of it.
		for at := slotOf(fresh, w.hash); ; at++ {
			if fresh[at].Load() == nil {
				fresh[at].Store(w)
				break
			}
		}
	}
	h.slots.Store(&fresh)
}

// room returns how many bytes a cache may take that has so many parts of five of
// all that are for kept answers.
func (o *Options) room(parts int64) int {
	const most = cacheBytes + hotBytes
	if o.Memory <= 0 {
		return most * int(parts) / 5
	}
	return int(min(max(o.Memory, most/4), most) * parts / 5)
}
