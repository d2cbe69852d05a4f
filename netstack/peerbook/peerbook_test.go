package peerbook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pic/core/event"
	"pic/core/state"
	"pic/netstack/handout"
)

const killDir = "PIC_TEST_PEERBOOK_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		useLinksUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// A tunnel stands in for the real one, and the document for what Take does.
type tunnel struct {
	book   *Book
	events *event.Log
	seen   []Seen
	taken  []string
}

func open(t *testing.T, dir string) *tunnel {
	t.Helper()
	db, err := state.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &tunnel{events: event.NewLog(100)}
	w.book = New(Options{
		Log: slog.New(slog.DiscardHandler), Space: db.Space("peers"), Events: w.events,
		Look: func() []Seen { return w.seen },
		Take: func(_ context.Context, name, next string) error { w.taken = append(w.taken, name+" "+next); return nil },
	})
	return w
}

func (w *tunnel) apply(t *testing.T, peers ...Peer) {
	t.Helper()
	if err := w.book.Apply(t.Context(), Config{On: true, Peers: peers}); err != nil {
		t.Fatal(err)
	}
}

// told are the kinds of the events so far.
func (w *tunnel) told() string {
	var kinds []string
	for _, e := range w.events.Since(0, 0) {
		kinds = append(kinds, e.Kind+" "+e.Subject)
	}
	return strings.Join(kinds, ", ")
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestTrafficIsCountedAndOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	w.apply(t, Peer{Name: "phone", PublicKey: "K"})
	at := netip.MustParseAddrPort("203.0.113.2:4000")
	for i, rx := range []uint64{100, 1100, 2100, 50} { // the last: the tunnel began anew
		w.seen = []Seen{{PublicKey: "K", Endpoint: at, Handshake: noon, Rx: rx, Tx: 2 * rx}}
		w.book.look(t.Context(), noon.Add(time.Duration(i)*30*time.Second))
	}
	k := w.book.Known("K")
	if k.Rx != 2150 || k.Tx != 4300 || k.Endpoint != at || !k.Handshake.Equal(noon) {
		t.Errorf("known %+v", k)
	}
	if k.RxRate <= 0 || k.RxRate > 100 {
		t.Errorf("rate %v", k.RxRate)
	}
	w.book.flush(t.Context(), noon.Add(2*time.Minute))
	again := New(w.book.Options)
	if err := again.Apply(t.Context(), Config{On: true}); err != nil {
		t.Fatal(err)
	}
	if k := again.Known("K"); k.Rx != 2150 || k.Endpoint != at || !k.Handshake.Equal(noon) {
		t.Errorf("after a restart: %+v", k)
	}
	for level, want := range map[Level]string{
		Minutes: "[{2026-03-01 12:00:00 +0000 UTC 1100 2200} {2026-03-01 12:01:00 +0000 UTC 1050 2100}]",
		Hours:   "[{2026-03-01 12:00:00 +0000 UTC 2150 4300}]",
		Days:    "[{2026-03-01 00:00:00 +0000 UTC 2150 4300}]",
	} {
		got, err := again.History("K", level, noon.Add(-24*time.Hour))
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%c: %v, %v", level, got, err)
		}
	}
}

func TestHistoryForgetsWhatIsOld(t *testing.T) {
	w := open(t, t.TempDir())
	w.apply(t, Peer{Name: "phone", PublicKey: "K"})
	for day := range 5 {
		w.seen = []Seen{{PublicKey: "K", Rx: uint64(day+1) * 1000}}
		w.book.look(t.Context(), noon.AddDate(0, 0, day))
		w.book.look(t.Context(), noon.AddDate(0, 0, day).Add(time.Minute))
	}
	minutes, err := w.book.History("K", Minutes, time.Time{})
	if err != nil || len(minutes) != 3 { // of the last two days, and their first chunk
		t.Errorf("minutes: %v, %v", minutes, err)
	}
	if days, err := w.book.History("K", Days, time.Time{}); err != nil || len(days) != 5 {
		t.Errorf("days: %v, %v", days, err)
	}
}

func TestTheTimelineTellsWhoComesAndGoes(t *testing.T) {
	w := open(t, t.TempDir())
	w.apply(t, Peer{Name: "phone", PublicKey: "K"})
	w.seen = []Seen{{PublicKey: "K"}}
	w.book.look(t.Context(), noon)
	if got := w.told(); got != "" {
		t.Errorf("before anybody came: %s", got)
	}
	w.seen[0].Handshake = noon
	for _, after := range []time.Duration{time.Second, 2 * time.Minute, 5 * time.Minute, 9 * time.Minute} { // a phone that sleeps
		w.book.look(t.Context(), noon.Add(after))
	}
	if got := w.told(); got != "peer.connected phone" {
		t.Errorf("told %s", got)
	}
	w.book.look(t.Context(), noon.Add(11*time.Minute))
	w.book.look(t.Context(), noon.Add(12*time.Minute))
	if got := w.told(); got != "peer.connected phone, peer.disconnected phone" {
		t.Errorf("told %s", got)
	}
}

func TestTheEndOfADeviceIsToldBefore(t *testing.T) {
	w := open(t, t.TempDir())
	p := Peer{Name: "guest", PublicKey: "K", Expires: noon}
	w.apply(t, p)
	for _, before := range []time.Duration{8 * 24, 6 * 24, 5 * 24, 20, 1, 0} {
		w.book.look(t.Context(), noon.Add(-before*time.Hour))
	}
	if got := w.told(); got != "peer.expiring guest, peer.expiring guest, peer.expired guest" {
		t.Errorf("told %s", got)
	}
	p.Expires = noon.Add(12 * time.Hour) // it got more time
	w.apply(t, p)
	w.book.look(t.Context(), noon)
	if got := w.told(); !strings.HasSuffix(got, "peer.expired guest, peer.expiring guest") {
		t.Errorf("told %s", got)
	}
}

func TestNextKeysAreTakenWhenUsedOrDue(t *testing.T) {
	for name, tt := range map[string]struct {
		handshake, until time.Time
		want             string
	}{
		"waits":    {time.Time{}, noon.Add(time.Hour), ""},
		"used":     {noon, noon.Add(time.Hour), "phone N"},
		"too late": {time.Time{}, noon, "phone N"},
	} {
		w := open(t, t.TempDir())
		w.apply(t, Peer{Name: "phone", PublicKey: "K", Next: "N", Until: tt.until})
		w.seen = []Seen{{PublicKey: "K", Handshake: noon}, {PublicKey: "N", Handshake: tt.handshake}}
		w.book.look(t.Context(), noon)
		if got := strings.Join(w.taken, ","); got != tt.want {
			t.Errorf("%s: taken %q, want %q", name, got, tt.want)
		}
	}
}

func TestAPeerTakesItsHistoryToItsNewKey(t *testing.T) {
	w := open(t, t.TempDir())
	w.apply(t, Peer{Name: "phone", PublicKey: "K"})
	w.seen = []Seen{{PublicKey: "K", Rx: 500, Handshake: noon}}
	w.book.look(t.Context(), noon)
	w.book.flush(t.Context(), noon)
	if err := w.book.Give(t.Context(), "K", handout.Handout{PublicKey: "K"}); err != nil {
		t.Fatal(err)
	}
	w.apply(t, Peer{Name: "phone", PublicKey: "N"})
	if k := w.book.Known("N"); k.Rx != 500 || w.book.Known("K") != (Known{}) {
		t.Errorf("known %+v", k)
	}
	if h, _, ok := w.book.Given("N"); !ok || h.PublicKey != "K" {
		t.Errorf("given %+v, %v", h, ok)
	}
	if got, err := w.book.History("N", Days, time.Time{}); err != nil || len(got) != 1 || got[0].Rx != 500 {
		t.Errorf("history %v, %v", got, err)
	}
	if got, err := w.book.History("K", Days, time.Time{}); err != nil || len(got) != 0 {
		t.Errorf("history of the former key %v, %v", got, err)
	}
}

func TestWhatBelongsToNobodyGoesAfterAMonth(t *testing.T) {
	w := open(t, t.TempDir())
	w.apply(t, Peer{Name: "phone", PublicKey: "K"})
	w.seen = []Seen{{PublicKey: "K", Rx: 500}}
	w.book.look(t.Context(), noon)
	w.book.flush(t.Context(), noon)
	w.seen = nil
	w.apply(t)
	w.book.sweep(t.Context(), noon)
	w.book.sweep(t.Context(), noon.AddDate(0, 0, 29))
	if w.book.Known("K").Rx != 500 {
		t.Error("it is forgotten at once")
	}
	w.book.sweep(t.Context(), noon.AddDate(0, 0, 31))
	left := 0
	w.book.Space.View(func(r state.Reader) error {
		for range r.Scan(nil, nil) {
			left++
		}
		return nil
	})
	if w.book.Known("K") != (Known{}) || left != 0 {
		t.Errorf("%d keys are left", left)
	}
}

var home = netip.MustParseAddr("192.168.1.7")

func link(key string, life time.Duration) Link {
	now := time.Now()
	return Link{PublicKey: key, By: "alice", Created: now, Expires: now.Add(life)}
}

func TestALinkIsGoodOnceAndOnlyInItsTime(t *testing.T) {
	w := open(t, t.TempDir())
	b, ctx := w.book, t.Context()
	first, err := b.NewLink(ctx, link("K", time.Hour))
	if err != nil || len(first) < 48 {
		t.Fatalf("token %q, %v", first, err)
	}
	second, _ := b.NewLink(ctx, link("K", time.Hour))
	old, _ := b.NewLink(ctx, link("O", -time.Second))
	for what, token := range map[string]string{"replaced": first, "over": old, "wrong": "nonsense"} {
		if _, err := b.UseLink(ctx, token, home); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if l, err := b.Link(second, home); err != nil || l.PublicKey != "K" || l.By != "alice" {
		t.Errorf("looking: %+v, %v", l, err)
	}
	var wg sync.WaitGroup
	got := make(chan error, 20)
	for range 20 {
		wg.Go(func() { _, err := b.UseLink(ctx, second, netip.Addr{}); got <- err })
	}
	wg.Wait()
	close(got)
	good := 0
	for err := range got {
		if err == nil {
			good++
		}
	}
	if good != 1 {
		t.Errorf("the link was good %d times", good)
	}
	if open, err := b.OpenLinks(); err != nil || len(open) != 0 {
		t.Errorf("open links: %v, %v", open, err)
	}
	if err := b.FreeLink(ctx, second); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Link(second, netip.MustParseAddr("192.168.1.8")); err != nil {
		t.Errorf("given back: %v", err)
	}
	b.Space.View(func(r state.Reader) error {
		for k, v := range r.Scan(nil, nil) {
			if strings.Contains(string(k)+string(v), second) {
				t.Error("the token itself is kept")
			}
		}
		return nil
	})
}

func TestGuessersMustWait(t *testing.T) {
	b := open(t, t.TempDir()).book
	token, _ := b.NewLink(t.Context(), link("K", time.Hour))
	for range freeTries {
		if _, err := b.Link("nonsense", home); !errors.Is(err, ErrLink) {
			t.Fatal(err)
		}
	}
	if _, err := b.Link(token, home); !errors.Is(err, ErrTries) {
		t.Errorf("after many tries: %v", err)
	}
	if _, err := b.Link(token, netip.MustParseAddr("192.168.1.8")); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	if !b.links.open(home, time.Now().Add(window+time.Second)) {
		t.Error("it is not forgotten")
	}
}

// Strangers with any number of addresses do not shut the door for others, and take a
// bounded room.
func TestGuessersDoNotLockOthersOut(t *testing.T) {
	b := open(t, t.TempDir()).book
	token, _ := b.NewLink(t.Context(), link("K", time.Hour))
	base := netip.MustParseAddr("2001:db8::1").As16()
	for i := range 3 * mostTrying {
		base[4], base[5] = byte(i>>8), byte(i)
		for range 2 {
			if _, err := b.UseLink(t.Context(), "nonsense", netip.AddrFrom16(base)); !errors.Is(err, ErrLink) {
				t.Fatal(err)
			}
		}
	}
	if n := len(b.links.tries); n > mostTrying {
		t.Errorf("%d sources are kept", n)
	}
	for _, from := range []string{"192.168.1.8", "10.70.0.9", "203.0.113.9", "2001:db8:ffff::1"} {
		if _, err := b.Link(token, netip.MustParseAddr(from)); err != nil {
			t.Errorf("%s is locked out: %v", from, err)
		}
	}
	if l, err := b.UseLink(t.Context(), token, netip.Addr{}); err != nil || l.PublicKey != "K" {
		t.Errorf("%+v, %v", l, err)
	}
}

// useLinksUntilKilled makes links and uses every other one up, and says what was
// acknowledged.
func useLinksUntilKilled(dir string) {
	db, err := state.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	b := New(Options{Space: db.Space("peers")})
	for n := 0; ; n++ {
		token, err := b.NewLink(context.Background(), link(fmt.Sprint(os.Getpid(), "-", n), time.Hour))
		if err != nil {
			os.Exit(1)
		}
		fmt.Println("made", token)
		if n%2 == 0 {
			if _, err := b.UseLink(context.Background(), token, home); err != nil {
				os.Exit(1)
			}
			fmt.Println("used", token)
		}
	}
}

func TestKillNeitherLosesALinkNorMakesOneGoodTwice(t *testing.T) {
	dir := t.TempDir()
	made, used := map[string]bool{}, map[string]bool{}
	last := ""
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			verb, token, _ := strings.Cut(lines.Text(), " ")
			if verb == "made" {
				made[token], last = true, token
			} else {
				used[token] = true
			}
			if n == 10+7*round {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()         // killed: an error that says nothing new
		delete(made, last) // it may or may not have been used
	}
	w := open(t, dir)
	for token := range made {
		_, err := w.book.Link(token, netip.Addr{})
		if used[token] != errors.Is(err, ErrLink) {
			t.Fatalf("used %v, and now %v", used[token], err)
		}
		clear(w.book.links.tries)
	}
	if len(made) < 30 || len(used) < 15 {
		t.Errorf("only %d links made, %d used", len(made), len(used))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, 60)
	f.Add([]byte{0x80}, 24)
	f.Add(encode([]count{{1, 2}, {}, {1 << 60, 7}}), 32)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		if n < 1 || n > 64 {
			return
		}
		slots, err := decode(data, n)
		if err != nil {
			return
		}
		again, err := decode(encode(slots), n)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(slots) {
			t.Errorf("%v becomes %v, %v", slots, again, err)
		}
	})
}
