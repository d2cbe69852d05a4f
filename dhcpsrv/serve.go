package dhcpsrv

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"pic/core/state/journal"
)

const (
	maxAnswers = 128 // under way at once; what comes beyond is dropped, and clients ask again
	maxProbes  = 32  // of these may wait for the LAN, so that strangers cannot hold up renewals
	tries      = 3   // addresses that are probed for one DISCOVER
)

// counters tell what the server did since it was made.
type counters struct{ acked, refused, bad, dropped atomic.Int64 }

// serve reads messages until the link is closed.
func (s *Server) serve(l *link) {
	buf := make([]byte, 4096)
	for {
		n, toAll, err := l.read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as: the network is down; each is told once
			s.log.Debug("read failed", "err", err)
			continue
		}
		m, err := parse(buf[:n])
		if err != nil {
			s.served.bad.Add(1)
			s.log.Debug("dropped message", "err", err)
			continue
		}
		m.toAll = toAll
		select {
		case s.slots <- struct{}{}:
			s.wg.Go(func() {
				defer func() { <-s.slots }()
				s.handle(l, m)
			})
		default:
			s.served.dropped.Add(1)
		}
	}
}

// handle answers one message. A panic costs that message, not the process.
func (s *Server) handle(l *link, m *message) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("a message made the server stumble", "peer", m.who.mac, "err", v)
		}
	}()
	for range tries {
		s.mu.Lock()
		if s.link != l || s.pool == nil {
			s.mu.Unlock()
			return
		}
		c, book := s.conf, s.book
		v := decide(time.Now(), s.pool, m)
		if v.probe != nil {
			v.probe.asking = true
		}
		if v.named {
			s.publish()
		}
		s.mu.Unlock()

		if v.probe == nil {
			s.carryOut(l, c, book, m, v)
			return
		}
		free, asked := s.probe(l, m, v.probe)
		if !asked {
			s.served.dropped.Add(1)
			return
		}
		if free {
			s.carryOut(l, c, book, m, v)
			return
		}
		s.quarantine(book, v.give)
	}
}

// probe asks the LAN whether somebody uses an address that is to be offered. It
// asks nobody if too many are asking.
func (s *Server) probe(l *link, m *message, o *offer) (free, asked bool) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		o.asking = false
		switch {
		case free:
			o.probe = time.Now()
		case s.pool != nil:
			s.pool.unoffer(o.who)
		}
	}()
	select {
	case s.probes <- struct{}{}:
		defer func() { <-s.probes }()
	default:
		return false, false
	}
	return !l.inUse(o.addr, m.ClientHWAddr), true
}

// quarantine takes an address that somebody uses out of the pool.
func (s *Server) quarantine(book *journal.Log, a netip.Addr) {
	s.log.Warn("address is in use by a device that did not ask", "addr", a)
	s.mu.Lock()
	var rec []byte
	if s.pool != nil {
		rec = s.pool.decline(time.Now(), a)
		s.publish()
	}
	s.mu.Unlock()
	if rec == nil {
		return
	}
	if err := book.Append(context.Background(), rec); err != nil {
		s.log.Error("saving a lease failed", "addr", a, "err", err)
	}
}

// carryOut saves what must be saved, and then answers.
func (s *Server) carryOut(l *link, c Config, book *journal.Log, m *message, v verdict) {
	if v.save != nil {
		// Not bound to anybody's context: the disk decides.
		if err := book.Append(context.Background(), v.save); err != nil {
			s.log.Error("saving a lease failed", "addr", v.give, "err", err)
			return // no ACK for what is not saved
		}
		s.shorten(book)
	}
	if v.answer == silence {
		s.log.Debug("no answer", "kind", m.words(), "peer", m.who.mac, "err", v.why)
		return
	}
	r, err := reply(c, m, v.answer, v.give)
	if err == nil {
		err = l.send(m, r)
	}
	if err != nil {
		s.log.Warn("reply failed", "peer", m.who.mac, "err", err)
		return
	}
	switch v.answer {
	case dhcpv4.MessageTypeAck:
		s.served.acked.Add(1)
		switch {
		case v.named:
			s.log.Info("lease given", "addr", v.give, "peer", m.who.mac, "name", m.who.name)
			s.tell(v.give)
		case v.give.IsValid():
			s.log.Debug("lease renewed", "addr", v.give, "peer", m.who.mac)
		}
	case dhcpv4.MessageTypeNak:
		s.served.refused.Add(1)
		s.log.Info("lease refused", "addr", m.want, "peer", m.who.mac, "err", v.why)
	}
}

// tell says that an address was given to somebody new.
func (s *Server) tell(a netip.Addr) {
	if s.Given == nil {
		return
	}
	s.mu.Lock()
	var l Lease
	ok := false
	if s.pool != nil {
		if b := s.pool.byAddr[a]; b != nil {
			l, ok = s.pool.public(b, time.Now()), true
		}
	}
	s.mu.Unlock()
	if ok {
		s.Given(l)
	}
}

// small is how long the journal of a household may grow without a thought.
const small = 256 << 10

// shorten rewrites the journal once most of it is out of date.
func (s *Server) shorten(book *journal.Log) {
	s.mu.Lock()
	due := book.Size() > max(small, 4*s.kept)
	s.mu.Unlock()
	if !due {
		return
	}
	if err := s.rewrite(book); err != nil {
		s.log.Error("shortening the leases failed", "err", err)
	}
}

// rewrite makes the journal hold what the pool holds and nothing more.
func (s *Server) rewrite(book *journal.Log) error {
	err := book.Rewrite(context.Background(), func(emit func([]byte) error) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pool == nil {
			return errors.New("the server has stopped")
		}
		for _, b := range s.pool.byAddr {
			if err := emit(b.encode()); err != nil {
				return err
			}
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = max(book.Size(), s.kept) // after a failure, too: not again at once
	if err == nil {
		s.kept = book.Size()
	}
	return err
}
