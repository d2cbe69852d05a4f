package dhcpsrv

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"pic/core/state/journal"
)

// counters tell what the server did since it began.
type counters struct{ acked, refused, bad, dropped atomic.Int64 }

// A verdict is what to do about a message.
type verdict struct {
	answer dhcpv4.MessageType // none: say nothing
	give   netip.Addr
	probe  bool   // ask the LAN for give first
	save   []byte // before the answer leaves
	names  bool   // the set of names may have changed
	why    string // for the log
}

const silence = dhcpv4.MessageTypeNone

// tries is how many addresses are probed for one DISCOVER.
const tries = 3

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
		v := decide(time.Now(), c, s.pool, m)
		if v.names {
			s.publish()
		}
		s.mu.Unlock()

		if v.probe && l.inUse(v.give) {
			s.quarantine(book, v.give)
			continue
		}
		s.carryOut(l, c, book, m, v)
		return
	}
}

// quarantine takes an address that somebody uses out of the pool.
func (s *Server) quarantine(book *journal.Log, a netip.Addr) {
	s.log.Warn("address is in use by a device that did not ask", "addr", a)
	s.mu.Lock()
	var rec []byte
	if s.pool != nil {
		rec = s.pool.decline(time.Now(), a)
	}
	s.mu.Unlock()
	if rec == nil {
		return
	}
	if err := book.Append(context.Background(), rec); err != nil {
		s.log.Error("saving a lease failed", "addr", a, "err", err)
	}
}

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
		if v.save != nil {
			s.log.Info("lease given", "addr", v.give, "peer", m.who.mac, "name", m.who.name)
		}
	case dhcpv4.MessageTypeNak:
		s.served.refused.Add(1)
		s.log.Info("lease refused", "addr", m.want, "peer", m.who.mac, "err", v.why)
	}
}

// shorten rewrites the journal once most of it is out of date.
func (s *Server) shorten(book *journal.Log) {
	if book.Size() < 1<<20 {
		return
	}
	err := book.Rewrite(context.Background(), func(emit func([]byte) error) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pool == nil {
			return context.Canceled
		}
		for _, b := range s.pool.byAddr {
			if b.state == "" {
				continue
			}
			if err := emit(b.record()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.log.Error("shortening the leases failed", "err", err)
	}
}

// decide applies RFC 2131 §4.3 to one message. It changes the pool and does no
// I/O.
func decide(now time.Time, c Config, p *pool, m *message) verdict {
	if relay := addr(m.GatewayIPAddr); relay.IsValid() && !c.Server.Contains(relay) {
		return verdict{why: "a relay of another network"}
	}
	switch m.kind {
	case dhcpv4.MessageTypeDiscover:
		return discover(now, p, m)
	case dhcpv4.MessageTypeRequest:
		return request(now, c, p, m)
	case dhcpv4.MessageTypeDecline:
		b := p.of(m.who)
		if m.server != c.Server.Addr() || b == nil || b.addr != m.want {
			return verdict{why: "declines what it does not have"}
		}
		return verdict{save: p.decline(now, m.want), names: true, why: "declined"}
	case dhcpv4.MessageTypeRelease:
		rec, ok := p.release(now, m.who, m.ciaddr)
		return verdict{save: rec, names: ok, why: "released"}
	case dhcpv4.MessageTypeInform:
		if !c.Server.Contains(m.ciaddr) {
			return verdict{why: "informs from another network"}
		}
		return verdict{answer: dhcpv4.MessageTypeAck}
	}
	return verdict{why: "unknown message"}
}

func discover(now time.Time, p *pool, m *message) verdict {
	a, known, ok := p.offer(now, m.who, m.want)
	if !ok {
		return verdict{why: "no address is free"}
	}
	return verdict{answer: dhcpv4.MessageTypeOffer, give: a, probe: !known}
}

// request tells the four states of a client apart (RFC 2131 §4.3.2, table 4).
func request(now time.Time, c Config, p *pool, m *message) verdict {
	nak := func(why string) verdict { return verdict{answer: dhcpv4.MessageTypeNak, why: why} }
	own := p.of(m.who)
	switch {
	case m.server.IsValid() && m.server != c.Server.Addr(): // SELECTING another server
		p.unoffer(m.who)
		return verdict{why: "it took the offer of " + m.server.String()}
	case m.server.IsValid(): // SELECTING
		if !m.want.IsValid() {
			return verdict{why: "it names no address"}
		}
		if own == nil || own.addr != m.want {
			return nak("not what was offered")
		}
	case m.want.IsValid(): // INIT-REBOOT
		switch {
		case !c.Server.Contains(m.want):
			return nak("it comes from another network")
		case own == nil || own.state == "":
			return verdict{why: "it is not known here"}
		case own.addr != m.want:
			return nak("it has another address")
		}
	case m.ciaddr.IsValid(): // RENEWING, REBINDING
		m.want = m.ciaddr
		if !c.Server.Contains(m.ciaddr) {
			return nak("it comes from another network")
		}
	default:
		return verdict{why: "it names no address"}
	}
	rec, ok := p.lease(now, m.who, m.want)
	if !ok {
		return nak("the address is not for it")
	}
	return verdict{answer: dhcpv4.MessageTypeAck, give: m.want, save: rec, names: true}
}
