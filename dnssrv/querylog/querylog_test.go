package querylog

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func on() Config { return Config{Enabled: true, Keep: 168 * time.Hour, MaxSize: 64 << 20} }

func open(t *testing.T, dir string, c Config, o ...func(*Options)) *Log {
	t.Helper()
	opt := Options{Log: slog.New(slog.DiscardHandler), Dir: dir}
	for _, f := range o {
		f(&opt)
	}
	l := New(opt)
	l.Apply(c)
	l.Open()
	t.Cleanup(l.Close)
	return l
}

func told(name string, v Verdict) *Told { return &Told{Name: name, Type: 1, Verdict: v, Source: Cache} }

func entry(client, name string, v Verdict) *Entry {
	return &Entry{Client: netip.MustParseAddr(client), Told: told(name, v)}
}

func search(t *testing.T, l *Log, q Query) Page {
	t.Helper()
	p, err := l.Search(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func names(p Page) []string {
	out := []string{}
	for _, r := range p.Records {
		out = append(out, r.Name)
	}
	return out
}

// What is to be kept is not known before the first Apply: until then nothing is
// too old.
func TestNothingIsDeletedBeforeTheFirstApply(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, on())
	l.Add(entry("192.0.2.1", "www.example.com", Answered))
	l.Close()
	l = New(Options{Log: slog.New(slog.DiscardHandler), Dir: dir})
	l.Open()
	defer l.Close()
	if err := l.sync(nil); err != nil {
		t.Fatal(err)
	}
	l.Apply(on())
	if got := names(search(t, l, Query{})); !slices.Equal(got, []string{"www.example.com"}) {
		t.Errorf("got %q", got)
	}
}

func TestARecordIsFoundAsItWasAdded(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, on())
	want := Told{
		Name: "www.example.com", Type: 28, Rcode: 3, Source: Policy, Verdict: Blocked, Secure: true,
		List: "ads", Rule: "||example.com^", Reason: "it is on a list", Upstream: "tls://9.9.9.9", Answer: "A 192.0.2.1",
	}
	at := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	l.Add(&Entry{
		Time: at.UnixMicro(), Client: netip.MustParseAddr("::ffff:192.168.1.7"), Device: "tv", Told: &want, Proto: HTTPS, Took: 1234 * time.Microsecond,
	})
	l.Add(&Entry{Client: netip.MustParseAddr("fe80::1%lo"), Told: told(".", Answered)})
	for _, opened := range []string{"at once", "after a restart"} {
		p := search(t, l, Query{})
		if len(p.Records) != 2 || p.Next != 0 {
			t.Fatalf("%s: %+v", opened, p)
		}
		r := p.Records[1]
		if r.Told != want || !r.Time.Equal(at) || r.Client.String() != "192.168.1.7/32" || r.Device != "tv" || r.Proto != HTTPS || r.Took != 1234*time.Microsecond {
			t.Errorf("%s: %+v", opened, r)
		}
		if r := p.Records[0]; r.Name != "." || r.Client.String() != "fe80::1/128" || time.Since(r.Time) > time.Minute {
			t.Errorf("%s: %+v", opened, r)
		}
		l.Close()
		if _, err := l.Search(t.Context(), Query{}); err != ErrClosed {
			t.Errorf("a search in a closed log: %v", err)
		}
		l = open(t, dir, on())
	}
}

func TestFiltersFindWhatTheySay(t *testing.T) {
	l := open(t, t.TempDir(), on())
	now := time.Now().UnixMicro()
	for i, e := range []*Entry{
		entry("192.168.1.1", "a.example", Answered),
		entry("192.168.1.2", "Ads.example", Blocked),
		entry("fd00::2", "b.test", Refused),
		{Client: netip.MustParseAddr("192.168.2.9"), Device: "TV", Told: &Told{Name: "c.test", Type: 28, Verdict: Allowed}},
	} {
		e.Time = now - int64(4-i)*10_000_000
		l.Add(e)
	}
	at := func(tens int64) time.Time { return time.UnixMicro(now - tens*10_000_000) }
	nets := func(s ...string) (out []netip.Prefix) {
		for _, p := range s {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	for name, tt := range map[string]struct {
		q    Query
		want []string
	}{
		"all":                   {Query{}, []string{"c.test", "b.test", "Ads.example", "a.example"}},
		"the last two":          {Query{Limit: 2}, []string{"c.test", "b.test"}},
		"an address":            {Query{Clients: nets("192.168.1.2/32")}, []string{"Ads.example"}},
		"a network":             {Query{Clients: nets("192.168.0.0/16")}, []string{"c.test", "Ads.example", "a.example"}},
		"a device":              {Query{Device: "tv"}, []string{"c.test"}},
		"a device or addresses": {Query{Device: "tv", Clients: nets("fd00::2/128")}, []string{"c.test", "b.test"}},
		"a part of the name":    {Query{Name: "EXAMPLE."}, []string{"Ads.example", "a.example"}},
		"verdicts":              {Query{Verdicts: []Verdict{Blocked, Refused}}, []string{"b.test", "Ads.example"}},
		"a type":                {Query{Types: []uint16{28}}, []string{"c.test"}},
		"since":                 {Query{Since: at(2)}, []string{"c.test", "b.test"}},
		"until":                 {Query{Until: at(3)}, []string{"Ads.example", "a.example"}},
		"both":                  {Query{Name: "test", Verdicts: []Verdict{Allowed}}, []string{"c.test"}},
		"nothing":               {Query{Name: "nosuch"}, []string{}},
	} {
		if got := names(search(t, l, tt.q)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// Pages over several segments have every record once, whatever comes meanwhile.
func TestPagesHaveEveryRecordOnce(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 5 {
		l := open(t, dir, on())
		for j := range 40 {
			name := fmt.Sprintf("n%d-%d.test", i, j)
			l.Add(entry("192.168.1.1", name, Answered))
			want = append(want, name)
			if j%10 == 9 {
				search(t, l, Query{Limit: 1}) // ends a frame
			}
		}
		l.Close()
		// As if an hour had passed: the next life begins a segment.
		for _, s := range l.disk.list() {
			old := filepath.Join(dir, segmentName(s.first, s.start.Add(-time.Hour)))
			if i == 2 && s.first == l.disk.list()[0].first {
				if err := os.Rename(s.path, old); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	slices.Reverse(want)
	l := open(t, dir, on())
	search(t, l, Query{}) // it is open now
	if n := len(l.disk.list()); n < 2 {
		t.Fatalf("%d segments", n)
	}
	var got []string
	last := ^uint64(0)
	for q := (Query{Limit: 7}); ; {
		p := search(t, l, q)
		for _, r := range p.Records {
			if r.ID >= last {
				t.Fatalf("id %d after %d", r.ID, last)
			}
			last = r.ID
		}
		got = append(got, names(p)...)
		if q.Before = p.Next; p.Next == 0 {
			break
		}
		l.Add(entry("192.168.1.1", "meanwhile.test", Answered))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d records, want %d: %q", len(got), len(want), got)
	}
}

func TestAddingTakesNoMemoryAndNeverWaits(t *testing.T) {
	l := New(Options{Log: slog.New(slog.DiscardHandler)}) // nobody takes anything off
	r := l.Ring()
	e := entry("192.168.1.1", "a.test", Answered)
	if n := testing.AllocsPerRun(ringSize/2, func() { r.Add(e) }); n != 0 {
		t.Errorf("%v allocations for each entry", n)
	}
	for range ringSize {
		r.Add(e)
	}
	for range ringSize + 10 {
		l.Add(e)
	}
	if n := l.Dropped(); n != ringSize/2+1+10 {
		t.Errorf("%d dropped, want %d", n, ringSize/2+1+10)
	}
}

func TestAClosedRingLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, t.TempDir(), on())
		r := l.Ring()
		for range 3 {
			r.Add(entry("192.168.1.1", "a.test", Answered))
		}
		r.Close()
		if n := len(search(t, l, Query{}).Records); n != 3 {
			t.Errorf("%d records", n)
		}
		time.Sleep(time.Second)
		l.mu.Lock()
		left := len(l.rings)
		l.mu.Unlock()
		if left != 1 {
			t.Errorf("%d rings are left", left)
		}
		l.Close()
	})
}

func TestEntriesAreOnDiskAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir, on())
		time.Sleep(time.Hour) // long asleep
		l.Add(entry("192.168.1.1", "a.test", Answered))
		time.Sleep(latest + turn)
		synctest.Wait()
		files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
		if len(files) != 1 {
			t.Fatalf("%q", files)
		}
		if b, _ := os.ReadFile(files[0]); !strings.Contains(string(b), "a.test") {
			t.Errorf("%q", b)
		}
		l.Close()
	})
}

func TestWhatIsNotToBeLoggedIsOnlyCounted(t *testing.T) {
	for name, tt := range map[string]struct {
		c     Config
		entry Entry
	}{
		"unlogged": {on(), Entry{Unlogged: true}},
		"off":      {Config{Keep: time.Hour, MaxSize: 1 << 20}, Entry{}},
	} {
		dir := t.TempDir()
		l := open(t, dir, tt.c)
		tail := l.Tail(t.Context())
		e := tt.entry
		e.Client, e.Told = netip.MustParseAddr("192.168.1.1"), told("secret.test", Blocked)
		l.Add(&e)
		if p := search(t, l, Query{}); len(p.Records) != 0 {
			t.Errorf("%s: %v", name, p)
		}
		st := l.Stats(24 * time.Hour)
		if st.Queries != 1 || st.Blocked != 1 || len(st.Clients)+len(st.Names)+len(st.BlockedNames) != 0 {
			t.Errorf("%s: %+v", name, st)
		}
		l.Close()
		select {
		case r := <-tail:
			t.Errorf("%s: told of %v", name, r)
		default:
		}
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			if b, _ := os.ReadFile(filepath.Join(dir, f.Name())); strings.Contains(string(b), "secret") || strings.Contains(string(b), "192.168.1.1") {
				t.Errorf("%s: %s has %q", name, f.Name(), b)
			}
		}
	}
}

func TestAnAnonymousLogHasNetworksOnly(t *testing.T) {
	dir := t.TempDir()
	c := on()
	c.Anonymise = true
	l := open(t, dir, c)
	tail := l.Tail(t.Context())
	l.Add(&Entry{Time: 1, Client: netip.MustParseAddr("192.168.1.77"), Device: "tv", Told: told("a.test", Answered)})
	l.Add(&Entry{Client: netip.MustParseAddr("2001:db8:1:2345::77"), Device: "tv", Told: told("a.test", Answered)})
	p := search(t, l, Query{Since: time.Unix(0, 0), Clients: []netip.Prefix{netip.MustParsePrefix("2001:db8:1:2377::/128")}})
	if len(p.Records) != 1 || p.Records[0].Client.String() != "2001:db8:1:2300::/56" || p.Records[0].Device != "" {
		t.Errorf("%+v", p.Records)
	}
	var keys []string
	for _, k := range l.Stats(time.Hour).Clients {
		keys = append(keys, k.Key)
	}
	if !slices.Equal(keys, []string{"192.168.1.0/24", "2001:db8:1:2300::/56"}) {
		t.Errorf("%q", keys)
	}
	for range 2 {
		if r := <-tail; r.Client.IsSingleIP() || r.Device != "" {
			t.Errorf("told of %+v", r)
		}
	}
}

func TestATailHearsAtOnceAndASlowOneLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, "", on())
		ctx, cancel := context.WithCancel(t.Context())
		tail, slow := l.Tail(ctx), l.Tail(ctx)
		var last uint64
		for i := range 300 {
			l.Add(entry("192.168.1.1", fmt.Sprintf("n%d.test", i), Answered))
			time.Sleep(turn)
			synctest.Wait()
			select {
			case r := <-tail:
				if r.ID <= last || r.Name != fmt.Sprintf("n%d.test", i) {
					t.Errorf("%+v after %d", r, last)
				}
				last = r.ID
			default:
				t.Fatalf("entry %d was not told", i)
			}
		}
		cancel()
		synctest.Wait()
		n := 0
		for range slow {
			n++
		}
		if n != 256 {
			t.Errorf("the slow one has %d", n)
		}
		if _, open := <-tail; open {
			t.Error("the channel is still open")
		}
		l.Close()
	})
}
