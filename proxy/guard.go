package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// How long a client may keep a connection waiting.
const (
	headTime  = 10 * time.Second // for a head, from its first byte
	bodyTime  = time.Minute      // for the next bytes of a body
	writeTime = 2 * time.Minute  // for taking in writePiece bytes
	lingering = 500 * time.Millisecond

	writePiece = 64 << 10
)

// A guard is a connection that carries HTTP/1. It passes nothing on that its
// scanner refuses: net/http is given a request that it refuses too, and answers
// 400 in its turn, after the responses to the requests before. Heads are passed
// on whole. Slow clients run into deadlines, whatever net/http sets.
type guard struct {
	net.Conn

	// Used by one reader at a time.
	scan scanner
	held []byte // read, but not passed on yet
	good int    // how many of held may be
	err  error  // met once they are

	bad    atomic.Bool // the client was refused
	midway atomic.Bool // after a part of its request was passed on

	mu     sync.Mutex
	begun  time.Time // when the head that is held began
	own    time.Time // deadlines for reading: ours
	asked  time.Time // and net/http's
	askedW time.Time // for writing
}

// A tlsGuard is a guard over TLS. net/http learns of that by ConnectionState.
type tlsGuard struct {
	*guard
	tls *tls.Conn
}

func (g tlsGuard) ConnectionState() tls.ConnectionState { return g.tls.ConnectionState() }

// refused is what net/http reads instead of a malformed request; it refuses it.
const refused = "REFUSED\r\n\r\n"

func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if g.good > 0 {
			n := copy(p, g.held[:g.good])
			g.held, g.good = g.held[n:], g.good-n
			if len(g.held) == 0 {
				g.held = nil // idle connections hold no buffer
			}
			return n, nil
		}
		if g.err != nil {
			return 0, g.err
		}
		g.hurry()
		if g.scan.phase == raw && len(g.held) == 0 {
			return g.Conn.Read(p)
		}
		if n, err := g.fill(p); n > 0 || err != nil {
			return n, err
		}
	}
}

// fill reads once from the connection, right into p where p is large enough and
// nothing is held, and returns how much of p may be passed on.
func (g *guard) fill(p []byte) (int, error) {
	direct := len(p) >= 512 && len(g.held) == 0
	buf := p
	if !direct {
		if cap(g.held)-len(g.held) < 512 {
			g.held = append(make([]byte, 0, 2*len(g.held)+2<<10), g.held...)
		}
		buf = g.held[len(g.held):cap(g.held)]
	}
	n, err := g.Conn.Read(buf)
	if n == 0 {
		return 0, err
	}
	all := buf[:n]
	if !direct {
		g.held = g.held[:len(g.held)+n]
		all = g.held
	}
	ok, bad := g.scan.scan(all)
	pass := ok // of all, then of held
	if direct {
		g.held, pass = append([]byte(nil), all[ok:]...), 0
	}
	switch {
	case bad != nil:
		g.bad.Store(true)
		g.held, g.err = g.held[:pass], errMidway
		if bad == errMalformed {
			g.held, g.err = append(g.held, refused...), io.EOF
		} else {
			g.midway.Store(true)
		}
		g.good = len(g.held)
	case len(g.held)-pass > maxHead:
		g.good = len(g.held) // net/http says what is wrong with it
		g.scan.phase = raw
	default:
		g.good = pass
	}
	if direct {
		return ok, nil
	}
	return 0, nil
}

// hurry sets our own deadline for the read that follows.
func (g *guard) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	var own time.Time
	switch {
	case g.scan.phase == raw:
	case g.scan.phase != headLine:
		own = time.Now().Add(bodyTime)
	case len(g.held) > 0:
		if g.begun.IsZero() {
			g.begun = time.Now()
		}
		own = g.begun.Add(headTime)
	}
	if g.scan.phase != headLine || len(g.held) == 0 {
		g.begun = time.Time{}
	}
	if own != g.own {
		g.own = own
		g.Conn.SetReadDeadline(earlier(g.own, g.asked))
	}
}

func (g *guard) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = t
	return g.Conn.SetReadDeadline(earlier(g.own, t))
}

func (g *guard) SetWriteDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.askedW = t
	return g.Conn.SetWriteDeadline(t)
}

func (g *guard) SetDeadline(t time.Time) error {
	return errors.Join(g.SetReadDeadline(t), g.SetWriteDeadline(t))
}

// Write gives up when the client takes nothing in for writeTime.
func (g *guard) Write(p []byte) (n int, err error) {
	for err == nil {
		piece := p[n:min(len(p), n+writePiece)]
		g.mu.Lock()
		g.Conn.SetWriteDeadline(earlier(g.askedW, time.Now().Add(writeTime)))
		g.mu.Unlock()
		var m int
		m, err = g.Conn.Write(piece)
		if n += m; n >= len(p) {
			break
		}
	}
	return n, err
}

// CloseWrite ends our half of the connection.
func (g *guard) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// Close closes the connection. One that was refused lingers, lest what the
// client still sends resets it before it has read why.
func (g *guard) Close() error {
	if g.bad.Swap(false) && g.CloseWrite() == nil {
		g.Conn.SetReadDeadline(time.Now().Add(lingering))
		io.CopyN(io.Discard, g.Conn, 256<<10)
	}
	return g.Conn.Close()
}

// earlier returns the earlier of two deadlines, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
