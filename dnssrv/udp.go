package dnssrv

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"pic/internal/datagram"
)

const (
	readers  = 2    // goroutines that read from one UDP socket
	maxQuery = 4096 // bytes of a message of a client
)

type addr = netip.Addr

// datagramLimit is how much a client takes over UDP.
func datagramLimit(q *query) int { return q.size }

// serveUDP answers what comes in at pc until it is closed.
func (s *Server) serveUDP(run context.Context, pc net.PacketConn) {
	conn := datagram.Wrap(pc)
	conn.ReadBuffer(1 << 20) // bursts of a browser, while we wait for the disk or a core
	for range readers {
		s.wg.Go(func() { s.read(run, conn) })
	}
}

func (s *Server) read(run context.Context, conn *datagram.Conn) {
	p := datagram.NewPacket(maxQuery)
	seen := new(sighting)
	for pause := time.Millisecond; ; {
		err := conn.Read(p)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.log.Warn("reading a query", "err", err)
			if !sleep(run, pause) {
				return
			}
			pause = min(2*pause, time.Second)
		default:
			pause = time.Millisecond
			s.datagram(run, conn, p, seen)
		}
	}
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

func (s *Server) datagram(run context.Context, conn *datagram.Conn, p *datagram.Packet, seen *sighting) {
	defer s.guard(p.From.Addr())
	s.count.udp.Add(1)
	c := client{from: p.From.Addr(), to: p.To, seen: seen}
	if out := s.hit(seen, p.Data, c); out != nil {
		s.send(conn, out, p)
		return
	}
	out, later := s.respond(run, p.Data, c, datagramLimit)
	if later == nil {
		s.send(conn, out, p)
		return
	}
	if !s.waiting.enter(c.from) {
		s.count.dropped.Add(1) // the client asks again; nobody gains from an error
		return
	}
	back := p.Copy()
	s.wg.Go(func() {
		defer s.waiting.leave(c.from)
		defer s.guard(c.from)
		s.send(conn, later(), back)
	})
}

func (s *Server) send(conn *datagram.Conn, b []byte, to *datagram.Packet) {
	if b == nil {
		return
	}
	if err := conn.Reply(b, to); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("sending a reply", "addr", to.From, "err", err)
	}
}

// guard keeps a message that breaks something from ending the process.
func (s *Server) guard(from netip.Addr) {
	if p := recover(); p != nil {
		s.log.Error("a query broke the server", "addr", from, "err", p, "stack", string(debug.Stack()))
	}
}
