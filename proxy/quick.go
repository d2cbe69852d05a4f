package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"pic/internal/h2"
)

// Who asks for DNS and more over one connection is served by net/http alone for a
// while, lest he has to come twice again and again.
const (
	mixedTime = 10 * time.Minute
	maxMixed  = 512
)

// A replayed connection is read from its beginning again.
type replayed struct {
	net.Conn
	of *conn
}

// quickly serves a connection over HTTP/2 by the quick way of the site that the
// client came for, if its first request is one for that. Else the late server
// gets it. It is false, and has done nothing, where neither is to be: the site
// has no such way, or the TLS is of a version about which net/http has to say
// something (RFC 9113 §9.2).
func (f *front) quickly(c *conn, t *tls.Conn) bool {
	state := t.ConnectionState()
	if state.Version < tls.VersionTLS13 || f.isMixed(c.peer) {
		return false
	}
	table := f.s.table.Load()
	p := table.home // for those who come by address
	if state.ServerName != "" {
		p, _ = table.site(state.ServerName)
	}
	if p == nil || p.quick == nil {
		return false
	}
	g := &gate{s: f.s, c: c, sni: state.ServerName}
	start, ours, err := h2.Begin(t, func(authority, path []byte) bool {
		way, _ := g.Way(authority, path)
		return way == h2.Direct
	})
	switch {
	case err != nil:
		t.Close()
		return true
	case !ours:
		c.tls = &state
		f.inL.pass(replayed{start.Replay(t), c})
		return true
	}
	q := h2.New(h2.Options{
		Log: f.s.log, Conn: t, TLS: &state, From: c.peer, To: localOf(t),
		Gate: g, Handler: counted{p.quick.Sessions(), f.s}, Rest: f.s,
		Dress: func(r *http.Request) *http.Request {
			return r.WithContext(context.WithValue(r.Context(), connKey{}, c))
		},
	}, start)
	f.mu.Lock()
	ended := f.ended
	c.quick = q
	f.mu.Unlock()
	if ended {
		q.Shutdown()
	}
	parted := q.Serve()
	f.mu.Lock()
	defer f.mu.Unlock()
	c.quick = nil
	if parted {
		if len(f.mixed) >= maxMixed {
			clear(f.mixed)
		}
		f.mixed[c.peer] = time.Now().Add(mixedTime)
	}
	return true
}

func (f *front) isMixed(a netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	until, ok := f.mixed[a]
	if ok && time.Now().After(until) {
		delete(f.mixed, a)
		return false
	}
	return ok
}

// settle ends the quick connections as soon as what is under way is answered, or
// ctx ends.
func (f *front) settle(ctx context.Context) error {
	for first := true; ; first = false {
		var left []*h2.Conn
		f.mu.Lock()
		for c := range f.conns {
			if c.quick != nil {
				left = append(left, c.quick)
			}
		}
		f.mu.Unlock()
		if len(left) == 0 {
			return nil
		}
		if first {
			for _, q := range left {
				f.wg.Go(q.Shutdown) // it writes, and clients need not read before they are cut off
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// localOf is the address of the cell that the client came to.
func localOf(c net.Conn) netip.Addr {
	a, _ := netip.ParseAddrPort(c.LocalAddr().String())
	return a.Addr().Unmap()
}

// A gate says of requests over one connection what [Server.ServeHTTP] would.
type gate struct {
	s   *Server
	c   *conn
	sni string

	// What was found of a host, until that or the table changes.
	table *table
	host  []byte
	site  *site // nil: ServeHTTP has something to say
	alt   string
}

func (g *gate) Way(authority, path []byte) (h2.Way, string) {
	t := g.s.table.Load()
	if t != g.table || !bytes.Equal(authority, g.host) {
		g.look(t, string(authority))
	}
	switch {
	case g.site == nil:
		return h2.Whole, ""
	case g.site.quick == nil || !g.site.quick.Wants(path):
		return h2.Elsewhere, ""
	case g.s.log.Enabled(context.Background(), slog.LevelDebug): // which wants to know more
		return h2.Whole, ""
	}
	return h2.Direct, g.alt
}

func (g *gate) look(t *table, host string) {
	g.table, g.host = t, append(g.host[:0], host...)
	g.alt = t.alternative(host)
	p, name := t.site(host)
	if p != nil && (!t.admits(p.access, g.c.peer) || t.misdirected(g.sni, p, name)) {
		p = nil
	}
	g.site = p
}

func (g *gate) Enter() bool { return g.s.load.enter(g.c.peer) }

func (g *gate) Leave() { g.s.load.leave(g.c.peer) }

// counted counts the requests that sessions answer.
type counted struct {
	h2.Handler
	s *Server
}

func (k counted) Open(from, to netip.Addr) h2.Session {
	return &countedSession{k.Handler.Open(from, to), k.s}
}

type countedSession struct {
	h2.Session
	s *Server
}

func (k *countedSession) Ask(r *h2.Request) (now h2.Reply, later func() h2.Reply, ok bool) {
	if now, later, ok = k.Session.Ask(r); ok {
		k.s.requests.Add(1)
	}
	return now, later, ok
}
