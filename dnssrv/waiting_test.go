package dnssrv

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A burst of one client is served late and not lost, and takes nothing from
// others.
func TestABurstWaitsInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := waiting{by: map[addr]*standing{}}
		one, other := addr{}, from(fromLAN).from
		for i := range maxPerHost {
			if !w.queue(t.Context(), one) {
				t.Fatalf("query %d got no place", i)
			}
		}
		got := make(chan bool, 2*maxInLine)
		for range maxInLine + 5 {
			go func() { got <- w.queue(t.Context(), one) }()
		}
		synctest.Wait()
		if len(got) != 5 {
			t.Fatalf("%d were turned away, want 5", len(got))
		}
		for range 5 {
			<-got
		}
		if !w.enter(other) {
			t.Error("others wait for one client")
		}
		for range 3 {
			w.leave(one)
		}
		synctest.Wait()
		if len(got) != 3 || !<-got || !<-got || !<-got {
			t.Error("places that are free again do not go to those in line")
		}
		began := time.Now()
		for range maxInLine - 3 {
			if <-got {
				t.Fatal("somebody got a place that nobody left")
			}
		}
		if d := time.Since(began); d != inLine {
			t.Errorf("they waited %v", d)
		}
		for range maxPerHost {
			w.leave(one)
		}
		w.leave(other)
		if w.total != 0 || w.lines != 0 || len(w.by) != 0 {
			t.Errorf("in the end there are %d, %d in line, %d clients", w.total, w.lines, len(w.by))
		}
	})
}

func TestWhoIsInLineLeavesWithTheServer(t *testing.T) {
	w := waiting{by: map[addr]*standing{}}
	for range maxPerHost {
		w.queue(t.Context(), addr{})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w.queue(ctx, addr{}) || w.lines != 0 {
		t.Error("it waits still")
	}
}
