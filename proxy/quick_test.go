package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pic/internal/h2"
	"pic/internal/listen"
)

// A resolver is a page that has a quick way for /dns-query.
type resolver struct {
	http.Handler
	quick atomic.Int64 // requests that came by it
	hold  chan struct{}
}

func (r *resolver) Sessions() h2.Handler                   { return r }
func (r *resolver) Open(netip.Addr, netip.Addr) h2.Session { return r }
func (r *resolver) Close()                                 {}
func (r *resolver) Wants(path []byte) bool                 { return bytes.HasPrefix(path, []byte("/dns-query")) }

func (r *resolver) Ask(q *h2.Request) (now h2.Reply, later func() h2.Reply, ok bool) {
	r.quick.Add(1)
	switch string(q.Path) {
	case "/dns-query/none":
		return now, nil, false
	case "/dns-query/later":
		return now, func() h2.Reply {
			<-r.hold
			return h2.Reply{Type: "text/plain", Body: []byte("at last")}
		}, true
	}
	return h2.Reply{Type: "text/plain", Body: []byte("quick")}, nil, true
}

// resolving runs a proxy of c whose pages dns and that of those who come by address
// have a quick way.
func resolving(t *testing.T, c Config) (*cell, *resolver) {
	t.Helper()
	s := start(t, c)
	r := &resolver{hold: make(chan struct{}), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "slow "+r.URL.Path+" "+r.TLS.ServerName)
	})}
	other := s.own
	s.own = func(label string) http.Handler {
		if label == "dns" || label == "home" {
			return r
		}
		return other(label)
	}
	c.HTTPPort++ // so that it is a change
	s.apply(t, c)
	return s, r
}

func TestRequestsOfOneKindTakeTheQuickWay(t *testing.T) {
	c := oak([3]string{"git", upstream(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "git") }), "lan"})
	c.QUIC = listen.For("udp", []netip.Addr{netip.MustParseAddr("127.0.0.1")}, 10443, nil, 443)
	s, r := resolving(t, c)
	before := s.requests.Load()
	total := int64(0)
	for name, tt := range map[string]struct {
		from, url string
		version   int
		status    int
		body      string // begins with that
		quick     int64
	}{
		"query":              {insider, "https://dns.oak.home.arpa:10443/dns-query", 2, 200, "quick", 1},
		"by address":         {insider, "https://127.0.0.1:10443/dns-query?dns=x", 2, 200, "quick", 1},
		"by a client's name": {insider, "https://phone.dns.oak.home.arpa:10443/dns-query", 2, 200, "quick", 1},
		"refused by it":      {insider, "https://dns.oak.home.arpa:10443/dns-query/none", 2, 200, "slow /dns-query/none dns.oak.home.arpa", 1},
		"over HTTP/1":        {insider, "https://dns.oak.home.arpa:10443/dns-query", 1, 200, "slow /dns-query", 0},
		"page":               {insider, "https://dns.oak.home.arpa:10443/page", 2, 200, "slow /page dns.oak.home.arpa", 0},
		"page by address":    {insider, "https://127.0.0.1:10443/", 2, 200, "slow / ", 0},
		"another page":       {insider, "https://files.oak.home.arpa:10443/dns-query", 2, 200, `page "files"`, 0},
		"route":              {insider, "https://git.oak.home.arpa:10443/dns-query", 2, 200, "git", 0},
		"outsider":           {outsider, "https://dns.oak.home.arpa:10443/dns-query", 2, 403, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			quick := r.quick.Load()
			cl := s.client(t, tt.from, tt.version)
			for range 3 {
				total++
				status, body, res := get(t, cl, tt.url)
				if status != tt.status || !strings.HasPrefix(body, tt.body) {
					t.Errorf("%d %q", status, body)
				}
				if got := res.Header.Get("Alt-Svc"); got != `h3=":10443"; ma=86400` {
					t.Errorf("Alt-Svc %q", got)
				}
			}
			if got := r.quick.Load() - quick; got != 3*tt.quick {
				t.Errorf("%d of 3 went the quick way", got)
			}
		})
	}
	if got := s.requests.Load() - before; got != total {
		t.Errorf("%d requests count as %d", total, got)
	}
	eventually(t, "no connection is left", func() bool { return s.open.Load() <= 10 })
}

// A client that asks for names and pages over one connection gets both, and keeps
// its second connection.
func TestOneClientMayWantBoth(t *testing.T) {
	s, r := resolving(t, oak())
	c := s.client(t, insider, 2)
	dials := new(atomic.Int64)
	dial := c.Transport.(*http.Transport).DialContext
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, addr)
	}
	for i := range 10 {
		if status, body, _ := get(t, c, "https://dns.oak.home.arpa:10443/dns-query"); status != 200 || i == 0 && body != "quick" {
			t.Errorf("%d: %d %q", i, status, body)
		}
		if i < 4 {
			continue
		}
		res, err := c.Post("https://dns.oak.home.arpa:10443/page", "text/plain", strings.NewReader("some body"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.HasPrefix(string(b), "slow /page") {
			t.Errorf("%q", b)
		}
	}
	if r.quick.Load() != 5 || dials.Load() != 2 {
		t.Errorf("%d requests went the quick way, over %d connections in all", r.quick.Load(), dials.Load())
	}
}

// What a change of access forbids is forbidden on open connections too.
func TestQuickConnectionsFollowTheDocument(t *testing.T) {
	conf := oak()
	s, _ := resolving(t, conf)
	c := s.client(t, insider, 2)
	if status, _, _ := get(t, c, "https://dns.oak.home.arpa:10443/dns-query"); status != 200 {
		t.Fatal(status)
	}
	conf.Insiders = prefixes(inVPN + "/32")
	s.apply(t, conf)
	if status, body, _ := get(t, c, "https://dns.oak.home.arpa:10443/dns-query"); status != 403 {
		t.Errorf("%d %q", status, body)
	}
	conf.Insiders = prefixes(insider + "/32")
	s.apply(t, conf)
	if status, body, _ := get(t, c, "https://dns.oak.home.arpa:10443/dns-query"); status != 200 || body != "quick" {
		t.Errorf("%d %q", status, body)
	}
}

// Requests under way are answered when the proxy stops, and idle connections end.
func TestStoppingLetsQuickRequestsEnd(t *testing.T) {
	s, r := resolving(t, oak())
	c, idle := s.client(t, insider, 2), s.client(t, insider, 2)
	get(t, idle, "https://dns.oak.home.arpa:10443/dns-query")
	done := make(chan string, 1)
	go func() {
		res, err := c.Get("https://dns.oak.home.arpa:10443/dns-query/later")
		if err != nil {
			done <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		done <- string(b)
	}()
	eventually(t, "it is under way", func() bool { return r.quick.Load() == 2 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	eventually(t, "the idle one has gone", func() bool {
		s.front.mu.Lock()
		defer s.front.mu.Unlock()
		return s.front.ended && len(s.front.conns) == 1
	})
	close(r.hold)
	if got := <-done; got != "at last" {
		t.Errorf("got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Clients of TLS 1.2 are net/http's, which knows its ciphers.
func TestOlderTLSTakesTheLongWay(t *testing.T) {
	s, r := resolving(t, oak())
	c := s.client(t, insider, 2)
	c.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	if status, body, _ := get(t, c, "https://dns.oak.home.arpa:10443/dns-query"); status != 200 || !strings.HasPrefix(body, "slow") {
		t.Errorf("%d %q", status, body)
	}
	if r.quick.Load() != 0 {
		t.Error("it went the quick way")
	}
	if !slices.Contains(s.front.tls.NextProtos, "h2") {
		t.Error("HTTP/2 is not offered")
	}
}

// A client that reads nothing does not keep the front from closing.
func TestClientsThatReadNothingAreNotWaitedFor(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	f := &front{conns: map[*conn]struct{}{}}
	q := h2.New(h2.Options{Conn: there}, h2.Start{})
	f.conns[&conn{Conn: there, quick: q}] = struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.settle(ctx) }()
	if _, err := io.ReadFull(here, make([]byte, 1)); err != nil { // and no more
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	there.Close()
	f.wg.Wait()
}
