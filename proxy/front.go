package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"pic/internal/h2"
	"pic/internal/listen"
)

// Limits towards clients, besides those of guard.
const (
	maxConns     = 4096
	maxConnsFrom = 512 // of one address, or one /64; loopback has no such limit
	shakeTime    = 10 * time.Second
	idleTime     = 2 * time.Minute
	stopTime     = 3 * time.Second
)

// alive finds out whether clients that are silent, as websockets may be for
// days, are still there.
var alive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: 30 * time.Second, Count: 4}

// A front takes connections from changing listeners to one http.Server: HTTP/2
// as *tls.Conn, as net/http wants it, and HTTP/1 behind a guard.
type front struct {
	s    *Server
	http *http.Server
	tls  *tls.Config
	in   inlet
	late *http.Server // of connections over HTTP/2 whose beginning was read; see quick.go
	inL  inlet
	quic *quicFront
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns map[*conn]struct{}
	from  map[netip.Prefix]int
	mixed map[netip.Addr]time.Time // clients that want more than DNS over one connection, and until when that is remembered
	ended bool
}

// A conn is a client's connection, counted.
type conn struct {
	net.Conn
	front  *front
	peer   netip.Addr
	tunnel bool                 // it came through the VPN
	guard  *guard               // over it, if it carries HTTP/1
	tls    *tls.ConnectionState // of it, if net/http cannot see that
	quick  *h2.Conn             // over it, if it carries DNS; front.mu guards it
	once   sync.Once
}

// cutShort reports whether a request whose body turned out to be malformed is
// under way. net/http then cancels the request like that of a client that left.
func (c *conn) cutShort() bool { return c.guard != nil && c.guard.midway.Load() }

func (c *conn) Close() error {
	c.once.Do(func() { c.front.forget(c) })
	return c.Conn.Close()
}

// CloseWrite ends our half of the connection.
func (c *conn) CloseWrite() error {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return nil
}

type connKey struct{}

// connOf returns the connection that r came over.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	if c == nil {
		c = &conn{} // of no address, and so admitted only to what is public
	}
	return c
}

// An inlet is the listener of the http.Server.
type inlet struct {
	ch   chan net.Conn
	done chan struct{}
	once *sync.Once
}

func (i inlet) Accept() (net.Conn, error) {
	select {
	case c := <-i.ch:
		return c, nil
	case <-i.done:
		return nil, net.ErrClosed
	}
}

// pass hands c to the server, or closes it if there is none any more.
func (i inlet) pass(c net.Conn) {
	select {
	case i.ch <- c:
	case <-i.done:
		c.Close()
	}
}

func (i inlet) Close() error {
	i.once.Do(func() { close(i.done) })
	return nil
}

func (i inlet) Addr() net.Addr { return &net.TCPAddr{} }

// start starts the http.Server.
func (s *Server) start() *front {
	f := &front{
		s:     s,
		in:    inlet{make(chan net.Conn), make(chan struct{}), new(sync.Once)},
		inL:   inlet{make(chan net.Conn), make(chan struct{}), new(sync.Once)},
		mixed: map[netip.Addr]time.Time{},
		conns: map[*conn]struct{}{},
		from:  map[netip.Prefix]int{},
		tls:   &tls.Config{GetCertificate: s.cert, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12},
	}
	serve := func(h *http.Server, in inlet) {
		f.wg.Go(func() {
			if err := h.Serve(in); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				s.log.Error("no longer serving", "err", err)
			}
		})
	}
	f.http = f.server()
	f.late = f.server()
	f.late.Protocols = new(http.Protocols)
	f.late.Protocols.SetUnencryptedHTTP2(true) // as far as it sees
	f.quic = f.startQUIC()
	serve(f.http, f.in)
	serve(f.late, f.inL)
	return f
}

// server returns an http.Server for connections of this front.
func (f *front) server() *http.Server {
	s := f.s
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 200, SendPingTimeout: idleTime / 4, WriteByteTimeout: writeTime},
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			switch g := c.(type) {
			case tlsGuard:
				c = g.tls.NetConn()
			case *guard:
				c = g.Conn
			case *tls.Conn:
				c = g.NetConn()
			case replayed:
				c = g.of
			}
			return context.WithValue(ctx, connKey{}, c)
		},
	}
}

// serve takes connections from b until it is closed.
func (f *front) serve(b listen.Bound) {
	f.wg.Go(func() {
		var wait time.Duration
		for {
			c, err := b.Listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // too many open files, most likely
				wait = min(max(2*wait, 5*time.Millisecond), time.Second)
				f.s.log.Warn("accepting a connection", "listen", b.Socket.String(), "err", err)
				select {
				case <-time.After(wait):
				case <-f.in.done:
				}
				continue
			}
			wait = 0
			if k := f.admit(c, b.Socket); k != nil {
				f.wg.Go(func() { f.receive(k, f.s.table.Load().tls[b.Socket]) })
			}
		}
	})
}

// admit counts a connection, or closes it where there are too many.
func (f *front) admit(c net.Conn, from listen.Socket) *conn {
	k := &conn{Conn: c, front: f, tunnel: from.Scope == listen.InTunnel}
	if a, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		k.peer = a.Addr().Unmap()
	}
	p := network(k.peer)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || len(f.conns) >= maxConns || f.from[p] >= maxConnsFrom && !k.peer.IsLoopback() {
		f.s.refused.Add(1)
		c.Close()
		return nil
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(alive) // the tunnel's own connections know none
	}
	f.conns[k] = struct{}{}
	f.from[p]++
	f.s.open.Add(1)
	return k
}

// network is what is likely one household.
func network(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

func (f *front) forget(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
	f.s.open.Add(-1)
	p := network(c.peer)
	if f.from[p]--; f.from[p] <= 0 {
		delete(f.from, p)
	}
}

// receive hands a connection to the http.Server, after the handshake if there
// is one.
func (f *front) receive(c *conn, secure bool) {
	defer func() {
		if err := recover(); err != nil {
			f.s.log.Error("a handshake failed", "addr", c.peer, "err", err, "stack", string(debug.Stack()))
			c.Close()
		}
	}()
	c.guard = &guard{Conn: c}
	var to net.Conn = c.guard
	if secure {
		t := tls.Server(c, f.tls)
		if err := f.shake(t, c); err != nil {
			f.s.log.Debug("no handshake", "addr", c.peer, "err", err)
			c.Close()
			return
		}
		c.guard.Conn, to = t, tlsGuard{c.guard, t}
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			c.guard, to = nil, t
			if f.quickly(c, t) {
				return
			}
		}
	}
	f.in.pass(to)
}

func (f *front) shake(t *tls.Conn, c *conn) error {
	c.SetDeadline(time.Now().Add(shakeTime))
	err := t.Handshake()
	if e := (tls.RecordHeaderError{}); errors.As(err, &e) && e.Conn != nil && looksLikeHTTP(e.RecordHeader) {
		io.WriteString(c, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThis port speaks HTTPS. Begin the address with https://\n")
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	return err
}

func looksLikeHTTP(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PROPF":
		return true
	}
	return false
}

// close refuses new connections and waits for the requests under way; after
// stopTime it calls cut, which ends what goes through routes, and closes all,
// the sockets by the function of that name last, for QUIC says goodbye there.
func (f *front) close(sockets, cut func()) {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, end := range []func(context.Context) error{f.http.Shutdown, f.late.Shutdown, f.settle} {
		wg.Go(func() {
			if err := end(ctx); err != nil {
				f.s.log.Debug("requests were cut off", "err", err)
			}
		})
	}
	wg.Wait()
	f.quic.settle(ctx)
	cut()
	f.quic.close()
	sockets()
	f.http.Close()
	f.late.Close()
	f.in.Close()
	f.inL.Close()
	f.mu.Lock()
	var left []*conn
	for c := range f.conns {
		left = append(left, c)
	}
	f.mu.Unlock()
	for _, c := range left {
		c.Close()
	}
	f.wg.Wait()
}
