package dnssrv

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
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
