package dnssrv

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	maxQUIC        = 256 // connections
	maxQUICPerHost = 32  // of them from one client
	maxStreams     = 64  // queries of one connection that are under way
	idleQUIC       = 30 * time.Second
	// maxCancelled is how many queries of one connection may be given up before
	// it has to be made anew, unless more than that many were answered.
	maxCancelled = 256
)

// Errors that end a connection or a stream (RFC 9250 §4.3).
const (
	doqDone      quic.ApplicationErrorCode = 0
	doqInternal  quic.StreamErrorCode      = 1
	doqProtocol  quic.ApplicationErrorCode = 2
	doqGaveUp    quic.StreamErrorCode      = 3
	doqExcessive quic.ApplicationErrorCode = 4
)

var errBusy = errors.New("too many connections")

// serveQUIC answers DNS over QUIC (RFC 9250) at pc until it is closed. There is
// no 0-RTT, so that no query can be replayed. While many connections are open,
// or many from one address, those who come must prove that they are where they
// say (RFC 9000 §8.1.2).
func (s *Server) serveQUIC(run context.Context, pc net.PacketConn) error {
	tr := &quic.Transport{
		Conn:                pc,
		VerifySourceAddress: func(a net.Addr) bool { return s.quics.half(addrOf(a)) },
		ConnContext: func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			from := addrOf(info.RemoteAddr)
			if !s.welcome(from) {
				s.count.refused.Add(1)
				return nil, errBusy
			}
			if !s.quics.enter(from) {
				return nil, errBusy
			}
			context.AfterFunc(ctx, func() { s.quics.leave(from) })
			return ctx, nil
		},
	}
	conf := s.tlsConfig("doq")
	conf.MinVersion = tls.VersionTLS13
	l, err := tr.Listen(conf, &quic.Config{
		HandshakeIdleTimeout:           shake,
		MaxIdleTimeout:                 idleQUIC,
		InitialStreamReceiveWindow:     2 + maxQuery + 1,
		MaxStreamReceiveWindow:         2 + maxQuery + 1,
		InitialConnectionReceiveWindow: 64 << 10,
		MaxConnectionReceiveWindow:     64 << 10,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          -1,
		RequireStreamCreditRelease:     true, // who cancels must not get another before we are done
	})
	if err != nil {
		return err
	}
	s.wg.Go(func() {
		defer tr.Close()
		for {
			conn, err := l.Accept(run)
			if err != nil {
				return // pc was closed
			}
			s.wg.Go(func() {
				from := addrOf(conn.RemoteAddr())
				defer s.guard(from)
				s.talks.begin(conn, pc)
				defer s.talks.end(conn)
				s.queries(run, conn, client{
					from: from, to: addrOf(conn.LocalAddr()), proto: overQUIC,
					id: s.table.Load().says(conn.ConnectionState().TLS.ServerName),
				})
			})
		}
	})
	return nil
}

// talks are the open connections, and the sockets that they go over.
type talks struct {
	mu   sync.Mutex
	over map[*quic.Conn]net.PacketConn
}

func (ts *talks) begin(c *quic.Conn, pc net.PacketConn) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.over[c] = pc
}

func (ts *talks) end(c *quic.Conn) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.over, c)
}

// close tells the clients at pc that their connections end, while pc still can.
func (ts *talks) close(pc net.PacketConn) {
	ts.mu.Lock()
	var gone []*quic.Conn
	for c, over := range ts.over {
		if over == pc {
			gone = append(gone, c)
		}
	}
	ts.mu.Unlock()
	for _, c := range gone {
		c.CloseWithError(doqDone, "")
	}
}

// A talk is one connection of DNS over QUIC.
type talk struct {
	s         *Server
	conn      *quic.Conn
	answered  atomic.Int64
	cancelled atomic.Int64
}

// queries answers the streams of one connection, each of which is one query.
func (s *Server) queries(run context.Context, conn *quic.Conn, c client) {
	t := &talk{s: s, conn: conn}
	var pending sync.WaitGroup
	defer pending.Wait()
	defer conn.CloseWithError(doqDone, "")
	for {
		str, err := conn.AcceptStream(run)
		if err != nil {
			return
		}
		pending.Go(func() {
			defer str.ReleaseStreamCredit()
			done := false
			defer func() {
				if !done {
					str.CancelRead(doqGaveUp)
					str.CancelWrite(doqInternal)
				}
			}()
			defer s.guard(c.from)
			done = t.query(run, str, c)
		})
	}
}

// query answers one stream and reports whether the answer is on its way.
func (t *talk) query(run context.Context, str *quic.Stream, c client) bool {
	str.SetDeadline(time.Now().Add(slow))
	b, err := readQuery(str)
	switch {
	case errors.Is(err, errFormat):
		t.conn.CloseWithError(doqProtocol, "malformed query")
		return false
	case err != nil:
		t.s.admit(c.from, time.Now()) // it counts like one that was asked
		t.gaveUp()
		return false
	}
	t.s.count.over[overQUIC].Add(1)
	if !t.s.pace(str.Context(), c.from) {
		t.gaveUp()
		return false
	}
	c.seen = sightings.Get().(*sighting)
	defer sightings.Put(c.seen)
	c.more = func(b []byte) error { return t.write(str, b) }
	out, later := t.s.answer(run, b, c)
	if later != nil {
		out = t.s.await(str.Context(), c, later)
	}
	switch {
	case run.Err() != nil:
	case str.Context().Err() != nil:
		t.gaveUp()
	case out == nil:
		t.conn.CloseWithError(doqProtocol, "not a query")
	case t.write(str, out) != nil:
		t.gaveUp()
	default:
		str.Close()
		t.answered.Add(1)
		if !t.s.welcome(c.from) {
			t.conn.CloseWithError(doqDone, "")
		}
		return true
	}
	return false
}

func (t *talk) write(str *quic.Stream, b []byte) error {
	str.SetWriteDeadline(time.Now().Add(slow))
	_, err := str.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b))), b...))
	return err
}

// gaveUp counts a query that its client did not wait for.
func (t *talk) gaveUp() {
	t.s.count.dropped.Add(1)
	if n := t.cancelled.Add(1); n > maxCancelled && n > t.answered.Load() {
		t.conn.CloseWithError(doqExcessive, "too many queries were given up")
	}
}

// readQuery reads the one message of a stream to its end. errFormat is what the
// protocol forbids: a length that is wrong, an id, an option about the idle time
// of connections (RFC 9250 §4.2.1, §5.5.2).
func readQuery(r io.Reader) ([]byte, error) {
	buf := make([]byte, 512)
	n := 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if n == len(buf) {
			if n > 2+maxQuery {
				return nil, errFormat
			}
			buf = append(buf, make([]byte, min(len(buf), 2+maxQuery+1-len(buf)))...)
		}
	}
	if n < 2+headerLen || n != 2+int(binary.BigEndian.Uint16(buf)) || buf[2]|buf[3] != 0 {
		return nil, errFormat
	}
	b := buf[2:n]
	if q, err := parse(b); err == nil && q.alive {
		return nil, errFormat
	}
	return b, nil
}
