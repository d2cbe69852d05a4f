package service

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pic/core/config"
)

func (f *fake) refuses(p uint16, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = map[uint16]error{p: err}
}

// A refused change whose undo failed leaves a unit that runs and follows nothing
// of the document: it must come back without a restart or another change.
func TestRunningUnitHealsAfterAFailedUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		u := Bind("dns", f, port)
		u.Restore(t.Context(), doc(1))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- u.Run(ctx) }()
		synctest.Wait()
		if err := u.Apply(t.Context(), doc(2)); err != nil {
			t.Fatal(err)
		}
		f.refuses(1, errTaken)
		if err := u.Restore(t.Context(), doc(1)); err == nil {
			t.Fatal("restored what is refused")
		}
		if s := u.Status(); s.State != Failing {
			t.Fatalf("state is %s", s.State)
		}
		f.refuses(1, nil)
		time.Sleep(2 * again)
		synctest.Wait()
		if s := u.Status(); s.State != Running || f.applied[len(f.applied)-1] != 1 {
			t.Errorf("state is %s, follows %v", s.State, f.applied)
		}
		n := len(f.applied)
		time.Sleep(10 * again)
		if len(f.applied) != n {
			t.Errorf("a healthy unit is applied again and again: %v", f.applied)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The timeline would drown in a unit that fails for days.
func TestGroupTellsOfAFailureOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{refuse: map[uint16]error{1: errTaken}}
		u := Bind("dns", f, port)
		u.Restore(t.Context(), doc(1))
		g := NewGroup(slog.New(slog.DiscardHandler), u)
		var told []State
		g.Changed = func(_ string, s State, _ error) { told = append(told, s) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.Run(ctx, time.Second); close(done) }()
		time.Sleep(time.Hour)
		f.refuses(1, nil)
		time.Sleep(lastWait + time.Second)
		cancel()
		<-done
		if want := []State{Failing, Running, Stopped}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

// A defect in a view must not leave a change half applied.
func TestPanicOfAViewIsARefusal(t *testing.T) {
	u := Bind("dns", &fake{}, func(d *config.Document) uint16 {
		if d.DNS.Port == 2 {
			panic("boom")
		}
		return d.DNS.Port
	})
	if err := u.Restore(t.Context(), doc(1)); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context, *config.Document) error{
		"check": u.Check, "apply": u.Apply, "restore": u.Restore,
	} {
		if err := call(t.Context(), doc(2)); err == nil || !strings.Contains(fmt.Sprint(err), "boom") {
			t.Errorf("%s: %v", name, err)
		}
		if err := call(t.Context(), doc(1)); err != nil {
			t.Errorf("%s: holds a lock or forgot what it follows: %v", name, err)
		}
	}
}
