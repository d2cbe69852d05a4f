package queue

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
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"pic/internal/nettest"
	"pic/mailsrv/lookup"
	"pic/mailsrv/lookup/lookuptest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		untilKilled(dir)
	}
	os.Exit(nettest.Main(m))
}

// A host takes mail, or says why not.
type host struct {
	mu   sync.Mutex
	got  []string // "from -> to, to (TLS): text"
	rcpt func(to string) error
	data func() error
}

func (h *host) NewSession(c *smtp.Conn) (smtp.Session, error) { return &visit{h: h, c: c}, nil }

func (h *host) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

type visit struct {
	h    *host
	c    *smtp.Conn
	from string
	to   []string
}

func (v *visit) Reset()        { v.from, v.to = "", nil }
func (v *visit) Logout() error { return nil }
func (v *visit) Mail(from string, _ *smtp.MailOptions) error {
	v.from = from
	return nil
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	if v.h.rcpt != nil {
		if err := v.h.rcpt(to); err != nil {
			return err
		}
	}
	v.to = append(v.to, to)
	return nil
}

func (v *visit) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil && v.h.data != nil {
		err = v.h.data()
	}
	if err != nil {
		return err
	}
	_, secure := v.c.TLSConnectionState()
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	v.h.got = append(v.h.got, fmt.Sprintf("%s -> %s (%v): %s", v.from, strings.Join(v.to, ", "), secure, b))
	return nil
}

// serve runs a host at an address's port 25; without a certificate it has no TLS.
func serve(t *testing.T, addr string, cert *tls.Certificate) *host {
	t.Helper()
	h := &host{}
	s := smtp.NewServer(h)
	s.Domain = "test"
	if cert != nil {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}}
	}
	l, err := net.Listen("tcp", addr+":25")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return h
}

// certificate makes one for a name, signed by itself.
func certificate(t *testing.T, names ...string) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// secured says that DNSSEC proves all that a zone has.
type secured struct{ lookuptest.Records }

func (s secured) Lookup(ctx context.Context, name string, qtype uint16) (lookup.Answer, error) {
	a, err := s.Records.Lookup(ctx, name, qtype)
	a.Secure = true
	return a, err
}

// A bureau is a queue at work.
type bureau struct {
	*Queue
	t    *testing.T
	stop func()

	mu      sync.Mutex
	clock   time.Time
	reports []string
}

func (b *bureau) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clock
}

// pass lets time go by.
func (b *bureau) pass(d time.Duration) {
	b.mu.Lock()
	b.clock = b.clock.Add(d)
	b.mu.Unlock()
	b.rouse()
}

func (b *bureau) told() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.reports)
}

func work(t *testing.T, dns lookup.Resolver, roots *x509.CertPool) *bureau {
	return workIn(t, t.TempDir(), dns, roots)
}

func workIn(t *testing.T, dir string, dns lookup.Resolver, roots *x509.CertPool) *bureau {
	t.Helper()
	nettest.NeedNamespace(t)
	b := &bureau{t: t, clock: time.Now()}
	q, err := Open(Options{
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Dir: dir, DNS: dns, Roots: roots, Now: b.now,
		Reach: func(a netip.Addr) bool { return a.IsLoopback() && a != netip.MustParseAddr("127.0.0.1") },
		Bounce: func(_ context.Context, to string, msg []byte) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.reports = append(b.reports, to+": "+string(msg))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Queue = q
	q.SetRoutes(Routes{Host: "mail.oak.example"})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.Run(ctx)
	}()
	b.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(b.stop)
	return b
}

func (b *bureau) send(id string, to ...string) {
	b.t.Helper()
	m := Message{ID: id, From: "alice@oak.example", Subject: "hello " + id}
	for _, a := range to {
		m.Recipients = append(m.Recipients, Recipient{Addr: a})
	}
	if err := b.Add(m, strings.NewReader("Subject: hello "+id+"\r\n\r\ntext\r\n.dot\r\n"), nil); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bureau) waitFor(what string, ok func() bool) {
	b.t.Helper()
	end := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			b.t.Fatalf("%s: not in time; %+v", what, b.List())
		}
		time.Sleep(5 * time.Millisecond)
	}
}
