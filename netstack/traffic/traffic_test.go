package traffic

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
	"slices"
	"strings"
	"testing"
	"time"
)

// counters are sources that a test turns.
type counters struct {
	devices map[netip.Addr]Bytes
	peers   map[string]Bytes
	wan     Bytes
	macs    map[netip.Addr]string
	err     error
}

func (c *counters) sources() Sources {
	return Sources{
		Devices: func() (map[netip.Addr]Bytes, error) { return c.devices, c.err },
		Peers:   func() map[string]Bytes { return c.peers },
		WAN:     func(string) (Bytes, bool) { return c.wan, true },
		MACs:    func() (map[netip.Addr]string, error) { return c.macs, nil },
	}
}

func open(t *testing.T, path string, c *counters) *Server {
	t.Helper()
	s := New(slog.New(slog.DiscardHandler), path, c.sources())
	if err := s.Apply(t.Context(), Config{On: true, WAN: "wan0"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// total is what is known of an ID in the last hour.
func total(s *Server, id ID) Bytes {
	_, all := s.Since(time.Now().Add(-time.Hour))
	for _, e := range all {
		if e.ID == id {
			return e.Total
		}
	}
	return Bytes{}
}

var (
	phone4 = netip.MustParseAddr("192.168.7.20")
	phone6 = netip.MustParseAddr("fd77::20")
	phone  = ID{LAN, "02:00:00:00:00:20"}
)

func TestDifferencesAreCounted(t *testing.T) {
	c := &counters{
		devices: map[netip.Addr]Bytes{phone4: {100, 1000}}, peers: map[string]Bytes{"key": {5, 50}}, wan: Bytes{7, 70},
		macs: map[netip.Addr]string{phone4: phone.Name, phone6: phone.Name},
	}
	s := open(t, filepath.Join(t.TempDir(), "traffic"), c)
	now := time.Now()
	step := func() {
		now = now.Add(every)
		s.sample(now)
	}
	want := func(what string, id ID, b Bytes) {
		t.Helper()
		if got := total(s, id); got != b {
			t.Errorf("%s: %s has %+v, want %+v", what, id, got, b)
		}
	}
	step()
	want("before we looked", phone, Bytes{})
	c.devices[phone4], c.peers["key"], c.wan = Bytes{150, 3000}, Bytes{6, 60}, Bytes{17, 170}
	c.devices[phone6] = Bytes{1, 2} // new, so all of it is of now
	step()
	want("grown, by two addresses", phone, Bytes{51, 2002})
	want("a peer", ID{Peer, "key"}, Bytes{1, 10})
	want("the WAN", ID{Kind: WAN}, Bytes{10, 100})
	_, all := s.Since(now.Add(-time.Hour))
	if all[0].ID != phone || all[0].Rate != (Bytes{5, 200}) {
		t.Errorf("first is %+v", all[0])
	}
	c.devices[phone4] = Bytes{10, 20} // a table that was made anew
	step()
	want("after a reset", phone, Bytes{61, 2022})
	delete(c.devices, phone4)
	step()
	c.devices[phone4] = Bytes{3, 4}
	step()
	want("forgotten and back", phone, Bytes{64, 2026})
	c.err = errors.New("the firewall does not answer")
	step()
	if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "does not answer") {
		t.Errorf("problems: %+v", p)
	}
}

func TestSeriesAreBoundedAndInSteps(t *testing.T) {
	h := newHistory()
	at := time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)
	for range 500 * 24 {
		h.add(at, phone, Bytes{1, 2})
		h.add(at.Add(10*time.Second), phone, Bytes{1, 2})
		at = at.Add(time.Hour)
	}
	d := h.devices[phone]
	for step, most := range steps {
		list := d.buckets[step]
		if len(list) != most {
			t.Errorf("%d buckets of a %s, want %d", len(list), step, most)
		}
		if !slices.IsSortedFunc(list, func(a, b Bucket) int { return a.At.Compare(b.At) }) {
			t.Errorf("buckets of a %s are not in order", step)
		}
	}
	if b := d.buckets[Day][10]; b.Bytes != (Bytes{48, 96}) {
		t.Errorf("a day has %+v", b)
	}
	for i := range 3 * mostDevices {
		h.add(at.Add(time.Duration(i)*time.Second), ID{LAN, fmt.Sprint(i)}, Bytes{1, 1})
	}
	if len(h.devices) != mostDevices || h.devices[phone] != nil || h.devices[ID{LAN, fmt.Sprint(3*mostDevices - 1)}] == nil {
		t.Errorf("%d devices", len(h.devices))
	}
	// A clock that goes back makes no bucket out of order.
	h.add(at.Add(-48*time.Hour), ID{LAN, fmt.Sprint(3*mostDevices - 1)}, Bytes{1, 1})
	if list := h.devices[ID{LAN, fmt.Sprint(3*mostDevices - 1)}].buckets[Minute]; len(list) != 1 {
		t.Errorf("buckets %+v", list)
	}
}

func TestHistoryComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traffic")
	c := &counters{peers: map[string]Bytes{"key": {1, 1}}}
	s := open(t, path, c)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for {
		s.mu.Lock()
		looked := s.last != nil
		s.mu.Unlock()
		if looked {
			break
		}
		time.Sleep(time.Millisecond)
	}
	s.mu.Lock()
	c.peers = map[string]Bytes{"key": {101, 201}}
	s.mu.Unlock()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), Config{On: true}); err != nil {
		t.Fatal(err)
	}
	if got := total(s, ID{Peer, "key"}); got != (Bytes{100, 200}) {
		t.Errorf("came back as %+v", got)
	}
}

func TestJournalStaysShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traffic")
	s := open(t, path, &counters{})
	now := time.Now()
	for i := range 3000 {
		for n := range 30 {
			s.hist.add(now.Add(time.Duration(i)*time.Minute), ID{LAN, fmt.Sprintf("02:00:00:00:00:%02x", n)}, Bytes{1 << 30, 1 << 30})
		}
		if i%10 == 0 {
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.book.Size(); n > 5<<20 {
		t.Errorf("the journal of 30 devices has %d bytes", n)
	}
	if err := s.book.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path, &counters{})
	defer again.book.Close()
	if len(again.hist.devices) != 30 {
		t.Errorf("%d devices came back", len(again.hist.devices))
	}
}

func TestDamagedHistoryIsPutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traffic")
	if err := os.WriteFile(path, []byte("this is no journal at all, but long enough to be one"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, &counters{})
	defer s.book.Close()
	if p := s.Problems(); len(p) != 1 || p[0].Code != "traffic/history-damaged" {
		t.Errorf("problems: %+v", p)
	}
	if _, err := os.Stat(s.damaged); err != nil {
		t.Error(err)
	}
}

const killDir = "PIC_TEST_TRAFFIC_DIR"

// TestCountUntilKilled is the process that TestKillLosesNothingSaved kills; by
// itself it does nothing.
func TestCountUntilKilled(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		return
	}
	s := open(t, filepath.Join(dir, "traffic"), &counters{})
	base := total(s, phone).Sent
	for n := base + 1; ; n++ {
		s.hist.add(time.Now(), phone, Bytes{Sent: 1})
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("saved %d\n", n)
	}
}

func TestKillLosesNothingSaved(t *testing.T) {
	dir := t.TempDir()
	var acked uint64
	for range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCountUntilKilled$")
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(60*time.Millisecond, func() { cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n uint64
			if _, err := fmt.Sscanf(lines.Text(), "saved %d", &n); err == nil {
				acked = max(acked, n)
			}
		}
		cmd.Wait()
		timer.Stop()
		s := open(t, filepath.Join(dir, "traffic"), &counters{})
		got := total(s, phone).Sent
		if got < acked || got > acked+1 {
			t.Fatalf("%d were saved, and %d came back", acked, got)
		}
		acked = got
		if err := s.book.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acked == 0 {
		t.Error("nothing was saved in any round")
	}
}

func FuzzReplay(f *testing.F) {
	h := newHistory()
	h.add(time.Now(), phone, Bytes{1, 2})
	b, err := h.changes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`[{"k":"lan","n":"x","p":"week","t":1}]`))
	f.Fuzz(func(t *testing.T, rec []byte) {
		one, two := newHistory(), newHistory()
		err := one.replay(rec)
		if err != nil {
			return
		}
		// What is read can be written and read again, also twice.
		for range 2 {
			if err := one.dump(two.replay); err != nil {
				t.Fatal(err)
			}
		}
		if len(one.devices) != len(two.devices) || len(one.devices) > mostDevices {
			t.Errorf("%d devices became %d", len(one.devices), len(two.devices))
		}
		for id, d := range one.devices {
			for step, list := range d.buckets {
				if !slices.Equal(list, two.devices[id].buckets[step]) {
					t.Errorf("%v became %v", list, two.devices[id].buckets[step])
				}
			}
		}
	})
}
