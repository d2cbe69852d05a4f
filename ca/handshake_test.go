package ca

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

func TestOpenSSLAcceptsEveryChain(t *testing.T) {
	openssl := nettest.Tool(t, "openssl")
	dir := t.TempDir()
	s := newServer(t, dir)
	apply(t, s, oak("git.oak.home.arpa"))
	dom := filepath.Join(dir, "oak.home.arpa")
	chains, _ := filepath.Glob(filepath.Join(dom, "certificates", "*", "*", "*.crt"))
	if len(chains) != 2 {
		t.Fatalf("stored chains: %q", chains)
	}
	verify := func(args ...string) {
		t.Helper()
		args = append([]string{"verify", "-x509_strict", "-CAfile", filepath.Join(dom, "root.pem"), "-untrusted", filepath.Join(dom, "intermediate.pem")}, args...)
		if out, err := exec.Command(openssl, args...).CombinedOutput(); err != nil || !strings.Contains(string(out), ": OK") {
			t.Errorf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	for _, c := range chains {
		verify("-purpose", "sslserver", c)
	}
	own := slices.IndexFunc(chains, func(p string) bool { return strings.HasSuffix(p, "/oak.home.arpa.crt") })
	for _, n := range []string{"oak.home.arpa", "files.oak.home.arpa", "imap.oak.home.arpa"} {
		verify("-verify_hostname", n, chains[own])
	}
	for _, a := range []string{"127.0.0.1", "::1", "192.168.1.1", "10.99.0.1"} {
		verify("-verify_ip", a, chains[own])
	}
	verify("-verify_hostname", "git.oak.home.arpa", chains[1-own])

	chain, _, err := s.Issue(t.Context(), []string{"nas.oak.home.arpa", "*.lab.oak.home.arpa"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "nas.pem")
	if err := os.WriteFile(file, chain, 0o600); err != nil {
		t.Fatal(err)
	}
	verify("-verify_hostname", "x.lab.oak.home.arpa", file)
}

// Nothing may leave the package for a foreign name, not even if a caller forgot
// to check it, and if it did, devices would refuse it.
func TestForeignNamesAreRefused(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, dir)
	apply(t, s, oak())
	for _, n := range []string{
		"www.google.com", "*.google.com", "*.oak.home.arpa", "*", "", "oak.home.arpa.evil.com", "notoak.home.arpa", "home.arpa",
		"8.8.8.8", "192.168.1.1", "a b.oak.home.arpa", "a.*.oak.home.arpa", "..oak.home.arpa", "-a.oak.home.arpa",
		"a\x00.oak.home.arpa", strings.Repeat("a.", 120) + "oak.home.arpa",
	} {
		if _, _, err := s.Issue(t.Context(), []string{"good.oak.home.arpa", n}); err == nil {
			t.Errorf("a certificate for %q was issued", n)
		}
	}
	if _, _, err := s.Issue(t.Context(), nil); err == nil {
		t.Error("a certificate for nobody was issued")
	}
	if n := len(s.live.Load().record.list()); n != 1 {
		t.Errorf("%d certificates are recorded, want the cell's own only", n)
	}

	l := s.live.Load()
	openssl := nettest.Tool(t, "openssl")
	for name, who := range map[string]subjects{
		"name":     {names: []string{"www.google.com"}},
		"wildcard": {names: []string{"*.google.com"}},
		"parent":   {names: []string{"home.arpa"}},
		"address":  {names: []string{"oak.home.arpa"}, addrs: []netip.Addr{netip.MustParseAddr("8.8.8.8")}},
		"address6": {names: []string{"oak.home.arpa"}, addrs: []netip.Addr{netip.MustParseAddr("2001:db8::1")}},
	} {
		if _, err := l.auth.sign(&l.auth.key.PublicKey, who, time.Hour, time.Now()); err == nil {
			t.Errorf("%s: signed", name)
		}
		forged := &x509.Certificate{
			SerialNumber: serial(), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), DNSNames: who.names,
		}
		for _, a := range who.addrs {
			forged.IPAddresses = append(forged.IPAddresses, a.AsSlice())
		}
		der, err := x509.CreateCertificate(rand.Reader, forged, l.auth.inter, &l.auth.key.PublicKey, l.auth.key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "forged.pem")
		if err := os.WriteFile(file, pemOf(der), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(openssl, "verify", "-CAfile", filepath.Join(l.auth.dir, "root.pem"),
			"-untrusted", filepath.Join(l.auth.dir, "intermediate.pem"), file).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "permitted subtree violation") {
			t.Errorf("%s: openssl says %v: %s", name, err, out)
		}
	}
}

// The intermediate must not be able to make further authorities.
func TestIntermediateIsTheLast(t *testing.T) {
	s := newServer(t, t.TempDir())
	apply(t, s, oak())
	i := s.live.Load().auth.inter
	if !i.MaxPathLenZero || i.MaxPathLen != 0 || !i.IsCA || !i.PermittedDNSDomainsCritical {
		t.Errorf("path length %d, constraints critical: %v", i.MaxPathLen, i.PermittedDNSDomainsCritical)
	}
	if r := s.live.Load().auth.root; !slices.Equal(r.PermittedDNSDomains, []string{"oak.home.arpa", "localhost"}) || len(r.PermittedIPRanges) != len(permitted) {
		t.Errorf("the root permits %v and %v", r.PermittedDNSDomains, r.PermittedIPRanges)
	}
	if r, ok := s.Root(); !ok || time.Until(r.NotAfter) < 10*365*24*time.Hour {
		t.Errorf("root %+v", r)
	}
}

func TestHandshakes(t *testing.T) {
	s := newServer(t, t.TempDir())
	apply(t, s, oak("git.oak.home.arpa"))
	shake := func(sni, verify string) error {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		go tls.Server(theirs, &tls.Config{GetCertificate: s.GetCertificate}).HandshakeContext(t.Context())
		c := tls.Client(ours, &tls.Config{
			RootCAs: roots(t, s), ServerName: sni, InsecureSkipVerify: true,
			VerifyConnection: func(cs tls.ConnectionState) error {
				o := x509.VerifyOptions{Roots: roots(t, s), Intermediates: x509.NewCertPool(), DNSName: verify}
				for _, c := range cs.PeerCertificates[1:] {
					o.Intermediates.AddCert(c)
				}
				_, err := cs.PeerCertificates[0].Verify(o)
				return err
			},
		})
		return c.HandshakeContext(t.Context())
	}
	for name, tt := range map[string]struct {
		sni, verify string
		ok          bool
	}{
		"own name":           {"files.oak.home.arpa", "files.oak.home.arpa", true},
		"domain":             {"oak.home.arpa", "oak.home.arpa", true},
		"host":               {"git.oak.home.arpa", "git.oak.home.arpa", true},
		"case":               {"Git.OAK.home.arpa", "git.oak.home.arpa", true},
		"by address":         {"", "192.168.1.1", true},
		"by IPv6 address":    {"", "::1", true},
		"strange characters": {"_x\x7f.oak.home.arpa", "oak.home.arpa", true}, // the cell's own, no failure
		"unknown":            {"www.example.org", "www.example.org", false},
	} {
		if err := shake(tt.sni, tt.verify); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Strangers must not be able to make the cell sign, write or remember.
func TestRandomNamesCostNothing(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, dir)
	apply(t, s, oak())
	before := files(t, dir)
	own := leafFor(t, s, "oak.home.arpa")
	for i := range 1000 {
		sni := fmt.Sprintf("%d.%s.example", i, rand.Text())
		if i%2 == 0 {
			sni = rand.Text() + ".oak.home.arpa"
		}
		if leaf := leafFor(t, s, sni); leaf != own {
			t.Fatalf("%s got another certificate", sni)
		}
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("files before:\n%q\nafter:\n%q", before, after)
	}
	if n := len(s.live.Load().record.list()); n != 1 {
		t.Errorf("%d certificates were issued, want 1", n)
	}
}
