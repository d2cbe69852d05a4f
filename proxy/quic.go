package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"pic/internal/listen"
)

// Limits of HTTP/3. A connection of it can hold more than one over TCP, so there
// are fewer.
const (
	maxQUIC      = 512
	maxQUICFrom  = 64  // of one address, or one /64
	maxStreams   = 100 // requests of a connection under way
	maxUni       = 16  // its other streams
	streamWindow = 256 << 10
	connWindow   = 1 << 20
	aliveQUIC    = 15 * time.Second
	arrival      = 200 * time.Millisecond // of what was sent last
)

var errCrowded = errors.New("too many connections")

// A quicFront takes connections over HTTP/3 (RFC 9114) from changing sockets.
// Requests have the time limits that the guard gives those of HTTP/1.
type quicFront struct {
	f    *front
	http *http3.Server
	tls  *tls.Config
	wg   sync.WaitGroup

	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
	open map[*quic.Conn]net.PacketConn // and the socket that it goes over

	busy  int           // requests under way
	quiet chan struct{} // closed when there are none, once somebody waits for that
}

func (f *front) startQUIC() *quicFront {
	q := &quicFront{f: f, from: map[netip.Prefix]int{}, open: map[*quic.Conn]net.PacketConn{}}
	q.http = &http3.Server{
		Handler:        http.HandlerFunc(q.answer),
		MaxHeaderBytes: maxHeaderBytes,
		IdleTimeout:    idleTime,
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context {
			tunnel, _ := ctx.Value(tunnelKey{}).(bool)
			return context.WithValue(ctx, connKey{}, &conn{front: f, peer: addrOf(c.RemoteAddr()), tunnel: tunnel})
		},
	}
	q.tls = http3.ConfigureTLSConfig(&tls.Config{GetCertificate: f.s.cert})
	return q
}

// tunnelKey tells connections through the VPN.
type tunnelKey struct{}

// serve takes connections from b until it is closed. While there are many, or
// many from one address, those who come must prove where they are (RFC 9000
// §8.1.2).
func (q *quicFront) serve(b listen.Bound) error {
	tr := &quic.Transport{
		Conn:                b.Packet,
		VerifySourceAddress: func(a net.Addr) bool { return q.half(network(addrOf(a))) },
		ConnContext: func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			p := network(addrOf(info.RemoteAddr))
			if !q.enter(p) {
				q.f.s.refused.Add(1)
				return nil, errCrowded
			}
			context.AfterFunc(ctx, func() { q.leave(p) })
			return context.WithValue(ctx, tunnelKey{}, b.Scope == listen.InTunnel), nil
		},
	}
	l, err := tr.Listen(q.tls, &quic.Config{
		HandshakeIdleTimeout:           shakeTime / 2,
		MaxIdleTimeout:                 idleTime,
		KeepAlivePeriod:                aliveQUIC,
		InitialStreamReceiveWindow:     streamWindow / 4,
		MaxStreamReceiveWindow:         streamWindow,
		InitialConnectionReceiveWindow: connWindow / 4,
		MaxConnectionReceiveWindow:     connWindow,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          maxUni,
	})
	if err != nil {
		return err
	}
	q.f.wg.Go(func() {
		defer tr.Close()
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return // b was closed
			}
			q.wg.Go(func() { q.requests(c, b.Packet) })
		}
	})
	return nil
}

// requests answers the streams of one connection.
func (q *quicFront) requests(c *quic.Conn, over net.PacketConn) {
	defer c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	defer q.calm(c)
	if !q.hold(c, over) {
		return
	}
	defer q.drop(c)
	h, err := q.http.NewRawServerConn(c)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			str, err := c.AcceptUniStream(c.Context())
			if err != nil {
				return
			}
			wg.Go(func() {
				defer q.calm(c)
				h.HandleUnidirectionalStream(str)
			})
		}
	})
	for {
		str, err := c.AcceptStream(c.Context())
		if err != nil {
			return
		}
		_ = str.SetReadDeadline(time.Now().Add(headTime)) // until answer
		q.begin(1)
		wg.Go(func() {
			defer q.begin(-1)
			defer q.calm(c)
			h.HandleRequestStream(str)
		})
	}
}

// calm keeps a connection that breaks something from ending the process.
func (q *quicFront) calm(c *quic.Conn) {
	if p := recover(); p != nil {
		q.f.s.log.Error("a connection broke the server", "addr", c.RemoteAddr(), "err", p, "stack", string(debug.Stack()))
	}
}

// answer answers one request.
func (q *quicFront) answer(w http.ResponseWriter, r *http.Request) {
	p := &patient{w, http.NewResponseController(w)}
	p.extend()
	r.Body = &patientBody{r.Body, p.ctl}
	q.f.s.ServeHTTP(p, r)
}

// A patient response gives up when the client takes nothing in for writeTime.
type patient struct {
	http.ResponseWriter
	ctl *http.ResponseController
}

func (p *patient) extend() { _ = p.ctl.SetWriteDeadline(time.Now().Add(writeTime)) }

func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *patient) Write(b []byte) (n int, err error) {
	for err == nil && n < len(b) {
		p.extend()
		var m int
		m, err = p.ResponseWriter.Write(b[n:min(len(b), n+writePiece)])
		n += m
	}
	return n, err
}

// Flush serves handlers that look for an [http.Flusher] themselves.
func (p *patient) Flush() {
	p.extend()
	_ = p.ctl.Flush()
}

// A patientBody gives up when the client sends nothing for bodyTime.
type patientBody struct {
	io.ReadCloser
	ctl *http.ResponseController
}

func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.ctl.SetReadDeadline(time.Now().Add(bodyTime))
	return b.ReadCloser.Read(p)
}

func (q *quicFront) enter(p netip.Prefix) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all >= maxQUIC || q.from[p] >= maxQUICFrom {
		return false
	}
	q.all++
	q.from[p]++
	q.f.s.open.Add(1)
	return true
}

func (q *quicFront) leave(p netip.Prefix) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all--
	q.f.s.open.Add(-1)
	if q.from[p]--; q.from[p] <= 0 {
		delete(q.from, p)
	}
}

func (q *quicFront) half(p netip.Prefix) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.all >= maxQUIC/2 || q.from[p] >= maxQUICFrom/2
}

// hold notes a connection for the end; false if that has come.
func (q *quicFront) hold(c *quic.Conn, over net.PacketConn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		return false
	}
	q.open[c] = over
	return true
}

func (q *quicFront) drop(c *quic.Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, c)
}

// begin counts n more requests under way.
func (q *quicFront) begin(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy += n
	if q.busy == 0 && q.quiet != nil {
		close(q.quiet)
		q.quiet = nil
	}
}

// settle waits until no request is under way and the last answers are likely to
// have arrived, or ctx ends.
func (q *quicFront) settle(ctx context.Context) {
	q.mu.Lock()
	if q.all > 0 {
		defer func() {
			select {
			case <-time.After(arrival):
			case <-ctx.Done():
			}
		}()
	}
	if q.busy == 0 {
		q.mu.Unlock()
		return
	}
	quiet := make(chan struct{})
	q.quiet = quiet
	q.mu.Unlock()
	select {
	case <-quiet:
	case <-ctx.Done():
	}
}

// part tells the clients at a socket that their connections end, while it can.
func (q *quicFront) part(over net.PacketConn) {
	q.mu.Lock()
	var gone []*quic.Conn
	for c, pc := range q.open {
		if pc == over {
			gone = append(gone, c)
		}
	}
	q.mu.Unlock()
	bye(gone)
}

// close ends all connections.
func (q *quicFront) close() {
	q.mu.Lock()
	all := slices.Collect(maps.Keys(q.open))
	q.open = nil
	q.mu.Unlock()
	bye(all)
	q.wg.Wait()
}

func bye(all []*quic.Conn) {
	for _, c := range all {
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
}

// advertise tells the client of a request over TCP that HTTP/3 is at the same
// port (RFC 7838), which is what it sees of it, behind a router too.
func (t *table) advertise(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil || r.ProtoMajor > 2 {
		return
	}
	if alt := t.alternative(r.Host); alt != "" {
		w.Header()["Alt-Svc"] = []string{alt}
	}
}

// alternative is what to tell of HTTP/3 to a client that came to host, or empty.
func (t *table) alternative(host string) string {
	if len(t.conf.QUIC) == 0 {
		return ""
	}
	port := "443"
	if _, said, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(said, 10, 16); err == nil {
			port = said
		}
	}
	return `h3=":` + port + `"; ma=86400`
}

func addrOf(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
