package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pic/internal/nettest"
)

// ask asks the cell with dig and returns all of what it says.
func ask(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, "dig", append([]string{"@127.0.0.1", "-p", "10053", "+tries=1", "+time=5"}, args...)...)
}

// contains tests that text has all of want.
func contains(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s: no %q in\n%s", what, w, text)
		}
	}
}

// A published is a list that somebody keeps on the web.
type published struct {
	addr          string
	text          atomic.Pointer[string] // nil: it is gone
	whole, spared atomic.Int64           // how often it was sent, and how often not as nothing had changed
}

func (p *published) is(text string) { p.text.Store(&text) }

func publish(t *testing.T, text string) *published {
	p := &published{}
	p.is(text)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := p.text.Load()
		if text == nil {
			http.NotFound(w, r)
			return
		}
		tag := fmt.Sprintf("%q", fmt.Sprint(len(*text)))
		if r.Header.Get("If-None-Match") == tag {
			p.spared.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		p.whole.Add(1)
		w.Header().Set("ETag", tag)
		io.WriteString(w, *text)
	}))
	t.Cleanup(s.Close)
	p.addr = s.URL
	return p
}

// What a household does with its filter, by the command line and with dig.
func TestAHouseholdFiltersNames(t *testing.T) {
	c := trial(t)
	c.set("dns.upstreams", []string{beyond(t)})
	list := publish(t, "||tracker.example^\n||cdn.example^\n@@||good.cdn.example^\n")
	c.pic("dns", "list", "add", "ads", list.addr)
	nettest.WaitFor(t, 10*time.Second, func() bool { return list.whole.Load() == 1 })
	contains(t, "a refresh", c.pic("dns", "list", "refresh", "ads"), "ads   3      0", "  ok  ")
	if list.whole.Load() != 1 || list.spared.Load() != 1 {
		t.Errorf("the list was sent %d times, and spared %d times", list.whole.Load(), list.spared.Load())
	}
	contains(t, "a name of the list", ask(t, "a.tracker.example"), "0.0.0.0", "EDE: 15 (Blocked)", "(list ads: ||tracker.example^)")
	contains(t, "a name of the list, IPv6", ask(t, "a.tracker.example", "AAAA"), "\t::\n", "(list ads: ||tracker.example^)")
	if got := dig(t, "good.cdn.example"); got != "192.0.2.77" {
		t.Errorf("what the list lets through is %q", got)
	}

	c.pic("dns", "allow", "a.tracker.example")
	c.pic("dns", "block", "plain.example")
	if a, b := dig(t, "a.tracker.example"), dig(t, "plain.example"); a != "192.0.2.77" || b != "0.0.0.0" {
		t.Errorf("allowed, it is %q; blocked, the other one is %q", a, b)
	}

	// A list that breaks, or goes away, stays as it was.
	list.is("<!DOCTYPE html><html><body>Please sign in</body></html>")
	if out, err := c.try("dns", "list", "refresh", "ads"); err == nil || !strings.Contains(out, "it is a web page") {
		t.Errorf("a page instead of a list: %v\n%s", err, out)
	}
	list.text.Store(nil)
	if out, err := c.try("dns", "list", "refresh", "ads"); err == nil || !strings.Contains(out, "404") || !strings.Contains(out, "ads   3 ") {
		t.Errorf("no list any more: %v\n%s", err, out)
	}
	if got := dig(t, "b.tracker.example"); got != "0.0.0.0" {
		t.Errorf("a name of the former list is %q", got)
	}

	// Devices have rules of their own, by where they are and what they call themselves.
	c.set("dns.filter.groups", []map[string]any{
		{"name": "kids", "services": []string{"youtube"}, "safeSearch": true},
		{"name": "free", "off": true},
	})
	c.set("dns.filter.clients", []map[string]any{
		{"name": "tablet", "ids": []string{"127.0.0.2", "id:tablet"}, "groups": []string{"kids"}},
		{"name": "desk", "ids": []string{"127.0.0.3"}, "groups": []string{"free"}},
	})
	for range 2 { // the second time from what was kept
		for from, want := range map[string][2]string{
			"127.0.0.1": {"192.0.2.77", "0.0.0.0"},
			"127.0.0.2": {"0.0.0.0", "0.0.0.0"},
			"127.0.0.3": {"192.0.2.77", "192.0.2.77"},
		} {
			if got := [2]string{dig(t, "-b", from, "www.youtube.com"), dig(t, "-b", from, "c.tracker.example")}; got != want {
				t.Errorf("%s is told %q, want %q", from, got, want)
			}
		}
	}
	contains(t, "safe search", dig(t, "-b", "127.0.0.2", "www.google.com"), "forcesafesearch.google.com.")
	out := run(t, "kdig", "@127.0.0.1", "-p", "10853", "+tls", "+tls-ca="+c.root(), "+tls-hostname=tablet.dns.oak.home.arpa", "+short", "www.youtube.com")
	if strings.TrimSpace(out) != "0.0.0.0" {
		t.Errorf("who calls itself tablet is told %q", out)
	}

	c.pic("dns", "pause", "5")
	if got := dig(t, "c.tracker.example"); got != "192.0.2.77" {
		t.Errorf("during a pause it is %q", got)
	}
	c.pic("dns", "pause", "0")
	if got := dig(t, "c.tracker.example"); got != "0.0.0.0" {
		t.Errorf("after the pause it is %q", got)
	}

	// All of it was noted.
	contains(t, "what was blocked", c.pic("dns", "log", "--verdict", "blocked", "--client", "127.0.0.1", "-n", "1000"),
		" 127.0.0.1 a.tracker.example A blocked by ads (||tracker.example^)\n", " plain.example A blocked (||plain.example^)\n")
	contains(t, "what was allowed", c.pic("dns", "log", "--verdict", "allowed"), " a.tracker.example A allowed (@@||a.tracker.example^) 192.0.2.77\n")
	contains(t, "the tablet", c.pic("dns", "log", "--client", "tablet"), " tablet www.youtube.com A blocked (YouTube)\n", " tablet www.google.com A rewritten")
	contains(t, "the most", c.pic("dns", "top"), " c.tracker.example\n", "127.0.0.2 (tablet)", " ads\n")
	if out := c.pic("dns", "log", "--verdict", "blocked", "--client", "127.0.0.3"); out != "" {
		t.Errorf("blocked for the desk:\n%s", out)
	}
}

// While those who know a domain do not answer, what they said before is told.
func TestAForwardIsToldStaleWhileItsServerIsAway(t *testing.T) {
	c := trial(t)
	c.set("dns.upstreams", []string{beyond(t)})
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	err := os.WriteFile(conf, fmt.Appendf(nil, `server:
 interface: 127.0.0.1
 port: 5300
 do-daemonize: no
 use-syslog: no
 username: ""
 chroot: ""
 directory: %q
 pidfile: ""
 module-config: "iterator"
 local-zone: "office.example." static
 local-data: "files.office.example. 1 IN A 10.77.0.1"
remote-control:
 control-enable: no
`, t.TempDir()), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	c.set("dns.forwards", []map[string]any{{"name": "office.example", "upstreams": []string{"127.0.0.1:5300"}}})
	office := nettest.New(t).Self().Start(t, "unbound", "-d", "-c", conf)
	nettest.WaitFor(t, 10*time.Second, func() bool { return dig(t, "files.office.example") == "10.77.0.1" })
	contains(t, "a name that is not there", ask(t, "nope.office.example"), "NXDOMAIN")
	office.Stop()
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(ask(t, "files.office.example"), "EDE: 3 (Stale Answer)") })
	contains(t, "stale", ask(t, "files.office.example"), "NOERROR", "10.77.0.1")
	contains(t, "what was never asked", ask(t, "other.office.example"), "SERVFAIL", "EDE: 22 (No Reachable Authority)")
	if got := dig(t, "www.example.com"); got != "192.0.2.77" {
		t.Errorf("the world is %q meanwhile", got)
	}
	nettest.New(t).Self().Start(t, "unbound", "-d", "-c", conf)
	nettest.WaitFor(t, 20*time.Second, func() bool {
		out := ask(t, "files.office.example")
		return strings.Contains(out, "10.77.0.1") && !strings.Contains(out, "EDE")
	})
}

// NSD has the cell's own zone, signed, and follows when something changes, be it
// by the document or by an update; strangers get nothing.
func TestNSDFollowsTheCell(t *testing.T) {
	c := trial(t)
	key := filepath.Join(t.TempDir(), "key")
	text := c.pic("dns", "key", "add", "second")
	if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`secret "(.*)"`).FindStringSubmatch(text)
	c.set("dns.own", map[string]any{
		"sign": true, "secondaries": []map[string]string{{"address": "127.0.0.1:5300", "key": "second"}},
		"updates": []map[string]any{{"key": "second", "names": []string{"_acme-challenge*"}}},
	})
	dir := t.TempDir()
	conf := filepath.Join(dir, "nsd.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `server:
  ip-address: 127.0.0.1
  port: 5300
  username: ""
  chroot: ""
  zonesdir: %[1]q
  database: ""
  pidfile: "%[1]s/nsd.pid"
  xfrdfile: "%[1]s/xfrd.state"
  zonelistfile: "%[1]s/zone.list"
  cookie-secret-file: "%[1]s/cookie"
  xfrdir: %[1]q
  server-count: 1
  xfrd-reload-timeout: 0
remote-control:
  control-enable: no
key:
  name: "second"
  algorithm: hmac-sha256
  secret: %[2]q
zone:
  name: oak.home.arpa
  allow-notify: 127.0.0.1 second
  request-xfr: 127.0.0.1@10053 second
`, dir, m[1]), 0o644); err != nil {
		t.Fatal(err)
	}
	nettest.New(t).Self().Start(t, "nsd", "-d", "-c", conf)
	second := func(args ...string) string {
		out, _ := try(t, "dig", append([]string{"@127.0.0.1", "-p", "5300", "+short", "+tries=1", "+time=2"}, args...)...)
		return strings.TrimSpace(out)
	}
	level := func() bool {
		serial := second("SOA", "oak.home.arpa")
		return serial != "" && serial == dig(t, "SOA", "oak.home.arpa")
	}
	nettest.WaitFor(t, 20*time.Second, level)
	c.set("dns.records", []map[string]string{{"name": "printer", "type": "TXT", "value": `"in the hall"`}})
	nettest.WaitFor(t, 10*time.Second, func() bool { return second("TXT", "printer.oak.home.arpa") == `"in the hall"` && level() })
	if err := update(t, key, "_acme-challenge.oak.home.arpa", "token"); err != nil {
		t.Error(err)
	}
	nettest.WaitFor(t, 10*time.Second, func() bool { return second("TXT", "_acme-challenge.oak.home.arpa") == `"token"` && level() })
	contains(t, "the signature", second("+dnssec", "TXT", "_acme-challenge.oak.home.arpa"), "TXT 13 4 ")
	if err := update(t, key, "www.oak.home.arpa", "token"); err == nil || !strings.Contains(err.Error(), "REFUSED") {
		t.Errorf("a name that the key may not change: %v", err)
	}
	contains(t, "a stranger's transfer", ask(t, "AXFR", "oak.home.arpa"), "Transfer failed.")
	out := ask(t, "-k", key, "+onesoa", "+nostats", "+nocmd", "AXFR", "oak.home.arpa")
	zone := filepath.Join(dir, "zone")
	if err := os.WriteFile(zone, []byte(regexp.MustCompile(`(?m)^(;.*|.*\sTSIG\s.*)$`).ReplaceAllString(out, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	contains(t, "ldns-verify-zone", run(t, "ldns-verify-zone", zone), "Zone is verified and complete")
	contains(t, "pic dns zone ls", c.pic("dns", "zone", "ls"), "to 127.0.0.1:5300 (has ")
}
