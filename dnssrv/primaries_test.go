package dnssrv

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/nettest"
)

// elmZone is a zone file.
func elmZone(serial int, more string) string {
	return fmt.Sprintf(`$TTL 300
@ SOA ns1 hostmaster %d 3600 600 604800 60
@ NS ns1
ns1 A 192.0.2.1
www A 192.0.2.80
*.wild TXT "any"
sub NS ns.sub
ns.sub A 192.0.2.2
%s`, serial, more)
}

// followerOf runs a server that follows a primary at port for elm.example.
func followerOf(t testing.TB, dir, key string, ports ...string) *shared {
	return share(t, dir, func(d *config.Document) {
		var all []config.NameServer
		for _, p := range ports {
			all = append(all, config.NameServer{Address: "127.0.0.1:" + p, Key: key})
		}
		d.DNS.Zones = append(d.DNS.Zones, config.Zone{Name: "elm.example", Primaries: all})
	})
}

func TestZonesAreFollowedFromPrimaries(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, dir, port, cell string) (p *nettest.Proc, ixfr string){
		"bind": func(t *testing.T, dir, port, cell string) (*nettest.Proc, string) {
			conf := fmt.Sprintf(`options {
  directory "%[1]s"; listen-on port %[2]s { 127.0.0.1; }; listen-on-v6 { none; };
  pid-file none; session-keyfile none; recursion no; dnssec-validation no; notify explicit; notify-delay 0; empty-zones-enable no;
};
controls { };
key "xfr" { algorithm hmac-sha512; secret "%[3]s"; };
server 127.0.0.1 { keys { xfr; }; };
zone "elm.example" {
  type primary; file "elm.zone"; allow-transfer { key xfr; }; also-notify { 127.0.0.1 port %[4]s key xfr; }; ixfr-from-differences yes;
};
`, dir, port, acmeSecret, cell)
			return runServer(t, "named", conf, "-g", "-n", "1", "-c", "@"), "IXFR started"
		},
		"nsd": func(t *testing.T, dir, port, cell string) (*nettest.Proc, string) {
			return runServer(t, "nsd", nsdConf(dir, port, fmt.Sprintf(`zone:
  name: elm.example
  zonefile: elm.zone
  store-ixfr: yes
  create-ixfr: yes
  provide-xfr: 127.0.0.1 xfr
  notify: 127.0.0.1@%s xfr
`, cell)), "-d", "-c", "@"), "ixfr for elm.example"
		},
		"knot": func(t *testing.T, dir, port, cell string) (*nettest.Proc, string) {
			return runServer(t, "knotd", knotConf(dir, port, fmt.Sprintf(`remote:
- id: cell
  address: 127.0.0.1@%s
  key: xfr
acl:
- id: cell
  key: xfr
  action: transfer
zone:
- domain: elm.example
  file: elm.zone
  zonefile-load: difference
  journal-content: changes
  notify: cell
  acl: cell
`, cell)), "-c", "@"), "IXFR, outgoing"
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, port := t.TempDir(), fmt.Sprint(nettest.FreePort(t))
			zone := filepath.Join(dir, "elm.zone")
			write := func(serial int, more string) {
				if err := os.WriteFile(zone, []byte(elmZone(serial, more)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			many := ""
			for i := range 2000 {
				many += fmt.Sprintf("host%d A 192.0.2.9\n", i)
			}
			write(2026010101, many)
			s := followerOf(t, t.TempDir(), "xfr", port)
			if got := ask(t, s.Server, "udp", "www.elm.example.", dns.TypeA); got.Rcode != dns.RcodeServerFailure {
				t.Errorf("before anything was transferred: %s", brief(got))
			}
			_, cell, _ := net.SplitHostPort(s.at(t, "udp"))
			p, ixfr := start(t, dir, port, cell)
			nettest.WaitFor(t, 20*time.Second, func() bool { return soaAt(t, "127.0.0.1:"+port, "elm.example") == 2026010101 })
			if err := s.Transfer(t.Context(), "elm.example"); err != nil {
				t.Fatal(err)
			}
			nettest.WaitFor(t, 20*time.Second, func() bool { return s.serial(t, "elm.example") == 2026010101 })
			for q, want := range map[string]string{
				"www A":      "NOERROR aa | www.elm.example. A 192.0.2.80",
				"host1999 A": "NOERROR aa | host1999.elm.example. A 192.0.2.9",
				"x.wild TXT": `NOERROR aa | x.wild.elm.example. TXT "any"`,
				"nope A":     "NXDOMAIN aa",
				"wild A":     "NOERROR aa",
				"x.sub A":    "NOERROR",
			} {
				label, typ, _ := strings.Cut(q, " ")
				if got := brief(ask(t, s.Server, "udp", label+".elm.example.", dns.StringToType[typ])); got != want {
					t.Errorf("%s: %s, want %s", q, got, want)
				}
			}
			write(2026010102, many+"new A 192.0.2.77\n")
			began := time.Now()
			p.Signal(syscall.SIGHUP)
			nettest.WaitFor(t, 20*time.Second, func() bool { return s.serial(t, "elm.example") == 2026010102 })
			t.Logf("followed after %v", time.Since(began).Round(time.Millisecond))
			if got := brief(ask(t, s.Server, "tcp", "new.elm.example.", dns.TypeA)); got != "NOERROR aa | new.elm.example. A 192.0.2.77" {
				t.Errorf("after the change: %s", got)
			}
			if out := p.Output(); !strings.Contains(out, ixfr) {
				t.Errorf("no %q in\n%s", ixfr, out)
			}
		})
	}
}

// What was transferred is served after a new start, though no primary answers,
// until it has expired.
func TestTransferredZonesOutliveTheirPrimaries(t *testing.T) {
	primary := share(t, t.TempDir(), func(d *config.Document) {
		d.DNS.Zones = []config.Zone{{
			Name: "elm.example", Records: []config.Record{{Name: "www", Type: "A", Value: "192.0.2.80"}},
			Options: config.ZoneOptions{Secondaries: []config.NameServer{{Address: "127.0.0.1", Key: "acme"}}},
		}}
	})
	_, port, _ := net.SplitHostPort(primary.at(t, "tcp"))
	dir := t.TempDir()
	s := followerOf(t, dir, "acme", fmt.Sprint(nettest.FreePort(t)), port) // the first does not answer
	www := func(s *shared) string { return brief(ask(t, s.Server, "udp", "www.elm.example.", dns.TypeA)) }
	const want = "NOERROR aa | www.elm.example. A 192.0.2.80"
	nettest.WaitFor(t, 10*time.Second, func() bool { return www(s) == want })
	if got, want := s.serial(t, "elm.example"), primary.serial(t, "elm.example"); got != want {
		t.Errorf("serial %d, the primary's is %d", got, want)
	}
	sh := s.Sharings()
	if len(sh) != 2 || sh[0].Zone != "elm.example" || sh[0].Expires.Before(time.Now().Add(6*24*time.Hour)) ||
		sh[0].Primaries[0].Error == "" || sh[0].Primaries[1].Error != "" || sh[0].Primaries[1].Serial != sh[0].Serial {
		t.Errorf("%+v", sh)
	}
	if p := problems(s, "dns/primaries"); p != "" {
		t.Errorf("with one primary of two: %s", p)
	}
	found := false
	for _, e := range s.Records() {
		found = found || e.Source == Transferred && e.Name == "www.elm.example"
	}
	if !found {
		t.Error("Records does not tell what was transferred")
	}
	primary.stop()
	s.stop()

	s = followerOf(t, dir, "acme", port)
	nettest.WaitFor(t, 10*time.Second, func() bool { return www(s) == want })
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(problems(s, "dns/primaries"), "resolve until") })
	s.stop()

	long := time.Now().Add(-8 * 24 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "zones", "elm.example.zone"), long, long); err != nil {
		t.Fatal(err)
	}
	s = followerOf(t, dir, "acme", port)
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(problems(s, "dns/primaries"), "do not resolve") })
	if got := www(s); got != "SERVFAIL" {
		t.Errorf("after a week: %s", got)
	}
	if r, err := s.Lookup(t.Context(), "www.elm.example", "A", netip.Addr{}); err != nil || r.Reason != "Not Ready: the primaries of the zone do not tell it" {
		t.Errorf("the reason is %q, %v", r.Reason, err)
	}
	if file, err := s.Export("elm.example"); err == nil || !strings.Contains(err.Error(), "its primaries do not tell it") {
		t.Errorf("exported as %q, %v", file, err)
	}
	// No longer followed: what was transferred is no more.
	s.change(t, func(d *config.Document) { d.DNS.Zones = nil })
	nettest.WaitFor(t, 5*time.Second, func() bool {
		_, err := os.Stat(filepath.Join(dir, "zones", "elm.example.zone"))
		return os.IsNotExist(err)
	})
}

// problems returns the texts of the problems of that code.
func problems(s *shared, code string) string {
	out := ""
	for _, p := range s.Problems() {
		if p.Code == code {
			out += p.Title + ": " + p.Text
		}
	}
	return out
}

func TestNotifyIsForPrimaries(t *testing.T) {
	s := followerOf(t, t.TempDir(), "xfr", fmt.Sprint(nettest.FreePort(t)))
	notify := func(zone string, sign bool) int {
		m := new(dns.Msg).SetNotify(zone)
		c := dns.Client{Timeout: 5 * time.Second}
		if sign {
			m.SetTsig("xfr.", dns.HmacSHA512, 300, time.Now().Unix())
			c.TsigSecret = map[string]string{"xfr.": acmeSecret}
		}
		r, _, err := c.Exchange(m, s.at(t, "udp"))
		if err != nil && err != dns.ErrAuth {
			t.Fatal(err)
		}
		if r.Opcode != dns.OpcodeNotify || !r.Response {
			t.Errorf("%v", r)
		}
		return r.Rcode
	}
	for name, tt := range map[string]struct {
		zone string
		sign bool
		want int
	}{
		"signed":       {"elm.example.", true, dns.RcodeSuccess},
		"not signed":   {"elm.example.", false, dns.RcodeRefused},
		"our own zone": {"oak.home.arpa.", true, dns.RcodeNotAuth},
		"no zone":      {"example.net.", true, dns.RcodeNotAuth},
	} {
		if got := notify(tt.zone, tt.sign); got != tt.want {
			t.Errorf("%s: %s", name, rcodeName(got))
		}
	}
}

func TestTimersAreWithinReason(t *testing.T) {
	for name, tt := range map[string]struct {
		soa                    dns.SOA
		refresh, retry, expire time.Duration
	}{
		"usual": {dns.SOA{Refresh: 3600, Retry: 600, Expire: 604800}, time.Hour, 10 * time.Minute, 7 * 24 * time.Hour},
		"zero":  {dns.SOA{}, 2 * time.Second, time.Second, 3 * time.Second},
		"huge":  {dns.SOA{Refresh: 1 << 31, Retry: 1 << 31, Expire: 1<<32 - 1}, 24 * time.Hour, time.Hour, 60 * 24 * time.Hour},
	} {
		if a, b, c := timers(&tt.soa); a != tt.refresh || b != tt.retry || c != tt.expire {
			t.Errorf("%s: %v %v %v", name, a, b, c)
		}
	}
}
