package ca

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pic/core/config"
)

// A testSeal is AES-GCM under one key, with the context as associated data.
type testSeal struct{ aead cipher.AEAD }

func newSeal(key byte) testSeal {
	b, err := aes.NewCipher([]byte(strings.Repeat(string(rune(key)), 32)))
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCMWithRandomNonce(b)
	if err != nil {
		panic(err)
	}
	return testSeal{a}
}

func (s testSeal) Seal(context string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(context))
}

func (s testSeal) Unseal(context string, sealed []byte) ([]byte, error) {
	if len(sealed) < s.aead.Overhead() {
		return nil, errors.New("too short")
	}
	return s.aead.Open(nil, nil, sealed, []byte(context))
}

func oak(hosts ...string) Config {
	c := Config{Domain: "oak.home.arpa", Life: 90 * 24 * time.Hour, Hosts: hosts, Addresses: []netip.Addr{
		netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("10.99.0.1"),
	}}
	c.Names = []string{c.Domain}
	for _, s := range config.Services() {
		c.Names = append(c.Names, s+"."+c.Domain)
	}
	return c
}

func newServer(t testing.TB, dir string) *Server {
	t.Helper()
	s := New(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), newSeal('k'), dir)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func apply(t testing.TB, s *Server, c Config) {
	t.Helper()
	if err := errors.Join(s.Check(t.Context(), c), s.Apply(t.Context(), c)); err != nil {
		t.Fatal(err)
	}
}

// leafFor returns what s presents to a client that asks for sni.
func leafFor(t testing.TB, s *Server, sni string) *x509.Certificate {
	t.Helper()
	c, err := s.GetCertificate(&tls.ClientHelloInfo{ServerName: sni, SupportedVersions: []uint16{tls.VersionTLS13}})
	if err != nil {
		t.Fatalf("certificate for %q: %v", sni, err)
	}
	return c.Leaf
}

func roots(t testing.TB, s *Server) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(s.RootPEM()) {
		t.Fatal("no root")
	}
	return p
}

func TestViewOfTheDocument(t *testing.T) {
	d := config.Resolve(&config.Document{
		Cell:    config.Cell{Name: "oak"},
		Network: config.Network{LAN: config.Interface{Address: netip.MustParsePrefix("192.168.7.1/24")}},
		WireGuard: config.WireGuard{
			Subnet: netip.MustParsePrefix("10.80.0.0/24"), Subnet6: netip.MustParsePrefix("fd00:1::/64"),
		},
		Proxy: config.Proxy{Routes: []config.Route{{Name: "git"}, {Name: "www.example.org"}, {Name: "a.b.oak.home.arpa"}}},
		CA:    config.CA{Names: []string{"printer.oak.home.arpa"}, Life: config.Duration(90*24*time.Hour + time.Millisecond)}, // certificates have no such times
	}, config.Env{})
	c := From(d)
	if want := []string{"a.b.oak.home.arpa", "git.oak.home.arpa", "printer.oak.home.arpa"}; !slices.Equal(c.Hosts, want) {
		t.Errorf("hosts %q, want %q", c.Hosts, want)
	}
	if want := []string{"www.example.org"}; !slices.Equal(c.Foreign, want) {
		t.Errorf("foreign %q, want %q", c.Foreign, want)
	}
	if c.Names[0] != "oak.home.arpa" || !slices.Contains(c.Names, "files.oak.home.arpa") {
		t.Errorf("names %q", c.Names)
	}
	want := "[127.0.0.1 ::1 192.168.7.1 10.80.0.1 fd00:1::1]"
	if got := fmt.Sprint(c.Addresses); got != want {
		t.Errorf("addresses %s, want %s", got, want)
	}
	if c.Life != 90*24*time.Hour {
		t.Errorf("life %s", c.Life)
	}
	if err := new(Server).Check(t.Context(), c); err != nil {
		t.Error(err)
	}
	if c := From(config.Resolve(&config.Document{}, config.Env{})); c.Domain != "" || c.Names != nil {
		t.Errorf("a document without a cell gives %+v", c)
	}
}

// A public address of the host is outside of the constraints and must be left
// out rather than make every certificate impossible.
func TestPublicAddressesAreLeftOut(t *testing.T) {
	d := config.Resolve(&config.Document{
		Cell:    config.Cell{Name: "oak", Listen: []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("::ffff:192.168.9.9")}},
		Network: config.Network{LAN: config.Interface{Address: netip.MustParsePrefix("203.0.113.7/24")}},
	}, config.Env{})
	for _, a := range From(d).Addresses {
		if a == netip.MustParseAddr("203.0.113.7") {
			t.Error("a public address is on the certificate")
		}
	}
	if !slices.Contains(From(d).Addresses, netip.MustParseAddr("192.168.9.9")) {
		t.Error("the mapped private address is missing")
	}
	apply(t, newServer(t, t.TempDir()), From(d))
}

// files lists the files below dir with their sizes.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		out = append(out, fmt.Sprint(p, " ", i.Size()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestKeysAreSealedOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, dir)
	apply(t, s, oak("git.oak.home.arpa"))
	secrets := [][]byte{scalar(t, s.live.Load().auth.key)}
	for _, sni := range []string{"oak.home.arpa", "git.oak.home.arpa"} {
		c, err := s.GetCertificate(&tls.ClientHelloInfo{ServerName: sni})
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, scalar(t, c.PrivateKey.(*ecdsa.PrivateKey)))
	}
	keys := 0
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if strings.Contains(string(b), "PRIVATE KEY") {
			t.Errorf("%s holds a key in clear", p)
		}
		for _, k := range secrets {
			if strings.Contains(string(b), string(k)) {
				t.Errorf("%s holds a key in clear", p)
			}
		}
		if strings.HasSuffix(p, ".key") {
			keys++
			if i, _ := d.Info(); i.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", p, i.Mode())
			}
		}
		return err
	})
	if err != nil || keys != 4 {
		t.Errorf("%d keys: %v", keys, err)
	}
	// A key moved to another name must not open there.
	dom := filepath.Join(dir, "oak.home.arpa")
	b, err := os.ReadFile(filepath.Join(dom, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dom, "intermediate.key"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (shelf{seal: newSeal('k'), dir: dom, name: "oak.home.arpa"}).key("intermediate.key"); err == nil {
		t.Error("the root's key opened as the intermediate's")
	}
}

func scalar(t *testing.T, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestIssuedPairWorks(t *testing.T) {
	s := newServer(t, t.TempDir())
	if _, _, err := s.Issue(t.Context(), []string{"nas.oak.home.arpa"}); !errors.Is(err, ErrNotReady) {
		t.Errorf("before the first Apply: %v", err)
	}
	apply(t, s, oak())
	chain, key, err := s.Issue(t.Context(), []string{"NAS.oak.home.arpa.", "media.oak.home.arpa"})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	if len(pair.Certificate) != 2 || !slices.Equal(pair.Leaf.DNSNames, []string{"nas.oak.home.arpa", "media.oak.home.arpa"}) {
		t.Errorf("%d certificates, names %q", len(pair.Certificate), pair.Leaf.DNSNames)
	}
	var listed *CertInfo
	for _, c := range s.Certificates() {
		if c.Names[0] == "nas.oak.home.arpa" {
			listed = &c
		} else if !c.Serving {
			t.Errorf("%q is not said to be in use", c.Names)
		}
	}
	if listed == nil || listed.Serving || listed.Serial != fmt.Sprintf("%x", pair.Leaf.SerialNumber.Bytes()) {
		t.Errorf("listed as %+v", listed)
	}
	if _, rest := pem.Decode(key); len(rest) > 0 {
		t.Error("more than one block in the key")
	}
}
