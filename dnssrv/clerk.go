package dnssrv

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"pic/internal/datagram"
)

// maxIdleClerks is how many clerks of one crew stay for the next rush: as many as
// one client keeps busy. Each takes some 10 kB.
const maxIdleClerks = maxPerHost

// A clerk answers a query that is not at hand, and then the next: the profile of
// misses says that to grow a goroutine's stack anew for each costs as much as to
// ask the cache, and their memory more. It and all that belongs to it is the
// query's until that is answered.
type clerk struct {
	*crew
	wake chan struct{} // closed: go home
	back datagram.Packet
	data []byte
	seen sighting
	c    client
}

// An office has the clerks of a crew that have nothing to do.
type office struct {
	idle   chan *clerk
	closed atomic.Bool
}

// clerk returns one that is free, else a new one.
func (c *crew) clerk() *clerk {
	select {
	case k := <-c.office.idle:
		return k
	default:
	}
	k := &clerk{crew: c, wake: make(chan struct{}, 1)}
	c.s.wg.Go(k.work)
	return k
}

// work answers queries until the crew is over, or enough others are idle.
func (k *clerk) work() {
	for range k.wake {
		k.answer()
		k.c, k.seen.hot, k.seen.identity = client{}, nil, identity{} // which may be large, and over
		select {
		case k.office.idle <- k:
			if k.office.closed.Load() {
				k.office.clear()
			}
		default:
			return
		}
	}
}

// close sends all home, also who is still at work.
func (o *office) close() {
	o.closed.Store(true)
	o.clear()
}

func (o *office) clear() {
	for {
		select {
		case k := <-o.idle:
			close(k.wake)
		default:
			return
		}
	}
}

// answer answers the query that k has.
func (k *clerk) answer() {
	s := k.s
	defer s.guard(k.c.from)
	s.relief.look()
	out, later := s.first(k.run, k.data, k.c)
	if later != nil {
		out = s.inTurn(k.run, k.c, later)
	}
	if t := s.table.Load(); len(out) > 0 && t.far(k.c.from) {
		if asked, err := parse(k.data); err == nil && asked.special() { // all else has been
			out, _ = s.ration(t, out, k.data, &asked.opt, k.c, time.Now())
		}
	}
	if len(out) == 0 {
		return
	}
	if err := k.conn.Reply(out, &k.back); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("sending a reply", "addr", k.back.From, "err", err)
	}
}

// inTurn returns what later returns, once it is the turn of c; nil if that takes
// too long. The place is free before the reply is sent, after which the client
// may ask the next at once.
func (s *Server) inTurn(run context.Context, c client, later func() []byte) []byte {
	if !s.waiting.queue(run, c.from) {
		s.count.dropped.Add(1)
		return nil
	}
	defer s.waiting.leave(c.from)
	return later()
}
