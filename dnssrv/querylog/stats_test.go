package querylog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestTopListsFindTheFrequentAmongMany(t *testing.T) {
	s := sketch{}
	exact := map[string]uint64{}
	total := uint64(0)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		key := fmt.Sprintf("rare%d", rng.IntN(50_000))
		if rng.IntN(4) == 0 {
			key = fmt.Sprintf("often%d", rng.IntN(20))
		}
		s.add(key, 1)
		exact[key]++
		total++
		if len(s) > 2*sketchSize {
			t.Fatalf("%d keys", len(s))
		}
	}
	for key, n := range s {
		if n > exact[key] || n+total/sketchSize < exact[key] {
			t.Errorf("%s: %d, truly %d", key, n, exact[key])
		}
	}
	for _, c := range top(20, s) {
		if c.Key[:5] != "often" {
			t.Errorf("%+v is among the first 20", c)
		}
	}
}

func TestCountsAreByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, t.TempDir(), on())
		for i := range 30 { // hours
			e := entry("192.168.1.1", fmt.Sprintf("n%d.test", i), Answered)
			if i%3 == 0 {
				e = entry("192.168.1.2", "ads.test", Blocked)
				e.Told.List = "ads"
			}
			e.Took, e.Told.Upstream, e.Told.Source = 3*time.Millisecond, "9.9.9.9", Upstream
			l.Add(e)
			time.Sleep(time.Hour)
		}
		// The first of the last 24 hours is a step that is not wholly within.
		day, week := l.Stats(24*time.Hour), l.Stats(7*24*time.Hour)
		if day.Queries != 23 || day.Blocked != 7 || len(day.Series) != 144 || day.Step != 10*time.Minute {
			t.Errorf("a day: %d queries, %d blocked, %d points of %v", day.Queries, day.Blocked, len(day.Series), day.Step)
		}
		if week.Queries != 30 || week.Blocked != 10 || len(week.Series) != 168 || week.Step != time.Hour {
			t.Errorf("a week: %d queries, %d blocked, %d points of %v", week.Queries, week.Blocked, len(week.Series), week.Step)
		}
		if c := week.Clients; len(c) != 2 || c[0] != (Count{"192.168.1.1", 20}) || c[1] != (Count{"192.168.1.2", 10}) {
			t.Errorf("clients %v", c)
		}
		if c := week.BlockedNames; len(c) != 1 || c[0] != (Count{"ads.test", 10}) {
			t.Errorf("blocked names %v", c)
		}
		if c := week.Lists; len(c) != 1 || c[0] != (Count{"ads", 10}) {
			t.Errorf("lists %v", c)
		}
		if c := week.Upstreams; len(c) != 1 || c[0] != (Count{"9.9.9.9", 30}) {
			t.Errorf("upstreams %v", c)
		}
		for _, b := range week.Latency {
			if want := uint64(0); (b.UpTo == 5*time.Millisecond) != (b.Count == 30) || b.UpTo != 5*time.Millisecond && b.Count != want {
				t.Errorf("%d answers took up to %v", b.Count, b.UpTo)
			}
		}
		time.Sleep(8 * 24 * time.Hour)
		if st := l.Stats(7 * 24 * time.Hour); st.Queries != 0 || len(st.Names) != 0 {
			t.Errorf("after all that time: %+v", st)
		}
		l.Close()
	})
}

// The counts come back from what was saved, and from the records that came after.
func TestCountsOutliveTheProcess(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"ended well":             func(string) error { return nil },
		"counts lost":            os.Remove,
		"counts damaged":         func(f string) error { return os.WriteFile(f, []byte(`{"Next":1,"Hours":[nul`), 0o600) },
		"counts of another kind": func(f string) error { return os.WriteFile(f, []byte(`{"Hours":[null,{}]}`), 0o600) },
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			for range 3 {
				l := open(t, dir, on())
				for range 5 {
					l.Add(entry("192.168.1.1", "a.test", Blocked))
				}
				time.Sleep(time.Hour)
				l.Close()
			}
			if err := spoil(filepath.Join(dir, countsFile)); err != nil {
				t.Fatal(err)
			}
			l := open(t, dir, on())
			for range 2 {
				st := l.Stats(24 * time.Hour)
				if st.Queries != 15 || st.Blocked != 15 || len(st.Names) != 1 || st.Names[0] != (Count{"a.test", 15}) {
					t.Errorf("%s: %+v", name, st)
				}
				l.Close()
				l = open(t, dir, on()) // counting again must not count twice
			}
			l.Close()
		})
	}
}
