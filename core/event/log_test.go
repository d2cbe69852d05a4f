package event_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"pic/core/event"
)

func ids(events []event.Event) []int64 {
	out := []int64{}
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func TestLogKeepsTheLastInOrder(t *testing.T) {
	l := event.NewLog(3)
	before := l.LastID()
	var all []int64
	for i := range 5 {
		e := l.Append(event.Event{Kind: "test.ran", Text: fmt.Sprint(i)})
		if e.Time.IsZero() || e.Severity != event.Info {
			t.Errorf("not filled in: %+v", e)
		}
		all = append(all, e.ID)
	}
	if all[0] != before+1 || all[4] != before+5 || l.LastID() != all[4] {
		t.Errorf("ids %v after %d", all, before)
	}
	for name, tt := range map[string]struct {
		got  []event.Event
		want []int64
	}{
		"from the start":     {l.Since(0, 0), all[2:]},
		"first two":          {l.Since(0, 2), all[2:4]},
		"after one kept":     {l.Since(all[3], 0), all[4:]},
		"after one lost":     {l.Since(all[0], 0), all[2:]},
		"after the last":     {l.Since(all[4], 0), []int64{}},
		"after one to come":  {l.Since(all[4]+100, 0), []int64{}},
		"more than there is": {l.Since(0, 100), all[2:]},
		"last two":           {l.Last(2), all[3:]},
		"last of many":       {l.Last(100), all[2:]},
		"last none":          {l.Last(0), []int64{}},
	} {
		if got := ids(tt.got); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestIDsGrowOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := event.NewLog(10)
		var last int64
		for range 1000 {
			last = first.Append(event.Event{}).ID
		}
		kept := first.Since(0, 0)
		time.Sleep(time.Second)
		if id := event.NewLog(10).Append(event.Event{}).ID; id <= last {
			t.Errorf("id %d after a restart, %d before", id, last)
		}
		// A clock that went back must not bring ids back either.
		kept[9].ID = time.Now().Add(time.Hour).UnixMicro()
		second := event.NewLog(10)
		second.Restore(kept)
		if id := second.Append(event.Event{}).ID; id != kept[9].ID+1 {
			t.Errorf("id %d after restoring %d", id, kept[9].ID)
		}
		if got := second.Since(kept[5].ID, 2); len(got) != 2 || got[0].ID != kept[6].ID {
			t.Errorf("Since over a gap in the ids: %v", ids(got))
		}
	})
}

func TestSubscriberGetsTheKeptThenTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := event.NewLog(100)
		a := l.Append(event.Event{Text: "a"})
		l.Append(event.Event{Text: "b"})
		ctx, cancel := context.WithCancel(t.Context())
		all, rest := l.Subscribe(ctx, 0), l.Subscribe(ctx, a.ID)
		l.Append(event.Event{Text: "c"})
		cancel()
		synctest.Wait()
		l.Append(event.Event{Text: "d"}) // must not meet a closed channel
		var got [2]string
		for i, ch := range []<-chan event.Event{all, rest} {
			for e := range ch {
				got[i] += e.Text
			}
		}
		if got != [2]string{"abc", "bc"} {
			t.Errorf("subscribers got %q", got)
		}
	})
}

func TestSlowSubscriberLosesAndSeesTheGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := event.NewLog(5)
		ctx, cancel := context.WithCancel(t.Context())
		ch := l.Subscribe(ctx, l.LastID())
		for range 1000 {
			l.Append(event.Event{}) // would hang here if it waited
		}
		var last int64
		n := 0
		for len(ch) > 0 {
			last = (<-ch).ID
			n++
		}
		next := l.Append(event.Event{}).ID
		if got := (<-ch).ID; got != next || next == last+1 {
			t.Errorf("after %d of 1000 events, at id %d, came %d", n, last, got)
		}
		cancel()
		synctest.Wait()
	})
}

func TestEventsAreBounded(t *testing.T) {
	long := strings.Repeat("ä", 1<<20)
	attrs := map[string]string{"long": long}
	for i := range 1000 {
		attrs[fmt.Sprint("k", i)] = "v"
	}
	l := event.NewLog(1)
	l.Append(event.Event{Kind: long, Unit: long, Actor: long, Subject: long, Text: long + "\xff", Attrs: attrs})
	e := l.Last(1)[0]
	size := len(e.Kind) + len(e.Unit) + len(e.Actor) + len(e.Subject) + len(e.Text)
	for k, v := range e.Attrs {
		size += len(k) + len(v)
	}
	if size > 50<<10 || !strings.HasSuffix(e.Text, "ä…") || !utf8.ValidString(e.Text) {
		t.Errorf("%d bytes kept, text ends in %q", size, e.Text[len(e.Text)-6:])
	}
	attrs["k0"] = "changed"
	if got := l.Last(1)[0].Attrs["k0"]; got == "changed" {
		t.Error("the log shares the caller's map")
	}
}

func TestConcurrentAppendsGetTheirOwnIDs(t *testing.T) {
	l := event.NewLog(10000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ch := l.Subscribe(ctx, 0)
			last := int64(0)
			for range 200 {
				l.Append(event.Event{})
				if e := <-ch; e.ID <= last {
					t.Errorf("id %d after %d", e.ID, last)
				} else {
					last = e.ID
				}
			}
		})
	}
	wg.Wait()
	got := ids(l.Since(0, 0))
	if len(got) != 1600 || !slices.IsSorted(got) || len(slices.Compact(got)) != 1600 {
		t.Errorf("%d ids, sorted %v", len(got), slices.IsSorted(got))
	}
}
