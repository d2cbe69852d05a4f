package mailsrv

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"pic/core/config"
	"pic/core/users"
	"pic/internal/listen"
	"pic/internal/nettest"
	"pic/mailsrv/lookup/lookuptest"
)

// TestMain gives the tests a network and mounts of their own.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		killChild(dir)
	}
	os.Exit(nettest.Main(m))
}

// A cell is a running server and what its clients need to know.
type cell struct {
	*Server
	conf  Config
	dir   string
	roots *x509.CertPool
	ca    string // file
	stop  func()
}

// testConfig has one loopback address per protocol, so that every port can be
// whatever is free.
func testConfig() Config {
	socket := func(addr string) []listen.Socket {
		return []listen.Socket{{Net: "tcp", Addr: netip.MustParseAddrPort(addr)}}
	}
	return Config{
		Host: "mail.oak.home.arpa", IMAPS: socket("127.0.0.1:0"), SMTP: socket("127.0.0.2:0"),
		Submission: socket("127.0.0.3:0"), Submissions: socket("127.0.0.4:0"),
		Domains: []string{"oak.home.arpa", "example.org"}, Users: []string{"alice", "bob"}, Disabled: []string{"dave"},
		Aliases:    []config.Alias{{Name: "family", To: []string{"alice", "bob"}}, {Name: "old", To: []string{"dave"}}, {Name: "sales", To: []string{"bob"}}},
		Postmaster: "alice", MaxSize: 1 << 20, Insiders: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
}

// testDNS is what strangers have published.
func testDNS() lookuptest.Records {
	z := lookuptest.Zone(
		`example.net. 60 IN TXT "v=spf1 ip4:127.0.7.1 -all"`,
		`_dmarc.example.net. 60 IN TXT "v=DMARC1; p=reject; sp=quarantine"`,
		`s._domainkey.example.net. 60 IN TXT "v=DKIM1; k=ed25519; p=O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="`, // of the seed that is all zeros
	)
	z["down.example."], z["_dmarc.down.example."] = nil, nil
	return z
}

// testAuth knows that the password of everybody is their name with -secret.
func testAuth(_ context.Context, login, secret string, _ netip.Addr) (string, error) {
	user, _, _ := cutLogin(login)
	if secret != user+"-secret" {
		return "", fmt.Errorf("%w", users.ErrDenied)
	}
	return user, nil
}

func cutLogin(login string) (user, domain string, ok bool) {
	local, domain, ok := split(login)
	if !ok {
		return login, "", false
	}
	return local, domain, true
}

func start(t testing.TB, c Config) *cell { return startIn(t, c, t.TempDir()) }

func startIn(t testing.TB, c Config, dir string) *cell {
	t.Helper()
	return startWith(t, c, dir, Options{DNS: testDNS()})
}

// startWith starts a server with some options of its own.
func startWith(t testing.TB, c Config, dir string, o Options) *cell {
	t.Helper()
	cert, caPEM, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	x := &cell{conf: c, dir: filepath.Join(dir, "mail"), roots: x509.NewCertPool(), ca: filepath.Join(t.TempDir(), "ca.pem")}
	x.roots.AppendCertsFromPEM(caPEM)
	if err := os.WriteFile(x.ca, caPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	o.Log, o.Pool, o.Dir, o.Auth = log, listen.NewPool(nil), x.dir, testAuth
	o.Cert = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
	x.Server = New(o)
	if err := x.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	stopped := false
	x.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	}
	t.Cleanup(x.stop)
	return x
}

// at is where a protocol is spoken now.
func (x *cell) at(p protocol) string {
	spoken := x.policy.Load().spoken
	for _, b := range x.set.Bound() {
		if spoken[b.Socket] == p {
			return b.LocalAddr().String()
		}
	}
	return ""
}

// certificate makes a CA and a certificate of it for the cell.
func certificate() (*tls.Certificate, []byte, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "mail.oak.home.arpa"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{"mail.oak.home.arpa", "localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), nil
}

func (x *cell) tls() *tls.Config {
	return &tls.Config{RootCAs: x.roots, ServerName: "mail.oak.home.arpa"}
}

func TestFromReadsTheDocument(t *testing.T) {
	doc := config.Resolve(&config.Document{
		Cell: config.Cell{Name: "oak", Mode: config.Trial},
		Users: []config.User{
			{Name: "carol"}, {Name: "gone", Role: config.Admin, Disabled: true}, {Name: "alice", Role: config.Admin},
		},
		Mail: config.Mail{Aliases: []config.Alias{{Name: "all", To: []string{"carol", "alice"}}}},
	}, config.Env{})
	got := From(doc)
	loop, vpn := netip.MustParseAddr("127.0.0.1"), doc.Tunnel()
	sockets := func(port, standard uint16) []listen.Socket {
		out := []listen.Socket{{Net: "tcp", Addr: netip.AddrPortFrom(loop, port)}}
		for _, a := range vpn {
			out = append(out, listen.Socket{Net: "tcp", Addr: netip.AddrPortFrom(a, standard), Scope: listen.InTunnel})
		}
		return out
	}
	want := Config{
		Host: "mail.oak.home.arpa", SMTP: sockets(10025, 25), Submission: sockets(10587, 587),
		Submissions: sockets(10465, 465), IMAPS: sockets(10993, 993), Domains: []string{"oak.home.arpa"},
		Users: []string{"carol", "alice"}, Disabled: []string{"gone"}, Aliases: doc.Mail.Aliases, Postmaster: "alice",
		MaxSize: 50 << 20, Insiders: doc.Insiders(),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	doc.Mail.Enabled = new(bool)
	if got := From(doc); !reflect.DeepEqual(got, Config{}) {
		t.Errorf("switched off, but %+v", got)
	}
}

func code(err error) string {
	if err == nil {
		return "250"
	}
	var e *smtp.SMTPError
	if !errors.As(err, &e) {
		return err.Error()
	}
	return fmt.Sprintf("%d %d.%d.%d", e.Code, e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
}

func TestWhoGetsWhat(t *testing.T) {
	p := newPolicy(testConfig())
	for name, tt := range map[string]struct {
		sender, to string
		want       []string
		code       string
	}{
		"user":                    {"", "alice@oak.home.arpa", []string{"alice"}, "250"},
		"in capitals":             {"", "ALICE@OAK.Home.Arpa.", []string{"alice"}, "250"},
		"other domain":            {"", "bob@example.org", []string{"bob"}, "250"},
		"addition":                {"", "alice+shop@example.org", []string{"alice"}, "250"},
		"alias":                   {"", "family@oak.home.arpa", []string{"alice", "bob"}, "250"},
		"alias with addition":     {"", "family+x@oak.home.arpa", []string{"alice", "bob"}, "250"},
		"postmaster":              {"", "Postmaster@oak.home.arpa", []string{"alice"}, "250"},
		"abuse":                   {"", "abuse@example.org", []string{"alice"}, "250"},
		"postmaster of the host":  {"", "postmaster@mail.oak.home.arpa", []string{"alice"}, "250"},
		"user of the host":        {"", "alice@mail.oak.home.arpa", nil, "550 5.7.1"},
		"unknown":                 {"", "nobody@oak.home.arpa", nil, "550 5.1.1"},
		"switched off":            {"", "dave@oak.home.arpa", nil, "550 5.2.1"},
		"alias to nobody":         {"", "old@oak.home.arpa", nil, "550 5.2.1"},
		"foreign":                 {"", "x@example.net", nil, "550 5.7.1"},
		"foreign by a user":       {"alice", "x@example.net", nil, "250"},
		"percent hack by a user":  {"alice", "x%example.com@example.net", nil, "550 5.1.3"},
		"local by a user":         {"alice", "bob@oak.home.arpa", []string{"bob"}, "250"},
		"percent hack":            {"", "x%example.net@oak.home.arpa", nil, "550 5.1.1"},
		"quoted foreign":          {"", "x@example.net@oak.home.arpa", nil, "550 5.1.1"},
		"bang path":               {"", "example.net!x@oak.home.arpa", nil, "550 5.1.1"},
		"subdomain":               {"", "alice@sub.oak.home.arpa", nil, "550 5.7.1"},
		"longer domain":           {"", "alice@xoak.home.arpa", nil, "550 5.7.1"},
		"address literal":         {"", "alice@[127.0.0.1]", nil, "550 5.7.1"},
		"no domain":               {"", "alice", nil, "550 5.1.1"},
		"empty":                   {"", "", nil, "550 5.1.1"},
		"only an addition":        {"", "+x@oak.home.arpa", nil, "550 5.1.1"},
		"path in the name":        {"", "../alice@oak.home.arpa", nil, "550 5.1.1"},
		"null byte":               {"", "alice\x00@oak.home.arpa", nil, "550 5.1.1"},
		"domain of the cell as @": {"", "@oak.home.arpa", nil, "550 5.1.1"},
	} {
		got, err := p.recipients(tt.sender, tt.to)
		if !reflect.DeepEqual(got, tt.want) || code(err) != tt.code {
			t.Errorf("%s: %v %s, want %v %s", name, got, code(err), tt.want, tt.code)
		}
	}
}

func TestWhoMaySendAsWhom(t *testing.T) {
	p := newPolicy(testConfig())
	for name, tt := range map[string]struct {
		user, from, code string
	}{
		"own":                {"alice", "alice@oak.home.arpa", "250"},
		"own in capitals":    {"alice", "Alice@EXAMPLE.org", "250"},
		"addition":           {"alice", "alice+x@example.org", "250"},
		"alias":              {"bob", "family@oak.home.arpa", "250"},
		"null sender":        {"alice", "", "250"},
		"somebody else":      {"alice", "bob@oak.home.arpa", "553 5.7.1"},
		"alias of others":    {"alice", "sales@oak.home.arpa", "553 5.7.1"},
		"foreign":            {"alice", "alice@example.net", "553 5.7.1"},
		"unknown":            {"alice", "nobody@oak.home.arpa", "553 5.7.1"},
		"stranger":           {"", "x@example.net", "250"},
		"stranger as one":    {"", "alice@oak.home.arpa", "250"}, // DMARC is to judge that
		"begins like own":    {"alice", "alicex@oak.home.arpa", "553 5.7.1"},
		"not the postmaster": {"bob", "postmaster@oak.home.arpa", "553 5.7.1"},
		"the postmaster":     {"alice", "abuse@oak.home.arpa", "250"},
	} {
		if got := code(p.sender(tt.user, tt.from)); got != tt.code {
			t.Errorf("%s: %s, want %s", name, got, tt.code)
		}
	}
}

func FuzzAddress(f *testing.F) {
	p := newPolicy(testConfig())
	f.Add("alice+x@example.org")
	f.Add("x@y@oak.home.arpa")
	f.Fuzz(func(t *testing.T, addr string) {
		to, err := p.recipients("", addr)
		if (err == nil) != (len(to) > 0) {
			t.Fatalf("%q: %v %v", addr, to, err)
		}
		for _, u := range to {
			if !p.users[u] {
				t.Fatalf("%q is for %q, who is no enabled user", addr, u)
			}
		}
		if p.own("alice", addr) && p.own("bob", addr) && len(to) != 2 {
			t.Fatalf("%q belongs to both, but is for %v", addr, to)
		}
	})
}

func TestLimiterCountsSources(t *testing.T) {
	l := newLimiter(4, 2)
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	c, d := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if !l.enter(a) || !l.enter(b) || l.enter(a) {
		t.Error("a /64 is not one source")
	}
	if !l.enter(c) || !l.enter(d) || l.enter(netip.MustParseAddr("192.0.2.3")) {
		t.Error("the total is not kept")
	}
	l.leave(a)
	l.leave(b)
	if !l.enter(a) || !l.enter(c) || l.count() != 4 {
		t.Error("places are not given back")
	}
}

// dialAny does not care who the server is; it was started by another process.
func dialAny(addr string) (net.Conn, error) {
	return tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
}

// allow changes how many connections a source may have.
func (l *limiter) allow(each int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.each = each
}
