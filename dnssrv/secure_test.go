package dnssrv

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"pic/core/config"
	"pic/internal/listen"
	"pic/internal/nettest"
)

// A safe is a server with encrypted listeners, and the root that it is known by.
type safe struct {
	*Server
	roots *x509.CertPool
	file  string // the root in PEM
	cert  *tls.Certificate
}

// guarded runs a server of d with DNS over TLS and QUIC until the test ends.
func guarded(t testing.TB, d *config.Document) *safe {
	t.Helper()
	cert, roots, file := certificate(t)
	d.DNS.TLS = new(true)
	c := conf(d)
	c.TLS = slices.Clone(c.TLS)
	port := nettest.FreePort(t)
	for i := range c.TLS {
		c.TLS[i].Addr = netip.AddrPortFrom(c.TLS[i].Addr.Addr(), port)
	}
	c.DNS.TLSPort = port
	s := New(Options{
		Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil),
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil },
	})
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	running(t, s)
	return &safe{s, roots, file, cert}
}

func running(t testing.TB, s *Server) {
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
			t.Error("Run does not end")
		}
	})
}

// certificate is one for the names of oak.
func certificate(t testing.TB) (*tls.Certificate, *x509.CertPool, string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test root"}, SerialNumber: big.NewInt(1),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames:    []string{"dns.oak.home.arpa", "*.dns.oak.home.arpa"},
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
	file := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k, Leaf: leaf}, roots, file
}

// tlsAt is where s listens for encrypted DNS.
func (s *safe) tlsAt() string {
	return fmt.Sprintf("127.0.0.1:%d", s.table.Load().conf.DNS.TLSPort)
}

// dot returns a connection of DNS over TLS from an address, as the host sni.
func (s *safe) dot(t testing.TB, from, sni string) *dns.Conn {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := tls.DialWithDialer(d, "tcp", s.tlsAt(), &tls.Config{RootCAs: s.roots, ServerName: sni, NextProtos: []string{"dot"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &dns.Conn{Conn: c}
}

// doq returns a connection of DNS over QUIC.
func (s *safe) doq(t testing.TB, sni string) *quic.Conn {
	t.Helper()
	c, err := quic.DialAddr(t.Context(), s.tlsAt(), &tls.Config{RootCAs: s.roots, ServerName: sni, NextProtos: []string{"doq"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(0, "") })
	return c
}

// kdig asks with the encryption that args name, and returns what it prints.
func (s *safe) kdig(t *testing.T, args ...string) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.tlsAt())
	args = append([]string{"@127.0.0.1", "-p", port, "+timeout=5", "+retry=0", "-d", "+tls-ca=" + s.file, "+tls-hostname=dns.oak.home.arpa"}, args...)
	out, err := exec.Command(nettest.Tool(t, "kdig"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("kdig %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestKdigGetsPaddedAnswersWithAValidChain(t *testing.T) {
	s := guarded(t, lab())
	web := httptest.NewUnstartedServer(s.DoH())
	web.TLS = &tls.Config{Certificates: []tls.Certificate{*s.cert}}
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()
	_, webPort, _ := net.SplitHostPort(web.Listener.Addr().String())
	for name, args := range map[string][]string{
		"tls":        {"+tls"},
		"quic":       {"+quic"},
		"https POST": {"+https", "-p", webPort},
		"https GET":  {"+https-get", "-p", webPort},
	} {
		t.Run(name, func(t *testing.T) {
			out := s.kdig(t, append(args, "nas.oak.home.arpa", "A")...)
			for _, want := range []string{"The certificate is trusted", "status: NOERROR", "192.168.1.9", "Received 468 B"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

// All transports tell the same, and what it is about the client comes with them.
func TestEveryTransportAnswersAlike(t *testing.T) {
	up := source(t, world)
	s := guarded(t, lab(up.addr))
	for name, q := range map[string]*dns.Msg{
		"own":      new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA),
		"beyond":   new(dns.Msg).SetQuestion("www.example.net.", dns.TypeA),
		"no name":  new(dns.Msg).SetQuestion("nope.oak.home.arpa.", dns.TypeA),
		"resolver": new(dns.Msg).SetQuestion("_dns.resolver.arpa.", dns.TypeSVCB),
	} {
		t.Run(name, func(t *testing.T) {
			q.Id = 0
			q.SetEdns0(1232, false)
			want := ask(t, s.Server, "tcp", q.Question[0].Name, q.Question[0].Qtype, edns)
			for i, proto := range []string{"tls", "quic", "GET", "POST"} {
				for range 2 { // the second from what is kept
					got := s.exchange(t, proto, q)
					if brief(got) != brief(want) || got.Id != 0 {
						t.Errorf("%s: got %s (id %d), want %s", proto, brief(got), got.Id, brief(want))
					}
					if n := got.Len(); i < 9 && n == 0 {
						t.Error("empty")
					}
				}
			}
		})
	}
}

// exchange asks q over an encrypted transport. The answer must be padded.
func (s *safe) exchange(t testing.TB, proto string, q *dns.Msg) *dns.Msg {
	t.Helper()
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	switch proto {
	case "tls":
		c := s.dot(t, "127.0.0.1", "dns.oak.home.arpa")
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		out = make([]byte, maxSize)
		n, err := c.Read(out)
		if err != nil {
			t.Fatal(err)
		}
		out = out[:n]
		c.Close()
	case "quic":
		c := s.doq(t, "dns.oak.home.arpa")
		str, err := c.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		str.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
		str.Close()
		str.SetDeadline(time.Now().Add(20 * time.Second))
		all, err := io.ReadAll(str)
		if err != nil || len(all) < 2 || int(binary.BigEndian.Uint16(all)) != len(all)-2 {
			t.Fatalf("%d bytes, %v", len(all), err)
		}
		out = all[2:]
		c.CloseWithError(0, "")
	case "GET", "POST":
		r := httptest.NewRequest("GET", "https://dns.oak.home.arpa/dns-query?dns="+base64.RawURLEncoding.EncodeToString(b), nil)
		if proto == "POST" {
			r = httptest.NewRequest("POST", "https://dns.oak.home.arpa/dns-query", strings.NewReader(string(b)))
			r.Header.Set("Content-Type", dohType)
		}
		r.RemoteAddr = "127.0.0.1:4711"
		w := httptest.NewRecorder()
		s.DoH().ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		out = w.Body.Bytes()
	}
	if len(out)%padBlock != 0 {
		t.Errorf("%s: an answer of %d bytes is not padded", proto, len(out))
	}
	m := new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		t.Fatal(err)
	}
	return m
}
