package dnssrv

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv/validate"
	"pic/dnssrv/validate/signedtest"
	"pic/internal/listen"
)

const aDay = 24 * time.Hour

// A new key of the root is trusted after thirty days, over restarts, at the cost of
// a question an hour at most; a revoked one no more.
func TestTheKeysOfTheRootAreFollowedForMonths(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first, second := signedtest.NewKey(t, ".", dns.ECDSAP256SHA256), signedtest.NewKey(t, ".", dns.ECDSAP256SHA256)
		w := &signedtest.World{Root: signedtest.NewZone(t, ".", 0)}
		asked := 0
		var k *rootKeys
		restart := func() {
			k = newRootKeys(dir, slog.New(slog.DiscardHandler), func(ctx context.Context, name string, typ uint16) (*dns.Msg, error) {
				asked++
				w.Change(func() { w.Root.From, w.Root.Til = time.Now().Add(-time.Hour), time.Now().Add(14*aDay) })
				return w.Fetch(ctx, name, typ)
			})
			k.builtin, k.credible = []*dns.DS{first.ToDS(dns.SHA256)}, time.Time{}
			k.open()
		}
		publish := func(keys ...signedtest.Key) { w.Change(func() { w.Root.Keys = keys }) }
		changes := 0
		pass := func(days int, restarts bool) {
			t.Helper()
			asked, changes = 0, 0
			for range days {
				for range 24 * 60 {
					if k.refresh(t.Context()) {
						changes++
					}
					time.Sleep(time.Minute)
				}
				if restarts {
					restart()
				}
			}
			if asked > 24*days+1 || asked < days/15 {
				t.Errorf("asked %d times in %d days", asked, days)
			}
		}
		want := func(facts string, trusted int) {
			t.Helper()
			got := k.fact().Value
			for n, key := range map[string]signedtest.Key{"FIRST": first, "SECOND": second} {
				got = strings.ReplaceAll(got, fmt.Sprint(key.KeyTag()), n)
			}
			if got != facts || len(k.anchors()) != trusted {
				t.Errorf("%s, %d trusted; want %s, %d", got, len(k.anchors()), facts, trusted)
			}
		}
		restart()
		want("as the program knows them", 1)
		publish(first, second)
		pass(29, true)
		want("FIRST valid, SECOND pending", 1)
		pass(2, true)
		want("FIRST valid, SECOND valid", 2)
		if changes != 1 {
			t.Errorf("%d changes of what is trusted", changes)
		}
		old := *first.DNSKEY
		old.Flags |= dns.REVOKE
		publish(signedtest.Key{DNSKEY: &old, Signer: first.Signer}, second)
		pass(1, true)
		want("FIRST revoked, SECOND valid", 1)
		publish(second)
		pass(31, false)
		restart()
		want("SECOND valid", 1)
		if p := k.problems(); len(p) != 0 {
			t.Errorf("%+v", p)
		}
		publish(first) // whoever has stolen it
		pass(1, true)
		want("SECOND valid", 1)
		// A clock that is wrong for a while decides nothing.
		k.credible = time.Now().Add(time.Hour)
		asked = 0
		if k.refresh(t.Context()); asked != 0 {
			t.Error("the clock is wrong, and counts")
		}
	})
}

// Once the root is signed by a new key alone, answers are proven by it.
func TestANewKeyOfTheRootProvesAnswers(t *testing.T) {
	w, _ := universe(t)
	old := w.Root.Keys[0]
	fresh := signedtest.NewKey(t, ".", dns.ECDSAP256SHA256)
	d := lab(source(t, resolving(w, nil)).addr)
	d.DNS.Validate = config.ValidateOn
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Dir: t.TempDir()})
	s.trust.root.builtin = []*dns.DS{old.ToDS(dns.SHA256)}
	s.trust.root.credible = time.Time{}
	if err := s.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	running(t, s)
	const good = "ad NOERROR | www.shop.example. A 192.0.2.80"
	look := func(want string) {
		t.Helper()
		s.Flush()
		if got := flags(ask(t, s, "udp", "www.shop.example.", dns.TypeA, wantDO)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	renew := func(at time.Time) { // as if the last looks had been then
		s.Flush()
		k := s.trust.root
		k.mu.Lock()
		k.state.Next = time.Time{}
		for i := range k.state.Keys {
			k.state.Keys[i].Since = at
		}
		k.mu.Unlock()
		s.trust.renew(t.Context())
	}
	look(good)
	w.Change(func() { w.Root.Keys = []signedtest.Key{old, fresh} })
	renew(time.Now())
	w.Change(func() { w.Root.Keys = []signedtest.Key{fresh} })
	look("SERVFAIL EDE 9")
	w.Change(func() { w.Root.Keys = []signedtest.Key{old, fresh} })
	renew(time.Now().Add(-31 * aDay))
	w.Change(func() { w.Root.Keys = []signedtest.Key{fresh} })
	look(good)
}

func TestBrokenRootKeysAreFoundOutAnew(t *testing.T) {
	for name, text := range map[string]string{
		"empty":        "",
		"half":         `{"keys":[{"record":".`,
		"no key":       `{"keys":[{"record":". 0 IN A 192.0.2.1","state":"valid"}]}`,
		"no state":     `{"keys":[{"record":". 0 IN DNSKEY 257 3 13 AAAA","state":"good"}]}`,
		"revoked":      `{"keys":[{"record":". 0 IN DNSKEY 385 3 13 AAAA","state":"valid"}]}`,
		"many":         `{"keys":[` + strings.Repeat(`{"record":". 0 IN DNSKEY 257 3 13 AAAA","state":"valid"},`, 99) + `{}]}`,
		"far too long": `{}` + strings.Repeat(" ", maxRootKeys),
	} {
		k := newRootKeys(t.TempDir(), slog.New(slog.DiscardHandler), nil)
		if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(k.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadRootKeys(k.path); err == nil {
			t.Errorf("%s: no error", name)
		}
		k.open()
		if !sameAnchors(k.anchors(), validate.Root()) {
			t.Errorf("%s: %v", name, k.anchors())
		}
	}
}

// Keys that cannot be noted do not count, and somebody is told.
func TestRootKeysThatCannotBeNotedDoNotCount(t *testing.T) {
	w, _ := universe(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "anchors"), nil, 0o600); err != nil { // where the folder would be
		t.Fatal(err)
	}
	k := newRootKeys(dir, slog.New(slog.DiscardHandler), w.Fetch)
	k.builtin, k.credible = w.Root.DS(), time.Time{}
	if k.refresh(t.Context()) || k.fact().Value != "as the program knows them" {
		t.Errorf("it counts: %v", k.fact())
	}
	if p := k.problems(); len(p) != 1 || p[0].Code != "dns/root-keys-lost" || p[0].Since.IsZero() {
		t.Errorf("%+v", p)
	}
}

const rootKeysDir = "PIC_TEST_ROOT_KEYS_DIR"

// TestNoteRootKeysUntilKilled is the process that TestKillLosesNoRootKey kills; by
// itself it does nothing.
func TestNoteRootKeysUntilKilled(t *testing.T) {
	path := os.Getenv(rootKeysDir)
	if path == "" {
		return
	}
	f := validate.Followed{Keys: []validate.FollowedKey{{Record: ". 0 IN DNSKEY 257 3 13 AAAA", State: validate.Pending}}}
	for n := int64(1); ; n++ {
		f.Seen, f.Next = time.Unix(n, 0), time.Unix(n, 0)
		if err := saveRootKeys(path, f); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("ack %d\n", n)
	}
}

func TestKillLosesNoRootKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "anchors", "root.json")
	for range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoteRootKeysUntilKilled$")
		cmd.Env = append(os.Environ(), rootKeysDir+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked, enough := int64(0), 1+rand.Int64N(30)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.ParseInt(strings.TrimPrefix(lines.Text(), "ack "), 10, 64)
			if err != nil {
				continue
			}
			if acked = n; n >= enough {
				cmd.Process.Kill() // somewhere in the next
			}
		}
		cmd.Wait() // killed: an error that says nothing new
		f, err := loadRootKeys(path)
		if err != nil || acked == 0 || f.Seen.Unix() < acked || !f.Seen.Equal(f.Next) || len(f.Keys) != 1 {
			t.Fatalf("%d was noted, found %+v, %v", acked, f, err)
		}
	}
}
