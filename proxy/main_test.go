package proxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/core/service"
	"pic/internal/listen"
	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

var (
	_ service.Server[Config] = (*Server)(nil)
	_ service.Reporter       = (*Server)(nil)
)

var quiet = slog.New(slog.DiscardHandler)

// Addresses from which test clients come.
const (
	insider  = "127.0.0.1"
	inVPN    = "127.0.0.2"
	outsider = "127.0.0.3"
)

func prefixes(all ...string) (out []netip.Prefix) {
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// oak is a cell at 127.0.0.1 with the given routes, as label, upstream and access.
func oak(routes ...[3]string) Config {
	addrs := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	c := Config{
		HTTP:     listen.For("tcp", addrs, 10080, nil, 80),
		HTTPS:    listen.For("tcp", addrs, 10443, nil, 443),
		HTTPPort: 10080, HTTPSPort: 10443,
		Domain:   "oak.home.arpa",
		Insiders: prefixes(insider+"/32", inVPN+"/32"),
		VPN:      prefixes(inVPN + "/32"),
	}
	for _, r := range routes {
		c.Routes = append(c.Routes, Route{Host: r[0] + ".oak.home.arpa", Upstream: r[1], Access: config.Access(r[2])})
	}
	return c
}

// A cell is a proxy under test.
type cell struct {
	*Server
	roots *x509.CertPool
}

// start runs a proxy that serves c until the test ends. The page of each label
// says its own name.
func start(t *testing.T, c Config) *cell {
	t.Helper()
	nettest.NeedNamespace(t)
	cert, roots := certificate(t)
	pages := map[string]http.Handler{}
	for _, l := range []string{"", "home", "files", "ca"} {
		pages[l] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				fmt.Fprint(w, "half")
				panic("a page is broken")
			}
			fmt.Fprintf(w, "page %q of %s", l, r.URL.Path)
		})
	}
	pages["dav"] = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}) // says nothing at all
	s := &cell{New(quiet, listen.NewPool(nil),
		func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil },
		func(label string) http.Handler { return pages[label] }), roots}
	s.apply(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run did not end")
		}
	})
	return s
}

func (s *cell) apply(t *testing.T, c Config) {
	t.Helper()
	if err := s.Check(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// certificate makes one for all the names of the tests.
func certificate(t *testing.T) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test root"}, SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames:    []string{"oak.home.arpa", "*.oak.home.arpa", "*.dns.oak.home.arpa", "localhost", "unknown.example"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k, Leaf: leaf}, roots
}

// client returns an http.Client at that address that speaks only the version of
// HTTP, 1 or 2, does not follow redirects, and reaches the proxy under any name.
func (s *cell) client(t *testing.T, from string, version int) *http.Client {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	p := new(http.Protocols)
	p.SetHTTP1(version == 1)
	p.SetHTTP2(version == 2)
	tr := &http.Transport{
		Protocols:       p,
		TLSClientConfig: &tls.Config{RootCAs: s.roots},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return d.DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get returns status, body and version of the answer.
func get(t *testing.T, c *http.Client, url string) (status int, body string, res *http.Response) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res
}

// upstream is a server behind the proxy.
func upstream(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestViewOfTheDocument(t *testing.T) {
	d := config.Resolve(&config.Document{
		Cell:    config.Cell{Name: "oak", Mode: config.Trial},
		Network: config.Network{LAN: config.Interface{Address: netip.MustParsePrefix("192.168.7.1/24")}},
		WireGuard: config.WireGuard{
			Subnet: netip.MustParsePrefix("10.80.0.0/24"), Subnet6: netip.MustParsePrefix("fd00:1::/64"),
		},
		Proxy: config.Proxy{Routes: []config.Route{
			{Name: "git", Upstream: "http://127.0.0.1:3001"},
			{Name: "www.example.org", Upstream: "https://127.0.0.1:1", Access: config.AccessPublic, Insecure: true},
		}},
	}, config.Env{})
	c := From(d)
	var socks []string
	for _, k := range slices.Concat(c.HTTP, c.HTTPS) {
		socks = append(socks, k.String())
	}
	want := "tcp 127.0.0.1:10080|tcp 10.80.0.1:80 (VPN)|tcp [fd00:1::1]:80 (VPN)|" +
		"tcp 127.0.0.1:10443|tcp 10.80.0.1:443 (VPN)|tcp [fd00:1::1]:443 (VPN)"
	if got := strings.Join(socks, "|"); got != want {
		t.Errorf("sockets\n%s, want\n%s", got, want)
	}
	if want := []Route{
		{"git.oak.home.arpa", "http://127.0.0.1:3001", config.AccessLAN, false},
		{"www.example.org", "https://127.0.0.1:1", config.AccessPublic, true},
	}; !slices.Equal(c.Routes, want) {
		t.Errorf("routes %+v", c.Routes)
	}
	tab := &table{conf: c}
	for a, want := range map[string][2]bool{ // lan, vpn
		"127.0.0.1":        {true, true},
		"192.168.7.1":      {true, true}, // the host itself
		"192.168.7.20":     {true, false},
		"10.80.0.5":        {true, true},
		"fd00:1::5":        {true, true},
		"::ffff:10.80.0.5": {true, true},
		"fe80::1%eth0":     {true, false},
		"203.0.113.9":      {false, false},
		"2001:db8::1":      {false, false},
	} {
		addr := netip.MustParseAddr(a)
		if got := [2]bool{tab.admits(config.AccessLAN, addr), tab.admits(config.AccessVPN, addr)}; got != want {
			t.Errorf("%s: lan, vpn %v, want %v", a, got, want)
		}
	}
	if tab.admits(config.AccessLAN, netip.Addr{}) || tab.admits("", netip.Addr{}) {
		t.Error("no address is admitted")
	}
	d.Proxy.Enabled = new(bool)
	if c := From(d); c.HTTP != nil || c.Domain != "" {
		t.Errorf("switched off: %+v", c)
	}
}
