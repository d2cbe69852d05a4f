package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// An identity is a certificate of a test for dns.example and 127.0.0.1.
type identity struct {
	roots     *x509.CertPool
	cert      tls.Certificate
	crt, key  string // files
	directory string
}

func newIdentity(t testing.TB) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dns.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"dns.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id := &identity{
		roots: x509.NewCertPool(), cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		crt: filepath.Join(dir, "crt.pem"), key: filepath.Join(dir, "key.pem"), directory: dir,
	}
	id.roots.AddCert(cert)
	for path, block := range map[string]*pem.Block{id.crt: {Type: "CERTIFICATE", Bytes: der}, id.key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// reach returns a resolver at the address s, closed at the end of the test.
func reach(t testing.TB, s string, o Options) *Resolver {
	t.Helper()
	a, err := Parse(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	r := New(a, o)
	t.Cleanup(r.Close)
	return r
}

func question(t testing.TB, name string, typ uint16) Question {
	t.Helper()
	b := make([]byte, 256)
	n, err := dns.PackDomainName(name, b, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return Question{Name: string(b[:n]), Type: typ}
}

// ask returns what came of a question, in one line.
func ask(t testing.TB, r *Resolver, q Question) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	return outcome(r.Ask(ctx, q))
}

func outcome(b []byte, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		return "not a message: " + err.Error()
	}
	s := dns.RcodeToString[m.Rcode]
	for _, rr := range m.Answer {
		s += " | " + strings.Join(strings.Fields(rr.String())[3:], " ")
	}
	return s
}

func TestAddressesAreReadAndWritten(t *testing.T) {
	for s, want := range map[string]string{
		"9.9.9.9":                                 "9.9.9.9:53",
		"9.9.9.9:5353":                            "9.9.9.9:5353",
		"2620:fe::fe":                             "[2620:fe::fe]:53",
		"udp://9.9.9.9":                           "9.9.9.9:53",
		"tcp://9.9.9.9":                           "tcp://9.9.9.9:53",
		"tcp://[2620:fe::fe]:5353":                "tcp://[2620:fe::fe]:5353",
		"tls://9.9.9.9":                           "tls://9.9.9.9:853",
		"tls://dns.quad9.net":                     "tls://dns.quad9.net",
		"tls://dns.quad9.net#9.9.9.9":             "tls://dns.quad9.net#9.9.9.9",
		"tls://dns.quad9.net:8853#9.9.9.9":        "tls://dns.quad9.net:8853#9.9.9.9",
		"tls://dns.quad9.net#9.9.9.9:8853":        "tls://dns.quad9.net#9.9.9.9:8853",
		"tls://dns.quad9.net#2620:fe::fe":         "tls://dns.quad9.net#2620:fe::fe",
		"https://dns.quad9.net/dns-query":         "https://dns.quad9.net/dns-query",
		"https://dns.quad9.net/dns-query#9.9.9.9": "https://dns.quad9.net/dns-query#9.9.9.9",
		"https://[2620:fe::fe]/dns-query":         "https://[2620:fe::fe]:443/dns-query",
		"quic://dns.adguard-dns.com":              "quic://dns.adguard-dns.com",
	} {
		a, err := Parse(s)
		if err != nil || a.String() != want {
			t.Errorf("%s: got %v, %v; want %s", s, a, err, want)
			continue
		}
		if b, err := Parse(a.String()); err != nil || a != b {
			t.Errorf("%s: written as %v, read as %+v, %v", s, a, b, err)
		}
	}
	for _, s := range []string{
		"", "x", "9.9.9.9:0", "0.0.0.0", "224.0.0.1", "ftp://9.9.9.9", "tcp://dns.quad9.net", "udp://dns.quad9.net",
		"tls://", "tls://dns.quad9.net#nowhere", "tls://dns.quad9.net:70000", "tls://a@dns.quad9.net", "tls://dns.quad9.net#0.0.0.0",
	} {
		if a, err := Parse(s); err == nil {
			t.Errorf("%q is read as %+v", s, a)
		}
	}
}

// unbound starts one that answers for test. by its own data, over UDP, TCP, TLS
// and HTTPS.
func unbound(t testing.TB, id *identity) (plain, dot, doh string) {
	t.Helper()
	plain, dot, doh = fmt.Sprint(nettest.FreePort(t)), fmt.Sprint(nettest.FreePort(t)), fmt.Sprint(nettest.FreePort(t))
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	text := `server:
  directory: "` + filepath.Dir(conf) + `"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  module-config: "iterator"
  interface: 127.0.0.1@` + plain + `
  interface: 127.0.0.1@` + dot + `
  interface: 127.0.0.1@` + doh + `
  tls-port: ` + dot + `
  https-port: ` + doh + `
  tls-service-key: "` + id.key + `"
  tls-service-pem: "` + id.crt + `"
  answer-cookie: yes
  local-zone: "test." static
  local-data: "www.test. 600 IN A 192.0.2.1"
`
	for range 60 {
		text += `  local-data: 'long.test. 600 IN TXT "` + strings.Repeat("x", 200) + rand.Text() + `"'` + "\n"
	}
	if err := os.WriteFile(conf, []byte(strings.Replace(text, "  answer-cookie: yes\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, plain, "unbound", "-d", "-c", conf)
	return plain, dot, doh
}

// start runs a server until it answers at the TCP port.
func start(t testing.TB, port, name string, args ...string) {
	t.Helper()
	cmd := command(nettest.Tool(t, name), args...)
	p := nettest.Start(t, cmd)
	nettest.WaitFor(t, 20*time.Second, func() bool {
		if !p.Running() {
			t.Fatalf("%s ended: %s", name, p.Output())
		}
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

func TestUnboundAnswersOverEveryTransportItHas(t *testing.T) {
	nettest.NeedNamespace(t)
	id := newIdentity(t)
	plain, dot, doh := unbound(t, id)
	o := Options{Roots: id.roots}
	for name, s := range map[string]string{
		"UDP":                 "127.0.0.1:" + plain,
		"TCP":                 "tcp://127.0.0.1:" + plain,
		"TLS by name":         "tls://dns.example:" + dot + "#127.0.0.1",
		"TLS by address":      "tls://127.0.0.1:" + dot,
		"HTTPS":               "https://dns.example:" + doh + "/dns-query#127.0.0.1",
		"HTTPS by address":    "https://127.0.0.1:" + doh + "/dns-query",
		"TLS, name looked up": "tls://dns.example:" + dot,
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
				// The first does not answer, the second does.
				return []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.1")}, nil
			}
			r := reach(t, s, o)
			for range 3 {
				if got := ask(t, r, question(t, "www.test.", dns.TypeA)); got != "NOERROR | A 192.0.2.1" {
					t.Fatal(got)
				}
			}
			if got := ask(t, r, question(t, "nope.test.", dns.TypeA)); got != "NXDOMAIN" {
				t.Error(got)
			}
			if got := ask(t, r, question(t, "long.test.", dns.TypeTXT)); strings.Count(got, " | ") != 60 {
				t.Errorf("%.100s", got)
			}
		})
	}
	wrong := newIdentity(t)
	for name, tt := range map[string]struct {
		s     string
		roots *x509.CertPool
		want  string
	}{
		"another name":          {"tls://dns.other:" + dot + "#127.0.0.1", id.roots, "certificate is valid for dns.example, not dns.other"},
		"another name, HTTPS":   {"https://dns.other:" + doh + "/dns-query#127.0.0.1", id.roots, "certificate is valid for dns.example, not dns.other"},
		"signed by others":      {"tls://dns.example:" + dot + "#127.0.0.1", wrong.roots, "certificate signed by unknown authority"},
		"not TLS at all":        {"tls://dns.example:" + plain + "#127.0.0.1", id.roots, "TLS: "},
		"another path of HTTPS": {"https://dns.example:" + doh + "/other#127.0.0.1", id.roots, "HTTP status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			r := reach(t, tt.s, Options{Roots: tt.roots})
			if got := ask(t, r, question(t, "www.test.", dns.TypeA)); !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestDnsdistAnswersOverTLSAndHTTPS(t *testing.T) {
	nettest.NeedNamespace(t)
	id := newIdentity(t)
	plain, _, _ := unbound(t, id)
	dot, doh, own := fmt.Sprint(nettest.FreePort(t)), fmt.Sprint(nettest.FreePort(t)), fmt.Sprint(nettest.FreePort(t))
	conf := filepath.Join(t.TempDir(), "dnsdist.conf")
	text := `newServer("127.0.0.1:` + plain + `"):setUp()
setLocal("127.0.0.1:` + own + `")
setACL("127.0.0.0/8")
addTLSLocal("127.0.0.1:` + dot + `", "` + id.crt + `", "` + id.key + `")
addDOHLocal("127.0.0.1:` + doh + `", "` + id.crt + `", "` + id.key + `", "/dns-query")
`
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, doh, "dnsdist", "--supervised", "--disable-syslog", "-C", conf)
	for name, s := range map[string]string{
		"UDP": "127.0.0.1:" + own, "TLS": "tls://dns.example:" + dot + "#127.0.0.1",
		"HTTPS": "https://dns.example:" + doh + "/dns-query#127.0.0.1",
	} {
		r := reach(t, s, Options{Roots: id.roots})
		nettest.WaitFor(t, 10*time.Second, func() bool { // until it has found its own upstream well
			return ask(t, r, question(t, "www.test.", dns.TypeA)) == "NOERROR | A 192.0.2.1"
		})
		if got := ask(t, r, question(t, "long.test.", dns.TypeTXT)); strings.Count(got, " | ") != 60 {
			t.Errorf("%s: %.100s", name, got)
		}
	}
}

func TestKnotResolverAnswersOverTLS(t *testing.T) {
	nettest.NeedNamespace(t)
	id := newIdentity(t)
	dot := fmt.Sprint(nettest.FreePort(t))
	dir := t.TempDir()
	conf := filepath.Join(dir, "kresd.conf")
	text := `net.listen("127.0.0.1", ` + dot + `, { kind = "tls" })
net.tls("` + id.crt + `", "` + id.key + `")
modules = { "hints > iterate" }
hints["www.kres.example."] = "192.0.2.1"
cache.size = 10 * MB
`
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dot, "kresd", "-n", "-c", conf, dir)
	r := reach(t, "tls://dns.example:"+dot+"#127.0.0.1", Options{Roots: id.roots})
	for range 3 {
		if got := ask(t, r, question(t, "www.kres.example.", dns.TypeA)); got != "NOERROR | A 192.0.2.1" {
			t.Fatal(got)
		}
	}
}
