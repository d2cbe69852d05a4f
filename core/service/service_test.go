package service

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pic/core/config"
)

// A fake serves a port number, refuses some, and can be made to fall.
type fake struct {
	mu      sync.Mutex
	applied []uint16
	refuse  map[uint16]error
	fall    chan error
	boom    bool
	runs    int
}

func port(d *config.Document) uint16 { return d.DNS.Port }

func (f *fake) Check(context.Context, uint16) error { return nil }

func (f *fake) Apply(_ context.Context, p uint16) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refuse[p]; err != nil {
		return err
	}
	f.applied = append(f.applied, p)
	return nil
}

func (f *fake) Run(ctx context.Context) error {
	f.mu.Lock()
	f.runs++
	boom := f.boom
	f.boom = false
	f.mu.Unlock()
	if boom {
		panic("boom")
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-f.fall:
		return err
	}
}

func doc(port uint16) *config.Document { return &config.Document{DNS: config.DNS{Port: port}} }

var errTaken = errors.New("taken")

func TestApplyOnlyWhenTheViewChanged(t *testing.T) {
	f := &fake{}
	u := Bind("dns", f, port)
	u.Restore(t.Context(), doc(1))
	for _, p := range []uint16{1, 2, 2, 1} {
		if err := u.Apply(t.Context(), doc(p)); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.applied) != 3 {
		t.Errorf("applied %v, want 1 2 1", f.applied)
	}
}

func TestRefusedApplyComesBackToTheOldConfig(t *testing.T) {
	f := &fake{refuse: map[uint16]error{2: errTaken}}
	u := Bind("dns", f, port)
	u.Restore(t.Context(), doc(1))
	if err := u.Apply(t.Context(), doc(2)); !errors.Is(err, errTaken) {
		t.Fatalf("got %v", err)
	}
	if last := f.applied[len(f.applied)-1]; last != 1 {
		t.Errorf("follows %d", last)
	}
}

// A unit that fails for reasons of its own must not keep the owner from
// changing something else.
func TestFailingUnitVetoesNothingElse(t *testing.T) {
	f := &fake{refuse: map[uint16]error{1: errTaken}}
	u := Bind("dns", f, port)
	if err := u.Restore(t.Context(), doc(1)); err == nil {
		t.Fatal("restored what is refused")
	}
	if s := u.Status(); s.State != Failing || len(s.Problems) != 1 {
		t.Errorf("status is %+v", s)
	}
	if err := u.Check(t.Context(), doc(1)); err != nil {
		t.Error(err)
	}
	if err := u.Apply(t.Context(), doc(1)); err != nil {
		t.Errorf("vetoed a change of others: %v", err)
	}
	if err := u.Apply(t.Context(), doc(3)); err != nil {
		t.Errorf("vetoed its own repair: %v", err)
	}
	if s := u.Status(); len(s.Problems) != 0 {
		t.Errorf("still complains: %+v", s.Problems)
	}
}

func TestGroupRestartsTheFallenWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fall: make(chan error), boom: true}
		u := Bind("dns", f, port)
		u.Restore(t.Context(), doc(1))
		g := NewGroup(slog.New(slog.DiscardHandler), u)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.Run(ctx, time.Second); close(done) }()
		synctest.Wait()
		if s := u.Status(); s.State != Failing || s.Restarts != 1 {
			t.Fatalf("after the panic: %+v", s)
		}
		time.Sleep(firstWait)
		synctest.Wait()
		if !g.Ready() || len(f.applied) != 2 {
			t.Fatalf("not restarted: %+v, applied %v", u.Status(), f.applied)
		}
		f.fall <- errTaken
		synctest.Wait()
		time.Sleep(firstWait)
		synctest.Wait()
		if g.Ready() {
			t.Error("the second wait is not longer")
		}
		time.Sleep(firstWait)
		synctest.Wait()
		if !g.Ready() {
			t.Error("not restarted after the second wait")
		}
		if err := g.Restart("dns"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if f.runs != 4 || !g.Ready() {
			t.Errorf("%d runs after a restart on request", f.runs)
		}
		if g.Restart("nothing") == nil {
			t.Error("restarted what is not there")
		}
		cancel()
		<-done
		if s := u.Status(); s.State != Stopped {
			t.Errorf("ended as %+v", s)
		}
	})
}

func TestFailingUnitIsTriedAgainUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{refuse: map[uint16]error{1: errTaken}}
		u := Bind("dns", f, port)
		u.Restore(t.Context(), doc(1))
		g := NewGroup(slog.New(slog.DiscardHandler), u)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go g.Run(ctx, time.Second)
		time.Sleep(10 * time.Second)
		f.mu.Lock()
		f.refuse = nil
		f.mu.Unlock()
		time.Sleep(lastWait)
		synctest.Wait()
		if !g.Ready() {
			t.Errorf("not back: %+v", u.Status())
		}
		cancel()
		synctest.Wait()
	})
}

// A switched-off unit runs and says that it is off.
func TestOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := Bind("dns", &fake{}, port, OffWhen(func(d *config.Document) bool { return d.DNS.Port == 0 }))
		u.Restore(t.Context(), doc(0))
		ctx, cancel := context.WithCancel(t.Context())
		go u.Run(ctx)
		synctest.Wait()
		if s := u.Status(); s.State != Off {
			t.Errorf("state is %s", s.State)
		}
		u.Apply(t.Context(), doc(5))
		if s := u.Status(); s.State != Running {
			t.Errorf("state is %s", s.State)
		}
		cancel()
		synctest.Wait()
	})
}

// A stuck server does not end when it should.
type stuck struct {
	fake
	free chan struct{}
}

func (s *stuck) Run(ctx context.Context) error {
	<-s.free
	return ctx.Err()
}

func TestUnitsThatDoNotStopAreNotWaitedForOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		var units []Unit
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			u := Bind(name, &stuck{free: free}, port)
			if err := u.Apply(t.Context(), doc(1)); err != nil {
				t.Fatal(err)
			}
			units = append(units, u)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		NewGroup(slog.New(slog.DiscardHandler), units...).Run(ctx, 10*time.Second)
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("five units that do not stop held the process for %v; two graces are enough", took)
		}
		close(free)
	})
}
