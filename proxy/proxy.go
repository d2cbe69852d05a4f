// Package proxy answers http and https for the cell: its own pages by name, and
// the hosts of the routes by the servers behind them.
//
// What it promises:
//
//   - HTTP/1.1, HTTP/2 and HTTP/3 over TLS. Plain HTTP redirects there, but for the page
//     of the root certificate, which is for devices that trust nothing yet.
//   - Who may enter is decided by the address of the connection alone, never by
//     what a client says of itself. The cell's own pages are for insiders.
//     Headers by which servers recognise users and clients (X-Forwarded-*,
//     Forwarded, Remote-User and their like) are the proxy's: those of the
//     client are removed.
//   - A change touches nothing but what it is about: a route that stays keeps its
//     connections, websockets included; one that is removed has ten seconds to end.
//     Clients' connections survive every change.
//   - What two readers could understand differently is refused with 400 and the
//     connection closed (RFC 9112 §11.2); see the scanner. A name other than
//     that of the TLS handshake is answered 421 unless both have the same access.
//   - A truncated answer of an upstream is truncated for the client, never
//     completed. Websockets, event streams and trailers pass.
//   - Slow and many clients meet deadlines and caps: see the constants of guard,
//     front and load. Clients that vanish are noticed within minutes.
//   - Path and query of a request reach the upstream as they came.
//
// It does not authenticate, balance, cache, compress or carry websockets over
// HTTP/2 and HTTP/3, for which browsers use HTTP/1.1. Requests
// are sent to an upstream once; net/http repeats those that are safe to repeat
// when a kept connection turns out to be closed.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pic/core/config"
	"pic/internal/listen"
)

// Config is what the proxy needs to know. [From] derives it.
type Config struct {
	HTTP      []listen.Socket
	HTTPS     []listen.Socket
	QUIC      []listen.Socket // of HTTP/3, beside HTTPS
	HTTPPort  uint16
	HTTPSPort uint16
	Domain    string         // the cell's; its own pages are there and below
	Routes    []Route        // sorted as in the document
	Insiders  []netip.Prefix // who may enter what is not public
	VPN       []netip.Prefix // who may enter what is for the VPN only
}

// A Route sends the requests for a host to a server.
type Route struct {
	Host     string // in lower case
	Upstream string // http://host:port or https://host:port, perhaps with a path
	Access   config.Access
	Insecure bool // any certificate of the upstream will do
}

// From picks the proxy's Config out of the resolved document.
func From(d *config.Document) Config {
	if !config.On(d.Proxy.Enabled) {
		return Config{}
	}
	p := d.Proxy
	c := Config{
		HTTP:     listen.For("tcp", p.Listen, p.HTTPPort, d.Tunnel(), 80),
		HTTPS:    listen.For("tcp", p.Listen, p.HTTPSPort, d.Tunnel(), 443),
		QUIC:     listen.For("udp", p.Listen, p.HTTPSPort, d.Tunnel(), 443),
		HTTPPort: p.HTTPPort, HTTPSPort: p.HTTPSPort,
		Domain:   strings.ToLower(d.Cell.Domain),
		Insiders: d.Insiders(),
		VPN:      []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	if config.On(d.WireGuard.Enabled) {
		for _, p := range []netip.Prefix{d.WireGuard.Subnet, d.WireGuard.Subnet6} {
			if p.IsValid() {
				c.VPN = append(c.VPN, p.Masked())
			}
		}
	}
	if a := d.Network.LAN.Address.Addr(); a.IsValid() { // the host itself, as it appears there
		c.VPN = append(c.VPN, netip.PrefixFrom(a, a.BitLen()))
	}
	for _, r := range p.Routes {
		c.Routes = append(c.Routes, Route{strings.ToLower(r.Host(d.Cell.Domain)), r.Upstream, r.Access, r.Insecure})
	}
	return c
}

// A Server is the proxy. Use [New].
type Server struct {
	log  *slog.Logger
	pool *listen.Pool
	cert func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	own  func(label string) http.Handler

	grace time.Duration // for requests over a route that was removed

	table    atomic.Pointer[table]
	open     atomic.Int64 // connections
	requests atomic.Int64
	refused  atomic.Int64
	load     load

	mu      sync.Mutex // one change at a time
	set     *listen.Set
	front   *front // nil while nothing is served
	conf    Config
	leaving map[Route]*leaving
}

// A leaving route has been removed and has until the timer fires.
type leaving struct {
	route *route
	timer *time.Timer
}

// New returns a proxy that serves nothing until the first Apply. It gets its
// certificates from cert, which also decides what to present for names that are
// unknown. The pages of the cell itself come from own: by the label below the
// cell's domain, such as files, and "" for the domain itself; nil means that
// there is none. It is asked once for each label and change.
func New(log *slog.Logger, pool *listen.Pool, cert func(*tls.ClientHelloInfo) (*tls.Certificate, error), own func(label string) http.Handler) *Server {
	s := &Server{
		log: log, pool: pool, cert: cert, own: own, grace: 10 * time.Second,
		set: pool.Set(), leaving: map[Route]*leaving{},
		load: load{from: map[netip.Prefix]int{}},
	}
	s.table.Store(new(table))
	return s
}

// Check reports why c could not be applied.
func (s *Server) Check(_ context.Context, c Config) error {
	var errs []error
	for _, r := range c.Routes {
		if _, err := r.target(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, k := range c.HTTP {
		if slices.Contains(c.HTTPS, k) {
			errs = append(errs, fmt.Errorf("%s cannot be both http and https; choose two ports", k))
		}
	}
	return errors.Join(errs...)
}

func (r Route) target() (*url.URL, error) {
	u, err := url.Parse(r.Upstream)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("route %s: the upstream must be http://host:port or https://host:port", r.Host)
	}
	return u, nil
}

// Apply serves c from then on. Connections and unchanged routes live on.
func (s *Server) Apply(ctx context.Context, c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.front != nil && reflect.DeepEqual(c, s.conf) {
		return nil
	}
	next, err := s.compile(c)
	if err != nil {
		return err
	}
	swap, err := s.set.Open(ctx, slices.Concat(c.HTTP, c.HTTPS, c.QUIC))
	if err != nil {
		return err
	}
	if s.front == nil {
		s.front = s.start()
	}
	for _, b := range swap.Added() {
		if b.Packet == nil {
			continue
		}
		if err := s.front.quic.serve(b); err != nil {
			swap.Abort()
			return fmt.Errorf("HTTP/3 on %s: %w", b.Socket, err)
		}
	}
	before := s.table.Swap(next)
	for _, b := range swap.Added() {
		if b.Listener != nil {
			s.front.serve(b)
		}
	}
	for _, b := range s.set.Bound() {
		if b.Packet != nil && !slices.Contains(c.QUIC, b.Socket) {
			s.front.quic.part(b.Packet)
		}
	}
	swap.Commit()
	s.conf = c
	s.keep(before, next)
	return nil
}

// keep lets go of the routes that next has no more, and holds on to those that
// were leaving and are back.
func (s *Server) keep(before, next *table) {
	stays := map[*route]bool{}
	for _, r := range next.routes {
		stays[r] = true
		if l := s.leaving[r.Route]; l != nil && l.route == r {
			l.timer.Stop()
			delete(s.leaving, r.Route)
		}
	}
	for _, r := range before.routes {
		if stays[r] {
			continue
		}
		l := &leaving{route: r}
		l.timer = time.AfterFunc(s.grace, func() { s.part(l) })
		s.leaving[r.Route] = l
	}
}

// part ends what a route still has open.
func (s *Server) part(l *leaving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving[l.route.Route] == l {
		delete(s.leaving, l.route.Route)
		l.route.close()
	}
}

// Run serves until ctx is done, then lets requests under way end for a few
// seconds and closes everything.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.set.Close()
	if s.front == nil {
		return nil
	}
	s.front.close(s.set.Close, func() {
		for _, r := range s.table.Load().routes {
			r.close()
		}
		for k, l := range s.leaving {
			l.timer.Stop()
			l.route.close()
			delete(s.leaving, k)
		}
	})
	s.table.Store(new(table))
	s.front, s.conf = nil, Config{}
	return nil
}
