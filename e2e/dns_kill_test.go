package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/api/client"
	"pic/api/wire"
	"pic/internal/nettest"
)

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
