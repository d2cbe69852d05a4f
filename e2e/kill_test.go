package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"pic/api/client"
	"pic/api/wire"
)

// rounds is how often the cell is killed; fewer with -short.
const rounds = 50

// A ledger is what the cell acknowledged.
type ledger struct {
	mu    sync.Mutex
	zones map[string]bool
	mails map[string]bool
	files map[string]bool
}

func (l *ledger) note(set map[string]bool, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set[key] = true
}

// write does something until ctx ends or the cell is gone.
func write(ctx context.Context, wg *sync.WaitGroup, do func(n int) error) {
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if do(n) != nil && ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond):
				}
			}
		}
	})
}

func TestFiftyKillsLoseNothingAcknowledged(t *testing.T) {
	c := trial(t)
	l := &ledger{zones: map[string]bool{}, mails: map[string]bool{}, files: map[string]bool{}}
	count := rounds
	if testing.Short() {
		count = 5
	}
	web := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for round := range count {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		write(ctx, &wg, func(n int) error {
			// One zone a round grows by records, so that the document stays small.
			zone := fmt.Sprintf("r%d.home.arpa", round)
			key := fmt.Sprintf("%s/%d", zone, n)
			err := c.setOverSocket(ctx, fmt.Sprintf("dns.zones.%q", zone), map[string]any{
				"records": []map[string]string{{"name": "n", "type": "TXT", "value": key}},
			})
			if err == nil {
				l.note(l.zones, key)
			}
			return err
		})
		for w := range 3 {
			write(ctx, &wg, func(n int) error {
				key := fmt.Sprintf("mail-%d-%d-%d", round, w, n)
				err := send("127.0.0.1:10025", key, strings.Repeat(key+"\r\n", 50))
				if err == nil {
					l.note(l.mails, key)
				}
				return err
			})
		}
		write(ctx, &wg, func(n int) error {
			path := fmt.Sprintf("/dav/files/alice/f-%d-%d.txt", round, n)
			if n%2 == 1 {
				path = fmt.Sprintf("/dav/calendars/alice/personal/e-%d-%d.ics", round, n)
			}
			body := strings.ReplaceAll(event, "tea@test", path)
			req, err := http.NewRequestWithContext(ctx, "PUT", "http://127.0.0.1:8080"+path, strings.NewReader(body))
			if err != nil {
				return err
			}
			req.SetBasicAuth("alice", password)
			req.Header.Set("Content-Type", "text/calendar")
			res, err := web.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			io.Copy(io.Discard, res.Body)
			if res.StatusCode != http.StatusCreated {
				return fmt.Errorf("status %s", res.Status)
			}
			l.note(l.files, path)
			return nil
		})
		time.Sleep(time.Duration(20+rand.IntN(300)) * time.Millisecond) // the moment of death is the point
		c.kill()
		stop()
		wg.Wait()
		c.start()
	}
	c.audit(l, web)
	t.Logf("%d kills; acknowledged: %d changes, %d messages, %d DAV objects", count, len(l.zones), len(l.mails), len(l.files))
	if !testing.Short() && (len(l.zones) < count || len(l.mails) < count || len(l.files) < count) {
		t.Error("too few writes for the test to mean anything")
	}
}

// setOverSocket changes a setting without starting a process.
func (c *cell) setOverSocket(ctx context.Context, path string, value any) error {
	v, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = client.Socket(filepath.Join(c.dir, "run", "api.sock")).Set(ctx, wire.Put{Path: path, Value: v}, client.Edit{})
	return err
}

// audit compares what is there with what was acknowledged.
func (c *cell) audit(l *ledger, web *http.Client) {
	t := c.t
	t.Helper()
	zones := c.pic("get", "dns.zones")
	newest := map[string]int{} // the last acknowledged write of each zone, or a later one, is there
	for key := range l.zones {
		zone, num, _ := strings.Cut(key, "/")
		var n int
		fmt.Sscan(num, &n)
		newest[zone] = max(newest[zone], n)
	}
	for zone, n := range newest {
		_, rest, ok := strings.Cut(zones, zone+"/")
		var have int
		fmt.Sscanf(rest, "%d", &have)
		if !ok || have < n {
			t.Errorf("zone %s is at write %d, %d was acknowledged", zone, have, n)
		}
	}
	for path := range l.files {
		req, _ := http.NewRequest("GET", "http://127.0.0.1:8080"+path, nil)
		req.SetBasicAuth("alice", password)
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || string(b) != strings.ReplaceAll(event, "tea@test", path) {
			t.Errorf("%s: %s, %d bytes, %v", path, res.Status, len(b), err)
		}
	}
	mail, err := imapclient.DialTLS("127.0.0.1:10993", &imapclient.Options{TLSConfig: c.tlsFor("mail.oak.home.arpa")})
	if err != nil {
		t.Fatal(err)
	}
	defer mail.Close()
	if err := mail.Login("alice", password).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := mail.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	body := &imap.FetchItemBodySection{Peek: true}
	all, err := mail.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{Envelope: true, BodySection: []*imap.FetchItemBodySection{body}}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]int{}
	for _, m := range all {
		key := m.Envelope.Subject
		have[key]++
		if text := string(m.FindBodySection(body)); strings.Count(text, key+"\r\n") != 51 {
			t.Errorf("%s has a wrong body of %d bytes", key, len(text))
		}
	}
	for key := range l.mails {
		if have[key] != 1 {
			t.Errorf("%s is there %d times", key, have[key])
		}
	}
}
