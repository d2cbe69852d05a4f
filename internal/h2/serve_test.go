package h2

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// An echo answers with what it was asked, in the way that the path says.
type echo struct {
	hold   chan struct{} // ends answers to /echo/later; nil: they are not held
	opened sync.WaitGroup
}

func (e *echo) Open(netip.Addr, netip.Addr) Session { e.opened.Add(1); return e }
func (e *echo) Close()                              { e.opened.Done() }

func (e *echo) Ask(r *Request) (now Reply, later func() Reply, ok bool) {
	reply := Reply{Type: "text/plain", Cache: "private, max-age=", Age: 7, Body: r.Body}
	if string(r.Method) == "GET" {
		reply.Body, _ = base64.RawURLEncoding.DecodeString(string(r.Query))
	}
	switch path := string(r.Path); path {
	case "/echo":
		return reply, nil, true
	case "/echo/large":
		reply.Body = bytes.Repeat([]byte("0123456789"), 30_000)
		return reply, nil, true
	case "/echo/later", "/echo/panic":
		reply.Body = bytes.Clone(reply.Body)
		return now, func() Reply {
			if e.hold != nil {
				<-e.hold
			}
			if path == "/echo/panic" {
				panic("as was asked for")
			}
			return reply
		}, true
	case "/echo/crash":
		panic("as was asked for")
	case "/echo/else":
		return Reply{Else: func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Method+" is of no use", http.StatusTeapot)
		}}, nil, true
	}
	return now, nil, false
}

// rest answers what echo does not.
func rest(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	w.Header().Set("X-Seen", r.Header.Get("X-Said")+r.Header.Get("Cookie"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s of %s: %d %d", r.Method, r.URL.Path, r.Host, len(b), r.ContentLength)
}

// all is a gate to everything below /echo, directly, and /rest.
type all struct{}

func (all) Way(_, path []byte) (Way, string) {
	switch {
	case bytes.HasPrefix(path, []byte("/echo")):
		return Direct, `h3=":443"; ma=86400`
	case bytes.HasPrefix(path, []byte("/rest")), string(path) == "/":
		return Whole, ""
	}
	return Elsewhere, ""
}

func (all) Enter() bool { return true }
func (all) Leave()      {}

// served is a server of echo.
type served struct {
	echo
	l     net.Listener
	roots *x509.CertPool
	conns chan *Conn
}

func (s *served) url(path string) string { return "https://" + s.l.Addr().String() + path }

// options are those of a connection of s.
func (s *served) options(c net.Conn) Options {
	return Options{
		Log: slog.New(slog.DiscardHandler), Conn: c, From: netip.IPv6Loopback(), To: netip.IPv6Loopback(), Gate: all{}, Handler: &s.echo,
		Rest: http.HandlerFunc(rest), Dress: func(r *http.Request) *http.Request { return r },
	}
}

// serving serves until the test ends.
func serving(t testing.TB) *served {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{roots: x509.NewCertPool(), conns: make(chan *Conn, 100)}
	s.roots.AddCert(leaf)
	s.l, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: k}}, NextProtos: []string{"h2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := s.l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				c := New(s.options(conn), Start{})
				select {
				case s.conns <- c:
				default:
				}
				c.Serve()
			})
		}
	})
	t.Cleanup(func() {
		s.l.Close()
		wg.Wait()
		s.opened.Wait() // all sessions are closed
	})
	return s
}

// client is net/http's.
func (s *served) client(t testing.TB) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	tr := &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{RootCAs: s.roots}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}
