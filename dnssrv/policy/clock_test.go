package policy

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"pic/core/config"
)

// running runs e in a bubble of synctest until the test ends.
func running(t *testing.T, e *Engine) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	synctest.Wait()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A bubble begins at midnight, UTC.
func TestTheEngineFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{Log: quiet})
		e.now = func() time.Time { return time.Now().UTC() }
		err := e.Apply(filter(config.Filter{
			Enabled: new(true),
			Rules:   []string{"always.test"},
			Groups:  []config.Group{{Name: "kids", Schedules: []config.Schedule{{From: "21:30", To: "07:00"}}}},
			Clients: []config.Client{{Name: "tablet", IDs: []string{client1.String()}, Groups: []string{"kids"}}},
		}))
		if err != nil {
			t.Fatal(err)
		}
		running(t, e)
		expect := func(want bool) {
			t.Helper()
			synctest.Wait()
			if blocked(t, e, "news.test") != want {
				t.Errorf("at %v: blocked %v", time.Now().Format("15:04:05"), !want)
			}
		}
		expect(true)
		time.Sleep(7*time.Hour - time.Second)
		expect(true)
		set := e.Current()
		time.Sleep(time.Second)
		expect(false)
		if e.Current() == set {
			t.Error("the set changed in place")
		}
		set = e.Current()
		time.Sleep(14*time.Hour + 29*time.Minute)
		expect(false)
		if e.Current() != set {
			t.Error("another set, and nothing changed")
		}
		time.Sleep(time.Minute)
		expect(true)
		if err := e.Pause(10*time.Minute, "kids"); err != nil {
			t.Fatal(err)
		}
		expect(false)
		if until := e.Paused()["kids"]; time.Until(until) != 10*time.Minute {
			t.Errorf("paused until %v", until)
		}
		time.Sleep(10*time.Minute - time.Second)
		expect(false)
		time.Sleep(time.Second)
		expect(true)
		if len(e.Paused()) != 0 {
			t.Error("the pause is over and still there")
		}
		if err := e.Pause(time.Minute, "grown-ups"); err == nil {
			t.Error("a group that is not there is paused")
		}
		if err := e.Pause(time.Hour, ""); err != nil || blocked(t, e, "always.test") {
			t.Errorf("%v: paused for all, and still blocked", err)
		}
		if err := e.Pause(0, ""); err != nil || !blocked(t, e, "always.test") {
			t.Errorf("%v: no longer paused, and not blocked", err)
		}
	})
}

func TestListsThatFailAreTriedAgainLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "list")
		e := engine(t, t.TempDir(), lists(path))
		running(t, e)
		var waits []time.Duration
		for range 14 {
			st := e.Status()[0]
			if st.Error == "" || !st.Since.Equal(e.Status()[0].Since) {
				t.Fatalf("got %+v", st)
			}
			waits = append(waits, time.Until(st.Next))
			time.Sleep(time.Until(st.Next) + time.Millisecond)
			synctest.Wait()
		}
		if waits[0] < firstRetry*9/10 || waits[0] > firstRetry*11/10 {
			t.Errorf("first after %v", waits[0])
		}
		if last := waits[len(waits)-1]; last < lastRetry*9/10 || last > lastRetry*11/10 {
			t.Errorf("in the end after %v", last)
		}
		for i := range len(waits) - 1 {
			if waits[i+1] < waits[i]*8/10 {
				t.Errorf("after %v comes %v", waits[i], waits[i+1])
			}
		}
		if err := os.WriteFile(path, []byte("||ads.test^\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * lastRetry)
		synctest.Wait()
		if st := e.Status()[0]; st.Error != "" || !st.Since.IsZero() || !blocked(t, e, "ads.test") {
			t.Errorf("it is there again: %+v", st)
		}
		// From then on it is looked at each minute, for it is a file.
		if err := os.WriteFile(path, []byte("||ads.test^\n||new.test^\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pollFiles + time.Second)
		synctest.Wait()
		if !blocked(t, e, "new.test") {
			t.Error("the change is not seen")
		}
	})
}

func TestListsAreRefreshedAtTheirTime(t *testing.T) {
	const every = 24 * time.Hour
	e := engine(t, t.TempDir(), lists("http://a.test/"))
	h := e.lists["http://a.test/"]
	h.copy.checked = time.Now().Add(-every / 2)
	h.next = time.Time{}
	if due, wait := e.due(time.Now()); len(due) != 0 || wait > time.Hour {
		t.Errorf("%d due, %v to wait", len(due), wait)
	}
	if d := time.Until(h.next); d < every*4/10-time.Minute || d > every*6/10+time.Minute {
		t.Errorf("next in %v", d)
	}
	if due, _ := e.due(time.Now().Add(every)); len(due) != 1 {
		t.Error("not due after its time")
	}
	// A clock that was far ahead once must not put it off for ever.
	h.next = time.Now().Add(100 * every)
	if due, _ := e.due(time.Now()); len(due) != 1 {
		t.Error("put off by a clock that was wrong")
	}
}
