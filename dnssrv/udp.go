package dnssrv

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"pic/internal/datagram"
)

const (
	maxQuery  = 4096 // bytes of a message of a client
	batchSize = 32   // messages that are received and answered together
	maxBusy   = 1024 // queries over UDP that are being answered without having to wait for others
	maxHands  = 8    // goroutines that read from one socket
)

type addr = netip.Addr

// datagramLimit is how much a client takes over UDP.
func datagramLimit(q *query) int { return q.size }

// A crew answers what comes in at one socket. One hand waits for queries. Only
// where they come faster than it can answer do others help, each on its own core:
// who is woken for nothing takes time from whoever could use it.
type crew struct {
	s    *Server
	run  context.Context
	conn *datagram.Conn
	help chan struct{} // wakes a hand
	office
	spare spare
	heard atomic.Int64 // when queries came; see relief
}

// serveUDP answers what comes in at pc until it is closed.
func (s *Server) serveUDP(run context.Context, pc net.PacketConn) {
	c := &crew{s: s, run: run, conn: datagram.Wrap(pc), help: make(chan struct{}, 1)}
	c.idle = make(chan *clerk, maxIdleClerks)
	s.relief.join(c)
	c.conn.ReadBuffer(1 << 20) // bursts of a browser, while we wait for the disk or a core
	s.wg.Go(func() {
		defer c.office.close()
		defer close(c.help)
		defer s.relief.leave(c)
		c.lead()
	})
	for i := 1; i < min(runtime.GOMAXPROCS(0), maxHands); i++ {
		s.wg.Go(func() { c.follow(i) })
	}
}

// lead waits for queries until the socket is closed.
func (c *crew) lead() {
	h := c.hand(0, batchSize)
	defer h.seen.ring.Close()
	for pause := time.Millisecond; ; {
		got, err := h.batch.Read()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			c.s.log.Warn("reading a query", "err", err)
			if !sleep(c.run, pause) {
				return
			}
			pause = min(2*pause, time.Second)
		default:
			pause = time.Millisecond
			if h.serve(got) {
				runtime.Gosched() // for who would otherwise wait until no more hits come
			}
		}
	}
}

// follow helps each time that it is called, until nothing is left to do.
func (c *crew) follow(i int) {
	var h *hand
	for range c.help {
		if h == nil {
			h = c.hand(i, batchSize)
			defer h.seen.ring.Close()
		}
		for {
			got, err := h.batch.Poll()
			if err != nil || len(got) == 0 {
				break // of errors the leader tells
			}
			if h.serve(got) {
				runtime.Gosched()
			}
		}
	}
}

// A hand is one goroutine's share of a crew.
type hand struct {
	*crew
	batch *datagram.Batch
	seen  sighting
	rooms [][]byte // for answers
	full  bool     // the batch before filled up
}

// hand makes one that takes so many queries together.
func (c *crew) hand(i, batch int) *hand {
	h := &hand{crew: c, batch: c.conn.Batch(batch, maxQuery), rooms: make([][]byte, batch)}
	all := make([]byte, batch*roomFor)
	for i := range h.rooms {
		h.rooms[i] = all[i*roomFor : i*roomFor : (i+1)*roomFor]
	}
	h.seen.ready = make([]byte, 0, maxName)
	h.seen.known = new(acquaintances)
	h.seen.ring = c.s.diary.Ring()
	h.seen.count = &c.s.lanes[i%len(c.s.lanes)].counters
	return h
}

// serve answers a batch: what is at hand at once, and with one call. It reports
// whether others will answer some of it.
func (h *hand) serve(got []*datagram.Packet) (later bool) {
	switch full := h.batch.Full(); {
	case full && h.full: // twice in a row: that is no burst
		select {
		case h.help <- struct{}{}:
		default:
		}
	default:
		h.full = full
	}
	h.seen.count.udp.Add(uint64(len(got)))
	now, kept := got[0].At, h.s.current()
	h.s.relief.note(h.crew, now)
	for i, p := range got {
		later = h.one(p, h.rooms[i], kept, now) || later
	}
	if err := h.batch.Flush(); err != nil && !errors.Is(err, net.ErrClosed) {
		h.s.log.Debug("sending replies", "err", err)
	}
	return later
}

// one answers the query p, or reports that somebody else will.
func (h *hand) one(p *datagram.Packet, room []byte, kept *hot, now time.Time) (later bool) {
	defer h.s.guard(p.From.Addr())
	c := client{from: p.From.Addr(), to: p.To, seen: &h.seen}
	h.seen.out = room
	switch h.s.admit(c.from, now) {
	case drop:
		h.seen.count.dropped.Add(1)
		return false
	case slip:
		h.seen.count.slipped.Add(1)
		if q, err := parse(p.Data); err == nil {
			h.batch.Reply(h.s.turned(p.Data, &q.opt, c, 0), p)
		}
		return false
	}
	if out := h.s.sought(&h.seen, p.Data, c, kept, now); out != nil {
		if len(out) > 0 {
			h.batch.Reply(out, p)
		}
		return false
	}
	return h.miss(p, c)
}

// miss has p answered by a clerk.
func (h *hand) miss(p *datagram.Packet, c client) bool {
	s := h.s
	if s.busy.Add(1) > maxBusy {
		s.busy.Add(-1)
		s.count.dropped.Add(1) // the client asks again; nobody gains from an error
		return false
	}
	k := h.clerk()
	p.CopyTo(&k.back)
	k.data = append(k.data[:0], p.Data...)
	h.seen.copyTo(&k.seen)
	k.c = c
	k.c.seen = &k.seen
	k.wake <- struct{}{}
	return true
}

// first is respond for a query that is counted as busy until it has to wait for
// others.
func (s *Server) first(run context.Context, q []byte, c client) ([]byte, func() []byte) {
	defer s.busy.Add(-1)
	return s.respond(run, q, c, datagramLimit)
}

// sleep waits, and reports whether run goes on.
func sleep(run context.Context, d time.Duration) bool {
	select {
	case <-run.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// guard keeps a message that breaks something from ending the process.
func (s *Server) guard(from netip.Addr) {
	if p := recover(); p != nil {
		s.log.Error("a query broke the server", "addr", from, "err", p, "stack", string(debug.Stack()))
	}
}
