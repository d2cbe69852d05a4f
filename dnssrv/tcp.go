package dnssrv

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	maxConns        = 256 // TCP connections
	maxConnsPerHost = 32  // of them from one client
	maxPipelined    = 32  // queries of one connection that wait for upstreams
	idle            = 10 * time.Second
	idleCrowded     = 2 * time.Second       // idle, while more than half of maxConns are open
	crowded         = 20 * time.Millisecond // until it is seen again whether a client may wait for one more
	slow            = 5 * time.Second       // a message must have come, or gone, after this
)

func streamLimit(*query) int { return maxSize }

// conns are the open TCP connections.
type conns struct {
	mu   sync.Mutex
	open map[net.Conn]addr
	by   map[addr]int
}

func (cs *conns) enter(c net.Conn, a addr) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) >= maxConns || cs.by[a] >= maxConnsPerHost {
		return false
	}
	cs.open[c] = a
	cs.by[a]++
	return true
}

func (cs *conns) leave(c net.Conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	a := cs.open[c]
	delete(cs.open, c)
	if cs.by[a]--; cs.by[a] == 0 {
		delete(cs.by, a)
	}
}

// idle is how long a connection may be without a query.
func (cs *conns) idle() time.Duration {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) > maxConns/2 {
		return idleCrowded
	}
	return idle
}

func (cs *conns) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.open {
		c.Close()
	}
}

// serveTCP answers on the connections that l accepts until it is closed.
func (s *Server) serveTCP(run context.Context, l net.Listener) {
	s.wg.Go(func() {
		for pause := time.Millisecond; ; {
			c, err := l.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				s.log.Warn("accepting a connection", "err", err)
				if !sleep(run, pause) {
					return
				}
				pause = min(2*pause, time.Second)
				continue
			}
			pause = time.Millisecond
			from := addrOf(c.RemoteAddr())
			if run.Err() != nil || !s.conns.enter(c, from) {
				c.Close()
				continue
			}
			s.wg.Go(func() {
				defer s.conns.leave(c)
				defer c.Close()
				defer s.guard(from)
				s.stream(run, c, client{from: from, to: addrOf(c.LocalAddr())})
			})
		}
	})
}

// stream answers the queries of one connection, each as soon as it can
// (RFC 7766 §6.2.1.1).
func (s *Server) stream(run context.Context, conn net.Conn, c client) {
	w := &framer{conn: conn}
	var pending sync.WaitGroup
	defer pending.Wait()
	slots := make(chan struct{}, maxPipelined)
	buf := make([]byte, maxQuery)
	for run.Err() == nil {
		n, err := readFrame(conn, buf, s.conns.idle())
		if err != nil {
			return
		}
		s.count.tcp.Add(1)
		out, later := s.respond(run, buf[:n], c, streamLimit)
		switch {
		case out != nil:
			if w.write(out) != nil || !holds(s.table.Load().conf.Allow, c.from) {
				return
			}
		case later != nil:
			slots <- struct{}{} // no more are read than can be answered
			for !s.waiting.enter(c.from) {
				if !sleep(run, crowded) {
					return
				}
			}
			pending.Go(func() {
				defer func() { <-slots }()
				defer s.waiting.leave(c.from)
				defer s.guard(c.from)
				if w.write(later()) != nil {
					conn.Close()
				}
			})
		default:
			return // nobody who speaks DNS
		}
	}
}

// readFrame reads one message into buf, whose length comes before it.
func readFrame(conn net.Conn, buf []byte, idle time.Duration) (int, error) {
	var size [2]byte
	conn.SetReadDeadline(time.Now().Add(idle))
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > len(buf) {
		return 0, errFormat
	}
	conn.SetReadDeadline(time.Now().Add(slow))
	_, err := io.ReadFull(conn, buf[:n])
	return n, err
}

// A framer writes messages to a connection, each whole.
type framer struct {
	conn net.Conn
	mu   sync.Mutex
}

func (f *framer) write(b []byte) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b)))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn.SetWriteDeadline(time.Now().Add(slow))
	_, err := f.conn.Write(append(framed, b...))
	return err
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
