package dnssrv

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/names"
	"pic/internal/listen"
	"pic/internal/nettest"
)

const acmeSecret = "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMhISE="

// A shared is a server whose zones others have a part in.
type shared struct {
	*Server
	doc  *config.Document
	snap atomic.Pointer[names.Snapshot]
	stop func() // ends Run
}

// share runs a server of the document oak, changed by edit, with a folder.
func share(t testing.TB, dir string, edit func(*config.Document)) *shared {
	t.Helper()
	d := lab()
	d.DNS.Keys = []config.TSIGKey{
		{Name: "acme", Algorithm: "hmac-sha256", Secret: "acme"},
		{Name: "xfr", Algorithm: "hmac-sha512", Secret: "xfr"},
	}
	d.DNS.Own.Updates = []config.Update{{Key: "acme", Names: []string{"_acme-challenge*", "dyn.*"}, Types: []string{"TXT"}}}
	if edit != nil {
		edit(d)
	}
	sh := &shared{doc: d}
	sh.snap.Store(found(t))
	sh.Server = New(sealed(dir, Options{
		Log: logger(t), Pool: listen.NewPool(nil), Dir: dir, Names: sh.snap.Load,
		Secret: func(s config.Secret) ([]byte, error) {
			if s == "lost" {
				return nil, os.ErrNotExist
			}
			return []byte(acmeSecret), nil
		},
	}))
	if err := sh.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sh.Run(ctx) }()
	sh.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(sh.stop)
	return sh
}

func sealed(dir string, o Options) Options {
	sealing(&o, dir)
	return o
}

func logger(t testing.TB) *slog.Logger {
	if os.Getenv("PIC_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// change applies the document after edit.
func (s *shared) change(t testing.TB, edit func(*config.Document)) {
	t.Helper()
	edit(s.doc)
	if err := s.Apply(t.Context(), conf(s.doc)); err != nil {
		t.Fatal(err)
	}
}

func (s *shared) serial(t testing.TB, zone string) uint32 {
	t.Helper()
	return soaAt(t, s.at(t, "udp"), zone)
}

// soaAt asks the server at addr for the serial of a zone; 0: it has none.
func soaAt(t testing.TB, addr, zone string) uint32 {
	t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(zone), dns.TypeSOA)
	c := dns.Client{Timeout: time.Second}
	r, _, err := c.Exchange(m, addr)
	if err != nil || len(r.Answer) != 1 {
		return 0
	}
	return r.Answer[0].(*dns.SOA).Serial
}

func signedBy(key, algorithm string) []string {
	return []string{"-y", algorithm + ":" + key + ":" + acmeSecret}
}

// tryDig is dig for what may fail.
func tryDig(t *testing.T, s *shared, args ...string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(s.at(t, "tcp"))
	args = append([]string{"@" + host, "-p", port, "+time=3", "+tries=1"}, args...)
	out, _ := exec.Command(nettest.Tool(t, "dig"), args...).CombinedOutput()
	return string(out)
}

// spaced has one space where s has any.
func spaced(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestDigTransfersWithTheKeyOnly(t *testing.T) {
	s := share(t, t.TempDir(), func(d *config.Document) {
		d.DNS.Own.Secondaries = []config.NameServer{{Address: "192.0.2.53", Key: "acme"}}
		for i := range 3000 {
			d.DNS.Records = append(d.DNS.Records, config.Record{Name: fmt.Sprintf("host%d.many", i), Type: "A", Value: "192.168.1.9"})
		}
	})
	key := signedBy("acme", "hmac-sha256")
	serial := s.serial(t, "oak.home.arpa")
	whole := tryDig(t, s, append(key, "axfr", "oak.home.arpa")...)
	for _, want := range []string{"host2999.many.oak.home.arpa. 300 IN A 192.168.1.9", "phone.lan.oak.home.arpa. 300 IN A ", "home.oak.home.arpa. 60 IN A 192.168.1.1", "XFR size: 30"} {
		if !strings.Contains(spaced(whole), want) {
			t.Errorf("no %q in\n%.3000s", want, whole)
		}
	}
	if strings.Contains(whole, "failed") || strings.Count(whole, "\tSOA\t") != 2 {
		t.Errorf("not from SOA to SOA:\n%.3000s", whole)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"plain":              {[]string{"axfr", "oak.home.arpa"}, "Transfer failed."},
		"plain IXFR":         {[]string{"ixfr=1", "oak.home.arpa"}, "Transfer failed."},
		"another key":        {append(signedBy("xfr", "hmac-sha512"), "axfr", "oak.home.arpa"), "Transfer failed."},
		"unknown key":        {append(signedBy("nobody", "hmac-sha256"), "axfr", "oak.home.arpa"), "BADKEY"},
		"another algorithm":  {append(signedBy("acme", "hmac-sha384"), "axfr", "oak.home.arpa"), "BADKEY"},
		"wrong secret":       {[]string{"-y", "hmac-sha256:acme:AAAAAAAAAAAAAAAAAAAAAA==", "axfr", "oak.home.arpa"}, "BADSIG"},
		"no such zone":       {append(key, "axfr", "elm.home.arpa"), "Transfer failed."},
		"a name of the zone": {append(key, "axfr", "home.oak.home.arpa"), "Transfer failed."},
		"newest":             {append(key, fmt.Sprintf("ixfr=%d", serial), "oak.home.arpa"), "XFR size: 1 records"},
		"IXFR over UDP":      {append(key, "+notcp", "ixfr=1", "oak.home.arpa"), "SOA dns.oak"},
		"signed question":    {append(key, "soa", "oak.home.arpa"), "TSIG PSEUDOSECTION"},
		"signed, forwarded":  {append(key, "www.example.net"), "SERVFAIL"},
	} {
		if got := tryDig(t, s, tt.args...); !strings.Contains(spaced(got), tt.want) || strings.Contains(got, "Couldn't verify") != strings.HasPrefix(tt.want, "BAD") {
			t.Errorf("%s: no %q in\n%.2000s", name, tt.want, got)
		}
	}
}

// nsupdate runs the program and returns what it prints and its exit code.
func nsupdate(t *testing.T, s *shared, key string, lines ...string) (string, int) {
	t.Helper()
	host, port, _ := net.SplitHostPort(s.at(t, "udp"))
	args := []string{}
	if key != "" {
		args = append(args, "-y", "hmac-sha256:"+key+":"+acmeSecret)
	}
	cmd := exec.Command(nettest.Tool(t, "nsupdate"), args...)
	cmd.Stdin = strings.NewReader("server " + host + " " + port + "\n" + strings.Join(lines, "\n") + "\nsend\n")
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestNsupdateChangesWhatItsKeyMay(t *testing.T) {
	dir := t.TempDir()
	s := share(t, dir, nil)
	const name = "_acme-challenge.oak.home.arpa."
	before := s.serial(t, "oak.home.arpa")
	ask(t, s.Server, "udp", name, dns.TypeTXT) // so that it is kept that there is none
	if out, code := nsupdate(t, s, "acme", "zone oak.home.arpa", "update add "+name+" 60 TXT one"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := brief(ask(t, s.Server, network, name, dns.TypeTXT)); got != `NOERROR aa | `+name+` TXT "one"` {
			t.Errorf("over %s: %s", network, got)
		}
	}
	if after := s.serial(t, "oak.home.arpa"); after <= before {
		t.Errorf("the serial was %d and is %d", before, after)
	}
	for name, tt := range map[string]struct {
		key   string
		lines []string
		want  string
		code  int
	}{
		"another name":          {"acme", []string{"update add www2.oak.home.arpa 60 A 192.0.2.1"}, "update failed: REFUSED", 2},
		"another type":          {"acme", []string{"update add _acme-challenge.oak.home.arpa 60 CNAME www"}, "update failed: REFUSED", 2},
		"no key":                {"", []string{"zone oak.home.arpa", "update add _acme-challenge.oak.home.arpa 60 TXT x"}, "update failed: REFUSED", 2},
		"a key for other work":  {"xfr", []string{"update add _acme-challenge.oak.home.arpa 60 TXT x"}, "BADKEY", 2},
		"a zone not ours":       {"acme", []string{"zone elm.home.arpa", "update add x.elm.home.arpa 60 TXT x"}, "update failed: NOTAUTH", 2},
		"a name of elsewhere":   {"acme", []string{"zone oak.home.arpa", "update add x.elm.home.arpa 60 TXT x"}, "update failed: NOTZONE", 2},
		"there already":         {"acme", []string{"zone oak.home.arpa", "prereq nxrrset " + "_acme-challenge.oak.home.arpa TXT", "update add _acme-challenge.oak.home.arpa 60 TXT x"}, "YXRRSET", 2},
		"not there":             {"acme", []string{"zone oak.home.arpa", "prereq yxdomain nope.oak.home.arpa", "update add _acme-challenge.oak.home.arpa 60 TXT x"}, "NXDOMAIN", 2},
		"there, as it must be":  {"acme", []string{"zone oak.home.arpa", "prereq yxrrset _acme-challenge.oak.home.arpa TXT one", "update add dyn.x.oak.home.arpa 60 TXT x"}, "", 0},
		"part of it is refused": {"acme", []string{"zone oak.home.arpa", "update add _acme-challenge.oak.home.arpa 60 TXT two", "update add www2.oak.home.arpa 60 TXT x"}, "REFUSED", 2},
	} {
		if out, code := nsupdate(t, s, tt.key, tt.lines...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %d %s", name, code, out)
		}
	}
	if got := brief(ask(t, s.Server, "udp", name, dns.TypeTXT)); got != `NOERROR aa | `+name+` TXT "one"` {
		t.Errorf("after what was refused: %s", got)
	}
	found := false
	for _, e := range s.Records() {
		found = found || e.Source == Updated && e.Name+"." == name && e.Value == `"one"`
	}
	if !found {
		t.Error("Records does not tell what the update put there")
	}
	if out, code := nsupdate(t, s, "acme", "zone oak.home.arpa", "update delete "+name+" TXT"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	if got := brief(ask(t, s.Server, "udp", name, dns.TypeTXT)); got != "NXDOMAIN aa" {
		t.Errorf("after it was deleted: %s", got)
	}
	if n, err := s.ClearUpdates(t.Context(), "oak.home.arpa"); n != 1 || err != nil {
		t.Errorf("cleared %d records, %v", n, err)
	}
	if got := brief(ask(t, s.Server, "udp", "dyn.x.oak.home.arpa.", dns.TypeTXT)); got != "NXDOMAIN aa" {
		t.Errorf("after all was cleared: %s", got)
	}
}

// loosePort returns a port of loopback that nobody uses, over UDP and TCP.
func loosePort(t testing.TB) string {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if pc, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			pc.Close()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

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
	nsd, knot := loosePort(t), loosePort(t)
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
	knot := loosePort(t)
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

// Nothing but what changes a zone changes its serial.
func TestSerialsGrowWithTheirZonesOnly(t *testing.T) {
	dir := t.TempDir()
	s := share(t, dir, func(d *config.Document) {
		d.DNS.Zones = []config.Zone{{Name: "other.home.arpa", Records: []config.Record{{Name: "www", Type: "A", Value: "192.168.1.20"}}}}
	})
	all := func() map[string]uint32 {
		out := map[string]uint32{}
		for _, z := range []string{"oak.home.arpa", "other.home.arpa", "1.168.192.in-addr.arpa"} {
			out[z] = s.serial(t, z)
		}
		return out
	}
	lease := func(addr string) {
		r := names.New("oak.home.arpa")
		r.Publish(names.Leases, []names.Host{{Name: "tablet.lan.oak.home.arpa", Addrs: []netip.Addr{netip.MustParseAddr(addr)}, TTL: time.Minute}})
		s.snap.Store(r.Snapshot())
	}
	for _, tt := range []struct {
		name string
		do   func()
		grow []string
	}{
		{"nothing", func() {}, nil},
		{"a filter", func() { s.change(t, func(d *config.Document) { d.DNS.Filter.SafeSearch = true }) }, nil},
		{"a record", func() {
			s.change(t, func(d *config.Document) { d.DNS.Zones[0].Records[0].TTL = 60 })
		}, []string{"other.home.arpa"}},
		{"a lease", func() { lease("192.168.1.150") }, []string{"oak.home.arpa", "1.168.192.in-addr.arpa"}},
		{"the same lease", func() { lease("192.168.1.150") }, nil},
		{"another address", func() { lease("192.168.1.151") }, []string{"oak.home.arpa", "1.168.192.in-addr.arpa"}},
		{"an update", func() {
			if out, code := nsupdate(t, s, "acme", "zone oak.home.arpa", "update add _acme-challenge.oak.home.arpa 60 TXT one"); code != 0 {
				t.Fatal(out)
			}
		}, []string{"oak.home.arpa"}},
		{"the same update", func() {
			if out, code := nsupdate(t, s, "acme", "zone oak.home.arpa", "update add _acme-challenge.oak.home.arpa 60 TXT one"); code != 0 {
				t.Fatal(out)
			}
		}, nil},
		{"the document, beside an update", func() { s.change(t, func(d *config.Document) { d.DNS.Filter.SafeSearch = false }) }, nil},
	} {
		before := all()
		tt.do()
		for zone, after := range all() {
			if grown, want := after > before[zone], slices.Contains(tt.grow, zone); grown != want || after < before[zone] {
				t.Errorf("%s: the serial of %s was %d and is %d", tt.name, zone, before[zone], after)
			}
		}
	}
	last := all()
	for range 2 { // twice within a second
		s.stop()
		s = share(t, dir, nil)
		if now := s.serial(t, "oak.home.arpa"); now <= last["oak.home.arpa"] {
			t.Errorf("after a new start the serial is %d, and was %d", now, last["oak.home.arpa"])
		}
		last = all()
	}
}

// Secondaries and programs with keys may be beyond the allowed prefixes; nobody
// else is served there.
func TestPartnersMayBeAnywhere(t *testing.T) {
	nettest.NeedNamespace(t)
	lab := nettest.New(t)
	cell, far := lab.Self(), lab.Host("far")
	lab.Link(cell, "lan0", "203.0.113.1/24", far, "eth0", "203.0.113.2/24")
	s := share(t, t.TempDir(), func(d *config.Document) {
		d.DNS.Listen = []netip.Addr{netip.MustParseAddr("203.0.113.1")}
		d.DNS.Own.Secondaries = []config.NameServer{{Address: "203.0.113.2"}}
		d.DNS.Zones = []config.Zone{{Name: "other.home.arpa", Options: config.ZoneOptions{Secondaries: []config.NameServer{{Address: "203.0.113.9", Key: "xfr"}}}}}
	})
	_, port, _ := net.SplitHostPort(s.at(t, "tcp"))
	key := strings.Join(signedBy("xfr", "hmac-sha512"), " ")
	for args, want := range map[string]string{
		"oak.home.arpa SOA":                    "NOERROR",
		"oak.home.arpa NS":                     "REFUSED",
		"+tcp oak.home.arpa AXFR":              "XFR size",
		"other.home.arpa SOA":                  "REFUSED",
		"other.home.arpa AXFR":                 "Transfer failed",
		key + " other.home.arpa SOA":           "NOERROR",
		key + " other.home.arpa AXFR":          "XFR size",
		key + " www.example.net A":             "REFUSED",
		key + " +notcp other.home.arpa IXFR=1": "NOERROR",
	} {
		out, _ := far.Try("dig", append([]string{"@203.0.113.1", "-p", port, "+time=3", "+tries=1"}, strings.Fields(args)...)...)
		if !strings.Contains(out, want) && !(want == "NOERROR" && strings.Contains(out, "XFR size: 1 records")) {
			t.Errorf("dig %s: no %q in\n%s", args, want, out)
		}
	}
}
