package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/api/client"
	"pic/api/wire"
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

// overTLS passes what comes over UDP on to addr over TLS, each message over a
// connection of its own, and returns the port where it listens: for tools that do
// not speak DNS over TLS.
func overTLS(t *testing.T, addr string, conf *tls.Config) (port string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	pass := func(q []byte) ([]byte, error) {
		c, err := tls.Dial("tcp", addr, conf)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		framed := dns.Conn{Conn: c} // with the length before it
		if _, err := framed.Write(q); err != nil {
			return nil, err
		}
		return framed.ReadMsgHeader(nil)
	}
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			if r, err := pass(b[:n]); err == nil {
				pc.WriteTo(r, from)
			}
		}
	}()
	_, port, _ = net.SplitHostPort(pc.LocalAddr().String())
	return port
}

func TestASignedZoneIsValidatedOverTLS(t *testing.T) {
	c := trial(t)
	c.set("dns.own.sign", true)
	c.set("dns.zones", []map[string]any{{
		"name": "lab.example", "options": map[string]any{"sign": true},
		"records": []map[string]string{{"name": "www", "type": "A", "value": "192.0.2.5"}, {"name": "*.apps", "type": "CNAME", "value": "www"}},
	}})
	port := overTLS(t, "127.0.0.1:10853", c.tlsFor("dns.oak.home.arpa"))
	for zone, questions := range map[string]map[string]string{
		"oak.home.arpa": {"home A": "; fully validated", "nope A": "; negative response, fully validated", "_imaps._tcp SRV": "; fully validated"},
		"lab.example":   {"www A": "; fully validated", "x.apps A": "; fully validated", "www AAAA": "; negative response, fully validated"},
	} {
		var f []string
		nettest.WaitFor(t, 10*time.Second, func() bool {
			out, _ := c.try("dns", "zone", "ds", zone)
			f = strings.Fields(out)
			return len(f) == 8
		})
		anchors := filepath.Join(t.TempDir(), "anchors")
		text := fmt.Sprintf("trust-anchors { %q static-ds %s %s %s %q; };\n", f[0], f[4], f[5], f[6], f[7])
		if err := os.WriteFile(anchors, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for q, want := range questions {
			name, typ, _ := strings.Cut(q, " ")
			out := run(t, "delv", "@127.0.0.1", "-p", port, "-a", anchors, "+root="+zone, name+"."+zone, typ)
			contains(t, q+" in "+zone, out, want)
		}
	}
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

// update adds a TXT record with nsupdate.
func update(t *testing.T, key, name, text string) error {
	cmd := nettest.New(t).Self().Command(nettest.Tool(t, "nsupdate"), "-t", "5", "-k", key)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("server 127.0.0.1 10053\nzone oak.home.arpa\nupdate add %s 60 TXT %q\nsend\n", name, text))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nsupdate: %w\n%s", err, out)
	}
	return nil
}

const (
	// dnsRounds is how often the name server is killed; fewer with -short.
	dnsRounds = 22
	// logged is when a query is in the log for good: one second, and one more for
	// a machine that is busy.
	logged = 2 * time.Second
)

// Zones change by the document and by updates, and names are asked for, while the
// cell is killed: what was acknowledged is there, and the log can be read.
func TestKillsLoseNoChangeOfZonesAndNoLog(t *testing.T) {
	c := trial(t)
	key := filepath.Join(t.TempDir(), "key")
	text := c.pic("dns", "key", "add", "acme")
	if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := regexp.MustCompile(`secret "(.*)"`).FindStringSubmatch(text)[1]
	c.set("dns.own", map[string]any{"sign": true, "updates": []map[string]any{{"key": "acme", "names": []string{"*"}}}})
	ds := c.pic("dns", "zone", "ds", "oak.home.arpa")
	count := dnsRounds
	if testing.Short() {
		count = 4
	}
	var mu sync.Mutex
	updated, asked := map[string]bool{}, map[string]time.Time{}
	document := -1 // the last value of the document that was acknowledged
	serial := uint32(0)
	for round := range count {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		write(ctx, &wg, func(n int) error {
			n += round * 100_000
			err := c.setOverSocket(ctx, "dns.records", []map[string]string{{"name": "n", "type": "TXT", "value": fmt.Sprint(n)}})
			if err == nil {
				mu.Lock()
				document = n
				mu.Unlock()
			}
			return err
		})
		for w := range 2 {
			write(ctx, &wg, func(n int) error {
				name := fmt.Sprintf("u-%d-%d-%d.oak.home.arpa.", round, w, n)
				m := new(dns.Msg).SetUpdate("oak.home.arpa.")
				rr, err := dns.NewRR(name + ` 60 IN TXT "here"`)
				if err != nil {
					return err
				}
				m.Insert([]dns.RR{rr})
				m.SetTsig("acme.", dns.HmacSHA256, 300, time.Now().Unix())
				cl := dns.Client{Net: "tcp", Timeout: 3 * time.Second, TsigSecret: map[string]string{"acme.": secret}}
				r, _, err := cl.ExchangeContext(ctx, m, "127.0.0.1:10053")
				if err == nil && r.Rcode != dns.RcodeSuccess {
					err = fmt.Errorf("rcode %s", dns.RcodeToString[r.Rcode])
				}
				if err == nil {
					mu.Lock()
					updated[name] = true
					mu.Unlock()
				}
				return err
			})
		}
		write(ctx, &wg, func(n int) error {
			time.Sleep(5 * time.Millisecond) // below what one client may ask
			name := fmt.Sprintf("q-%d-%d.oak.home.arpa.", round, n)
			cl := dns.Client{Timeout: 500 * time.Millisecond}
			_, _, err := cl.ExchangeContext(ctx, new(dns.Msg).SetQuestion(name, dns.TypeA), "127.0.0.1:10053")
			if err == nil {
				mu.Lock()
				asked[strings.TrimSuffix(name, ".")] = time.Now()
				mu.Unlock()
			}
			return err
		})
		life := time.Duration(20+rand.IntN(200)) * time.Millisecond
		if round%8 == 3 {
			life += logged
		}
		time.Sleep(life) // the moment of death is the point
		c.kill()
		died := time.Now()
		stop()
		wg.Wait()
		c.start()
		for name, at := range asked {
			if died.Sub(at) < logged {
				delete(asked, name)
			}
		}
		m, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("oak.home.arpa.", dns.TypeSOA), "127.0.0.1:10053")
		if err != nil || len(m.Answer) != 1 {
			t.Fatalf("after %d kills: %v, %v", round+1, err, m)
		}
		if now := m.Answer[0].(*dns.SOA).Serial; int32(now-serial) < 0 {
			t.Errorf("the serial went from %d to %d", serial, now)
		} else {
			serial = now
		}
	}
	var have int
	var records []struct{ Value string }
	if err := json.Unmarshal([]byte(c.pic("get", "dns.records")), &records); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		fmt.Sscan(r.Value, &have)
	}
	if have < document {
		t.Errorf("the document is at %d, %d was acknowledged", have, document)
	}
	if got := c.pic("dns", "zone", "ds", "oak.home.arpa"); got != ds {
		t.Errorf("the keys were %s and are %s", ds, got)
	}
	exported := c.pic("dns", "zone", "export", "oak.home.arpa")
	for name := range updated {
		if label, _, _ := strings.Cut(name, "."); !strings.Contains(exported, "\n"+label+"\t") {
			t.Errorf("the update of %s is lost", name)
		}
	}
	kept := map[string]bool{}
	cl := client.Socket(filepath.Join(c.dir, "run", "api.sock"))
	var page wire.DNSQueries
	for q := (client.DNSQuery{Name: "q-", Limit: 1000}); ; q.Before = page.Next {
		var err error
		if page, err = cl.DNSLog(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Queries {
			kept[l.Name] = true
		}
		if page.Next == "" {
			break
		}
	}
	for name := range asked {
		if !kept[name] {
			t.Errorf("the log has lost %s", name)
		}
	}
	dig(t, "after.oak.home.arpa")
	contains(t, "the log goes on", c.pic("dns", "log", "-n", "1"), " after.oak.home.arpa A ")
	t.Logf("%d kills; acknowledged: document %d, %d updates; %d queries to be in the log, %d there", count, document, len(updated), len(asked), len(kept))
	if !testing.Short() && (len(updated) < count || document < 0 || len(asked) == 0) {
		t.Error("too few writes for the test to mean anything")
	}
}
