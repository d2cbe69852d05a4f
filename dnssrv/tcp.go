package dnssrv

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	maxConns        = 256 // TCP connections, and as many with TLS
	maxConnsPerHost = 32  // of them from one client
	idle            = 10 * time.Second
	idleCrowded     = 2 * time.Second // idle, while more than half of maxConns are open
	maxBatch        = 16 << 10        // bytes of answers that are gathered before they are sent
)

// conns are the open connections of one kind.
type conns struct {
	crowd *crowd
	mu    sync.Mutex
	open  map[net.Conn]bool
}

func newConns() *conns {
	return &conns{crowd: newCrowd(maxConns, maxConnsPerHost), open: map[net.Conn]bool{}}
}

func (cs *conns) enter(c net.Conn, a addr) bool {
	if !cs.crowd.enter(a) {
		return false
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.open[c] = true
	return true
}

func (cs *conns) leave(c net.Conn, a addr) {
	cs.crowd.leave(a)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c)
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
	s.accept(run, l, s.conns, func(conn net.Conn, c client) {
		c.proto = overTCP
		s.stream(run, conn, s.conns, c)
	})
}

// accept lets serve answer on each connection that l accepts, as far as cs has
// room for it, until l is closed.
func (s *Server) accept(run context.Context, l net.Listener, cs *conns, serve func(net.Conn, client)) {
	s.wg.Go(func() {
		for pause := time.Millisecond; ; {
			conn, err := l.Accept()
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
			c := client{from: addrOf(conn.RemoteAddr()), to: addrOf(conn.LocalAddr())}
			if run.Err() != nil || !cs.enter(conn, c.from) {
				conn.Close()
				continue
			}
			s.wg.Go(func() {
				defer cs.leave(conn, c.from)
				defer conn.Close()
				defer s.guard(c.from)
				serve(conn, c)
			})
		}
	})
}

// stream answers the queries of one connection, each as soon as it can
// (RFC 7766 §6.2.1.1). What is at hand goes out together once the client has
// sent nothing more.
func (s *Server) stream(run context.Context, conn net.Conn, cs *conns, c client) {
	w := &framer{conn: conn}
	c.more = w.write
	c.seen = sightings.Get().(*sighting)
	defer sightings.Put(c.seen)
	var pending sync.WaitGroup
	defer pending.Wait()
	defer w.flush()
	slots := make(chan struct{}, maxPipelined)
	in := bufio.NewReaderSize(conn, 2+maxQuery)
	for run.Err() == nil {
		if !framed(in) && w.flush() != nil {
			return
		}
		b, err := readFrame(conn, in, cs.idle())
		if err != nil {
			return
		}
		s.count.over[c.proto].Add(1)
		if s.admit(c.from, time.Now()) != pass && (w.flush() != nil || !s.pace(run, c.from)) {
			return
		}
		out, later := s.answer(run, b, c)
		switch {
		case out != nil:
			if w.add(out) != nil || !s.welcome(c.from) {
				return
			}
		case later != nil:
			select {
			case slots <- struct{}{}:
			default: // no more are read than can be answered
				if w.flush() != nil {
					return
				}
				slots <- struct{}{}
			}
			pending.Go(func() {
				defer func() { <-slots }()
				defer s.guard(c.from)
				if out := s.await(run, c, later); out == nil || w.write(out) != nil {
					conn.Close()
				}
			})
		default:
			return // nobody who speaks DNS
		}
	}
}

// framed reports whether a whole message has been read ahead.
func framed(in *bufio.Reader) bool {
	have := in.Buffered()
	if have < 2 {
		return false
	}
	size, err := in.Peek(2)
	return err == nil && have >= 2+int(binary.BigEndian.Uint16(size))
}

// readFrame reads one message, whose length comes before it. It is good until
// the next read.
func readFrame(conn net.Conn, in *bufio.Reader, idle time.Duration) ([]byte, error) {
	if in.Buffered() < 2 {
		conn.SetReadDeadline(time.Now().Add(idle))
	}
	size, err := in.Peek(2)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size))
	if n > maxQuery {
		return nil, errFormat
	}
	if in.Buffered() < 2+n {
		conn.SetReadDeadline(time.Now().Add(slow))
	}
	b, err := in.Peek(2 + n)
	if err != nil {
		return nil, err
	}
	_, err = in.Discard(2 + n)
	return b[2:], err
}

// A framer writes messages to a connection, each whole.
type framer struct {
	conn net.Conn
	mu   sync.Mutex
	buf  []byte // messages that are not sent yet
}

// write sends b, and what was added before.
func (f *framer) write(b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.append(b)
	return f.send()
}

// add sends b with the messages that follow, or with the next flush.
func (f *framer) add(b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.append(b)
	if len(f.buf) < maxBatch {
		return nil
	}
	return f.send()
}

func (f *framer) flush() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.send()
}

func (f *framer) append(b []byte) {
	f.buf = binary.BigEndian.AppendUint16(f.buf, uint16(len(b)))
	f.buf = append(f.buf, b...)
}

func (f *framer) send() error {
	if len(f.buf) == 0 {
		return nil
	}
	f.conn.SetWriteDeadline(time.Now().Add(slow))
	_, err := f.conn.Write(f.buf)
	if cap(f.buf) > maxBatch+maxSize {
		f.buf = nil
	}
	f.buf = f.buf[:0]
	return err
}

func addrOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
