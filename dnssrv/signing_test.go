package dnssrv

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/names"
	"pic/internal/listen"
	"pic/internal/nettest"
)

// signedLab is lab with signatures: in the cell's zone and in others beside and
// below it.
func signedLab(upstreams ...string) *config.Document {
	d := lab(upstreams...)
	d.DNS.Own.Sign = true
	d.DNS.Records = append(d.DNS.Records,
		config.Record{Name: "old", Type: "DNAME", Value: "other.home.arpa"},
		config.Record{Name: "deep", Type: "DNAME", Value: strings.Repeat("d.", 100) + "home.arpa"},
		config.Record{Name: "safe", Type: "NS", Value: "ns.safe.oak.home.arpa"},
		config.Record{Name: "safe", Type: "DS", Value: "12345 13 2 " + strings.Repeat("0a", 32)},
		config.Record{Name: "ns.safe", Type: "A", Value: "192.168.1.14"},
		config.Record{Name: "self", Type: "NS", Value: "self"},
		config.Record{Name: "self", Type: "A", Value: "192.168.1.15"},
		config.Record{Name: "*.world", Type: "CNAME", Value: "www.example.net"},
		config.Record{Name: "web", Type: "HTTPS", Value: "1 . alpn=h2"},
		config.Record{Name: "web", Type: "AAAA", Value: "fd00::80"},
		config.Record{Name: "odd", Type: "TYPE65280", Value: `\# 4 0A000001`},
		config.Record{Name: "MiXed", Type: "MX", Value: "10 NAS"},
	)
	d.DNS.Zones[0].Options.Sign = true
	d.DNS.Zones = append(d.DNS.Zones,
		config.Zone{Name: "plain.oak.home.arpa", Records: []config.Record{{Name: "x", Type: "A", Value: "192.168.1.21"}}},
		config.Zone{Name: "fine.oak.home.arpa", Options: config.ZoneOptions{Sign: true}, Records: []config.Record{{Name: "x", Type: "A", Value: "192.168.1.22"}}},
		config.Zone{Name: "1.168.192.in-addr.arpa", Options: config.ZoneOptions{Sign: true}},
	)
	return d
}

// sealing is a vault for tests: it keeps no secrets, but notices a wrong context.
func sealing(o *Options, dir string) {
	o.Dir = dir
	o.Seal = func(context string, plain []byte) []byte { return append([]byte(context+"\x00"), plain...) }
	o.Unseal = func(context string, sealed []byte) ([]byte, error) {
		rest, ok := strings.CutPrefix(string(sealed), context+"\x00")
		if !ok {
			return nil, fmt.Errorf("the secret cannot be unsealed")
		}
		return []byte(rest), nil
	}
}

// startSigned is start with keys in dir.
func startSigned(t testing.TB, c Config, snap func() *names.Snapshot, dir string) *Server {
	t.Helper()
	o := Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Names: snap}
	o.Secret = func(config.Secret) ([]byte, error) { return []byte(acmeSecret), nil }
	sealing(&o, dir)
	s := New(o)
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s
}

// anchor writes the trust anchor of a zone, as BIND's tools read it.
func anchor(t *testing.T, s *Server, zones ...string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("trust-anchors {\n")
	for _, zone := range zones {
		for _, ds := range s.zoneInfo(t, zone).DS {
			f := strings.Fields(ds) // name TTL IN DS tag algorithm type digest
			fmt.Fprintf(&b, "\t%q static-ds %s %s %s %q;\n", zone+".", f[4], f[5], f[6], strings.Join(f[7:], ""))
		}
	}
	b.WriteString("};\n")
	path := filepath.Join(t.TempDir(), "ta.conf")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *Server) zoneInfo(t testing.TB, zone string) ZoneInfo {
	t.Helper()
	for _, z := range s.Zones() {
		if z.Name == zone {
			return z
		}
	}
	t.Fatalf("there is no zone %s", zone)
	return ZoneInfo{}
}

func TestDelvValidatesWhatWeSign(t *testing.T) {
	snap := found(t)
	s := startSigned(t, conf(signedLab(source(t, world).addr)), func() *names.Snapshot { return snap }, t.TempDir())
	host, port, _ := net.SplitHostPort(s.at(t, "udp"))
	for name, tt := range map[string]struct {
		root, question string
		want           []string
	}{
		"answer":             {"oak.home.arpa", "nas.oak.home.arpa A", []string{"; fully validated", "192.168.1.10"}},
		"no such name":       {"oak.home.arpa", "nope.oak.home.arpa A", []string{"; negative response, fully validated", "ncache nxdomain"}},
		"no such type":       {"oak.home.arpa", "nas.oak.home.arpa AAAA", []string{"; negative response, fully validated", "ncache nxrrset"}},
		"empty non-terminal": {"oak.home.arpa", "c.oak.home.arpa A", []string{"; negative response, fully validated", "ncache nxrrset"}},
		"alias":              {"oak.home.arpa", "www.oak.home.arpa A", []string{"; fully validated", "CNAME\tnas.oak.home.arpa."}},
		"wildcard":           {"oak.home.arpa", "x.y.apps.oak.home.arpa A", []string{"; fully validated", "192.168.1.11"}},
		"wildcard, no type":  {"oak.home.arpa", "x.apps.oak.home.arpa TXT", []string{"; negative response, fully validated"}},
		"wildcard of alias":  {"oak.home.arpa", "x.alias.oak.home.arpa A", []string{"; fully validated", "192.168.1.10"}},
		"lease":              {"oak.home.arpa", "phone.oak.home.arpa A", []string{"; fully validated", "192.168.1.101"}},
		"lease, no type":     {"oak.home.arpa", "phone.oak.home.arpa AAAA", []string{"; negative response, fully validated"}},
		"beside a lease":     {"oak.home.arpa", "phone0.oak.home.arpa A", []string{"; negative response, fully validated"}},
		"the cell":           {"oak.home.arpa", "home.oak.home.arpa A", []string{"; fully validated", "127.0.0.1"}},
		"the cell, no v6":    {"oak.home.arpa", "home.oak.home.arpa AAAA", []string{"; negative response, fully validated"}},
		"apex":               {"oak.home.arpa", "oak.home.arpa SOA", []string{"; fully validated"}},
		"keys":               {"oak.home.arpa", "oak.home.arpa DNSKEY", []string{"; fully validated", "DNSKEY\t257 3 13", "DNSKEY\t256 3 13"}},
		"CDS":                {"oak.home.arpa", "oak.home.arpa CDS", []string{"; fully validated"}},
		"CDNSKEY":            {"oak.home.arpa", "oak.home.arpa CDNSKEY", []string{"; fully validated"}},
		"NSEC":               {"oak.home.arpa", "nas.oak.home.arpa NSEC", []string{"; fully validated", "A RRSIG NSEC"}},
		"service":            {"oak.home.arpa", "_imaps._tcp.oak.home.arpa SRV", []string{"; fully validated"}},
		"odd type":           {"oak.home.arpa", "odd.oak.home.arpa TYPE65280", []string{"; fully validated"}},
		"HTTPS":              {"oak.home.arpa", "web.oak.home.arpa HTTPS", []string{"; fully validated"}},
		"mixed case":         {"oak.home.arpa", "mIxEd.oAk.home.arpa MX", []string{"; fully validated"}},
		"DNAME":              {"oak.home.arpa", "old.oak.home.arpa DNAME", []string{"; fully validated"}},
		"delegation's DS":    {"oak.home.arpa", "safe.oak.home.arpa DS", []string{"; fully validated", "12345 13 2"}},
		"delegation, no DS":  {"oak.home.arpa", "sub.oak.home.arpa DS", []string{"; negative response, fully validated"}},
		"zone below, signed": {"oak.home.arpa", "x.fine.oak.home.arpa A", []string{"; fully validated", "192.168.1.22"}},
		"zone below, plain":  {"oak.home.arpa", "x.plain.oak.home.arpa A", []string{"; unsigned answer", "192.168.1.21"}},
		"reverse of a lease": {"1.168.192.in-addr.arpa", "101.1.168.192.in-addr.arpa PTR", []string{"; fully validated", "phone.lan.oak.home.arpa."}},
		"reverse of nobody":  {"1.168.192.in-addr.arpa", "99.1.168.192.in-addr.arpa PTR", []string{"; negative response, fully validated"}},
		"reverse, no type":   {"1.168.192.in-addr.arpa", "101.1.168.192.in-addr.arpa A", []string{"; negative response, fully validated"}},
		"other zone":         {"other.home.arpa", "www.other.home.arpa A", []string{"; fully validated", "192.168.1.20"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"@" + host, "-p", port, "-a", anchor(t, s, tt.root), "+root=" + tt.root}, strings.Fields(tt.question)...)
			out, err := exec.Command(nettest.Tool(t, "delv"), args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, w := range tt.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("delv %s: no %q in\n%s", tt.question, w, out)
				}
			}
		})
	}
}

// Everything that a secondary would get of a zone holds together, in the eyes of
// two implementations.
func TestWholeSignedZonesVerify(t *testing.T) {
	snap := found(t)
	s := startSigned(t, conf(signedLab()), func() *names.Snapshot { return snap }, t.TempDir())
	for _, zone := range []string{"oak.home.arpa", "other.home.arpa", "fine.oak.home.arpa", "1.168.192.in-addr.arpa"} {
		m := s.outside()
		var b strings.Builder
		if zone == "oak.home.arpa" && !strings.Contains(fmt.Sprint(m.zones[mustName(zone)].dump(m)), "self.oak.home.arpa.\t300\tIN\tA\t") {
			t.Error("glue at a delegation is missing")
		}
		for _, rr := range m.zones[mustName(zone)].dump(m) {
			fmt.Fprintln(&b, rr)
		}
		path := filepath.Join(t.TempDir(), "zone")
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(nettest.Tool(t, "ldns-verify-zone"), path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Zone is verified and complete") {
			t.Errorf("ldns-verify-zone: %v\n%s\n%s", err, out, b.String())
		}
		out, err = exec.Command(nettest.Tool(t, "dnssec-verify"), "-o", zone, path).CombinedOutput()
		if err != nil {
			t.Errorf("dnssec-verify: %v\n%s", err, out)
		}
	}
}

// What goes over the wire to a secondary is that zone, and what programs put into
// it is signed as soon as it is there.
func TestTransfersAndUpdatesOfSignedZonesVerify(t *testing.T) {
	d := signedLab()
	d.DNS.Keys = []config.TSIGKey{{Name: "acme", Algorithm: "hmac-sha256", Secret: "acme"}}
	d.DNS.Own.Secondaries = []config.NameServer{{Address: "192.0.2.53", Key: "acme"}}
	d.DNS.Own.Updates = []config.Update{{Key: "acme", Names: []string{"_acme-challenge*"}}}
	snap := found(t)
	s := startSigned(t, conf(d), func() *names.Snapshot { return snap }, t.TempDir())
	host, port, _ := net.SplitHostPort(s.at(t, "tcp"))
	update := exec.Command(nettest.Tool(t, "nsupdate"), signedBy("acme", "hmac-sha256")...)
	update.Stdin = strings.NewReader("server " + host + " " + port + "\nzone oak.home.arpa\nupdate add _acme-challenge.web.oak.home.arpa 60 TXT token\nsend\n")
	if out, err := update.CombinedOutput(); err != nil {
		t.Fatalf("nsupdate: %v\n%s", err, out)
	}
	for _, question := range []string{"_acme-challenge.web.oak.home.arpa TXT", "_acme-challenge.web.oak.home.arpa A", "_acme-challenge.wec.oak.home.arpa TXT"} {
		args := append([]string{"@" + host, "-p", port, "-a", anchor(t, s, "oak.home.arpa"), "+root=oak.home.arpa"}, strings.Fields(question)...)
		if out, err := exec.Command(nettest.Tool(t, "delv"), args...).CombinedOutput(); err != nil || !strings.Contains(string(out), "fully validated") {
			t.Errorf("delv %s: %v\n%s", question, err, out)
		}
	}
	args := append([]string{"@" + host, "-p", port, "+onesoa"}, signedBy("acme", "hmac-sha256")...)
	out, err := exec.Command(nettest.Tool(t, "dig"), append(args, "axfr", "oak.home.arpa")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var zone strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "\tTSIG\t") {
			zone.WriteString(line)
		}
	}
	path := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(path, []byte(zone.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(nettest.Tool(t, "ldns-verify-zone"), path).CombinedOutput(); err != nil || !strings.Contains(string(out), "Zone is verified and complete") {
		t.Errorf("ldns-verify-zone: %v\n%s\n%s", err, out, zone.String())
	}
	if out, err := exec.Command(nettest.Tool(t, "dnssec-verify"), "-o", "oak.home.arpa", path).CombinedOutput(); err != nil {
		t.Errorf("dnssec-verify: %v\n%s", err, out)
	}
}

func TestSignaturesAreForThoseWhoWantThem(t *testing.T) {
	s := startSigned(t, conf(signedLab()), nil, t.TempDir())
	for _, rr := range ask(t, s, "udp", "nope.oak.home.arpa.", dns.TypeA, edns).Ns {
		if rr.Header().Rrtype != dns.TypeSOA {
			t.Errorf("without DO came %v", rr)
		}
	}
	if r := ask(t, s, "udp", "nas.oak.home.arpa.", dns.TypeA); len(r.Answer) != 2 {
		t.Errorf("without EDNS came %v", r.Answer)
	}
	r := ask(t, s, "udp", "nas.oak.home.arpa.", dns.TypeA, wantDO)
	sig, ok := r.Answer[len(r.Answer)-1].(*dns.RRSIG)
	if !ok || len(r.Answer) != 3 {
		t.Fatalf("with DO came %v", r.Answer)
	}
	now := uint32(time.Now().Unix())
	if sig.Inception > now-3600 || sig.Expiration < now+7*24*3600 || sig.SignerName != "oak.home.arpa." {
		t.Errorf("got %v", sig)
	}
}

func TestSigningIsSwitchedWhileServing(t *testing.T) {
	d := signedLab()
	s := startSigned(t, conf(d), nil, t.TempDir())
	ds := s.zoneInfo(t, "oak.home.arpa").DS
	count := func() int { return len(ask(t, s, "udp", "nas.oak.home.arpa.", dns.TypeA, wantDO).Answer) }
	for _, on := range []bool{true, false, true} {
		d.DNS.Own.Sign = on
		if err := s.Apply(t.Context(), conf(d)); err != nil {
			t.Fatal(err)
		}
		want := 2
		if on {
			want = 3
		}
		if got := count(); got != want {
			t.Errorf("signing is %v, and there are %d records", on, got)
		}
	}
	if got := s.zoneInfo(t, "oak.home.arpa").DS; len(got) != 1 || got[0] != ds[0] {
		t.Errorf("the keys changed from %v to %v", ds, got)
	}
}
