package dnssrv

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/names"
	"pic/internal/nettest"
)

// runServer starts a name server whose configuration is text; @ in args is its path.
func runServer(t testing.TB, program, text string, args ...string) *nettest.Proc {
	t.Helper()
	path := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, a := range args {
		if a == "@" {
			args[i] = path
		}
	}
	return nettest.Start(t, exec.Command(nettest.Tool(t, program), args...))
}

func nsdConf(dir, port, rest string) string {
	return fmt.Sprintf(`server:
  ip-address: 127.0.0.1
  port: %s
  username: ""
  chroot: ""
  zonesdir: "%[2]s"
  database: ""
  pidfile: "%[2]s/nsd.pid"
  xfrdfile: "%[2]s/xfrd.state"
  zonelistfile: "%[2]s/zone.list"
  cookie-secret-file: "%[2]s/cookie"
  xfrdir: "%[2]s"
  server-count: 1
  xfrd-reload-timeout: 0
  verbosity: 2
remote-control:
  control-enable: no
key:
  name: "xfr"
  algorithm: hmac-sha512
  secret: "%[3]s"
%[4]s`, port, dir, acmeSecret, rest)
}

func knotConf(dir, port, rest string) string {
	return fmt.Sprintf(`server:
  listen: 127.0.0.1@%s
  rundir: %[2]s
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: %[2]s
template:
- id: default
  storage: %[2]s
log:
- target: stderr
  any: info
key:
- id: xfr
  algorithm: hmac-sha512
  secret: %[3]s
%[4]s`, port, dir, acmeSecret, rest)
}

func TestSecondariesFollowAChange(t *testing.T) {
	nsd, knot := fmt.Sprint(nettest.FreePort(t)), fmt.Sprint(nettest.FreePort(t))
	s := share(t, t.TempDir(), func(d *config.Document) {
		for _, p := range []string{nsd, knot} {
			d.DNS.Own.Secondaries = append(d.DNS.Own.Secondaries, config.NameServer{Address: "127.0.0.1:" + p, Key: "xfr"})
		}
	})
	_, port, _ := net.SplitHostPort(s.at(t, "tcp"))
	runServer(t, "nsd", nsdConf(t.TempDir(), nsd, fmt.Sprintf(`zone:
  name: oak.home.arpa
  allow-notify: 127.0.0.1 xfr
  request-xfr: 127.0.0.1@%s xfr
`, port)), "-d", "-c", "@")
	runServer(t, "knotd", knotConf(t.TempDir(), knot, fmt.Sprintf(`remote:
- id: cell
  address: 127.0.0.1@%s
  key: xfr
acl:
- id: told
  address: 127.0.0.1
  key: xfr
  action: notify
zone:
- domain: oak.home.arpa
  master: cell
  acl: told
`, port)), "-c", "@")
	follows := func(what string) {
		t.Helper()
		want := s.serial(t, "oak.home.arpa")
		for name, p := range map[string]string{"nsd": nsd, "knot": knot} {
			start := time.Now()
			nettest.WaitFor(t, 10*time.Second, func() bool { return soaAt(t, "127.0.0.1:"+p, "oak.home.arpa") == want })
			t.Logf("%s: %s follows after %v", what, name, time.Since(start).Round(time.Millisecond))
		}
	}
	follows("start")
	s.change(t, func(d *config.Document) {
		d.DNS.Records = append(d.DNS.Records, config.Record{Name: "new", Type: "A", Value: "192.168.1.77"})
	})
	follows("document")
	if out, code := nsupdate(t, s, "acme", "zone oak.home.arpa", "update add _acme-challenge.oak.home.arpa 60 TXT one"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	follows("update")
	r := names.New("oak.home.arpa")
	r.Publish(names.Leases, []names.Host{{Name: "tablet.lan.oak.home.arpa", Addrs: []netip.Addr{netip.MustParseAddr("192.168.1.150")}, TTL: time.Minute}})
	before := s.serial(t, "oak.home.arpa")
	s.snap.Store(r.Snapshot())
	if after := s.serial(t, "oak.home.arpa"); after <= before {
		t.Errorf("the serial was %d before a lease and is %d", before, after)
	}
	follows("lease")
	for name, p := range map[string]string{"nsd": nsd, "knot": knot} {
		for q, want := range map[string]string{"new": "192.168.1.77", "tablet.lan": "192.168.1.150"} {
			m := new(dns.Msg).SetQuestion(q+".oak.home.arpa.", dns.TypeA)
			r, _, err := new(dns.Client).Exchange(m, "127.0.0.1:"+p)
			if err != nil || len(r.Answer) != 1 || r.Answer[0].(*dns.A).A.String() != want {
				t.Errorf("%s on %s: %v %v", name, q, r, err)
			}
		}
	}
	sh := s.Sharings()
	if len(sh) != 1 || len(sh[0].Secondaries) != 2 || sh[0].Updates != 1 {
		t.Fatalf("%+v", sh)
	}
	for _, p := range sh[0].Secondaries {
		if p.Serial != sh[0].Serial || p.Error != "" || p.Seen.IsZero() {
			t.Errorf("%+v, the zone has serial %d", p, sh[0].Serial)
		}
	}
}

// A signed zone is one on its secondary too, whatever has changed meanwhile: Knot
// checks every version, and two verifiers what dig transfers.
func TestSignedZonesTransferSigned(t *testing.T) {
	knot := fmt.Sprint(nettest.FreePort(t))
	s := share(t, t.TempDir(), func(d *config.Document) {
		d.DNS.Own.Sign = true
		d.DNS.Own.Secondaries = []config.NameServer{{Address: "127.0.0.1:" + knot, Key: "xfr"}}
	})
	_, port, _ := net.SplitHostPort(s.at(t, "tcp"))
	p := runServer(t, "knotd", knotConf(t.TempDir(), knot, fmt.Sprintf(`remote:
- id: cell
  address: 127.0.0.1@%s
  key: xfr
acl:
- id: told
  address: 127.0.0.1
  key: xfr
  action: notify
zone:
- domain: oak.home.arpa
  master: cell
  acl: told
  dnssec-validation: on
`, port)), "-c", "@")
	follows := func() {
		t.Helper()
		want := s.serial(t, "oak.home.arpa")
		nettest.WaitFor(t, 10*time.Second, func() bool { return soaAt(t, "127.0.0.1:"+knot, "oak.home.arpa") == want })
	}
	follows()
	if out, code := nsupdate(t, s, "acme", "zone oak.home.arpa", "update add _acme-challenge.oak.home.arpa 60 TXT one"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	follows()
	if err := s.Rollover(t.Context(), "oak.home.arpa"); err != nil {
		t.Fatal(err)
	}
	follows()
	if out := p.Output(); strings.Contains(out, "DNSSEC, validation failed") || !strings.Contains(out, "IXFR, incoming") {
		t.Errorf("Knot says\n%s", out)
	}
	path := filepath.Join(t.TempDir(), "zone")
	got := tryDig(t, s, append(signedBy("xfr", "hmac-sha512"), "+onesoa", "+nocmd", "+nostats", "axfr", "oak.home.arpa")...)
	var zone strings.Builder
	for line := range strings.Lines(got) {
		if f := strings.Fields(line); len(f) > 3 && f[3] != "TSIG" {
			zone.WriteString(line)
		}
	}
	if !strings.Contains(zone.String(), "_acme-challenge.oak.home.arpa.") {
		t.Errorf("no update in\n%s", got)
	}
	if err := os.WriteFile(path, []byte(zone.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(nettest.Tool(t, "ldns-verify-zone"), path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Zone is verified and complete") {
		t.Errorf("ldns-verify-zone: %v\n%s\n%s", err, out, zone.String())
	}
	if out, err = exec.Command(nettest.Tool(t, "dnssec-verify"), "-z", "-o", "oak.home.arpa", path).CombinedOutput(); err != nil {
		t.Errorf("dnssec-verify: %v\n%s", err, out)
	}
}
