package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// How long a unit that fell waits for its next try: doubling from the first to
// the last. A unit that ran longer than steady begins at the first again.
const (
	firstWait = time.Second
	lastWait  = time.Minute
	steady    = 5 * time.Minute
)

// A Group keeps units running. Use [NewGroup].
type Group struct {
	log   *slog.Logger
	units []Unit
	// Changed is called after a unit began to run, began to fail, or stopped; not
	// for each try of one that keeps failing. It must not block.
	Changed func(unit string, s State, err error)

	mu   sync.Mutex
	kick map[string]chan struct{} // ends a unit's wait, or its run
	busy map[string]context.CancelFunc
}

// NewGroup returns a group of units in the order in which they stop last.
func NewGroup(log *slog.Logger, units ...Unit) *Group {
	g := &Group{
		log: log, units: units, Changed: func(string, State, error) {},
		kick: map[string]chan struct{}{}, busy: map[string]context.CancelFunc{},
	}
	for _, u := range units {
		g.kick[u.Name()] = make(chan struct{}, 1)
	}
	return g
}

// Run runs all units until ctx ends, then stops them in reverse order, waiting
// for each at most grace and for all of them at most twice that, so that the
// process ends before somebody kills it.
func (g *Group) Run(ctx context.Context, grace time.Duration) {
	type run struct {
		name string
		stop context.CancelFunc
		done chan struct{}
	}
	var runs []run
	for _, u := range g.units {
		// Not ctx: a unit ends when its turn has come.
		uctx, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := run{u.Name(), stop, make(chan struct{})}
		runs = append(runs, r)
		go func() {
			defer close(r.done)
			g.keep(uctx, u)
		}()
	}
	<-ctx.Done()
	last := time.Now().Add(2 * grace)
	for i := len(runs) - 1; i >= 0; i-- {
		runs[i].stop()
		select {
		case <-runs[i].done:
		case <-time.After(min(grace, time.Until(last))):
			g.log.Error("unit did not stop in time", "unit", runs[i].name)
		}
	}
}

// keep runs one unit again and again until ctx ends.
func (g *Group) keep(ctx context.Context, u Unit) {
	wait, failing := firstWait, false
	began := func() {
		failing = false
		g.Changed(u.Name(), Running, nil)
	}
	for {
		rctx, cancel := context.WithCancel(ctx)
		g.mu.Lock()
		g.busy[u.Name()] = cancel
		g.mu.Unlock()
		start := time.Now()
		err := run(rctx, u, began)
		asked := rctx.Err() != nil && ctx.Err() == nil
		cancel()
		if ctx.Err() != nil {
			if err != nil {
				g.log.Warn("unit stopped with an error", "unit", u.Name(), "err", err)
			}
			enter(u, Stopped, nil)
			g.Changed(u.Name(), Stopped, nil)
			return
		}
		if asked {
			g.log.Info("unit restarts on request", "unit", u.Name())
			select { // the same request must not end a later wait
			case <-g.kick[u.Name()]:
			default:
			}
			continue
		}
		if time.Since(start) > steady {
			wait = firstWait
		}
		var p *PanicError
		if errors.As(err, &p) {
			g.log.Error("unit fell", "unit", u.Name(), "err", err, "dur", wait, "stack", string(p.Stack))
		} else {
			g.log.Error("unit fell", "unit", u.Name(), "err", err, "dur", wait)
		}
		enter(u, Failing, err)
		if !failing {
			failing = true
			g.Changed(u.Name(), Failing, err)
		}
		select {
		case <-ctx.Done():
		case <-g.kick[u.Name()]:
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
	}
}

// run runs u and calls began once it really runs, where u can tell.
func run(ctx context.Context, u Unit, began func()) error {
	if r, ok := u.(interface {
		run(context.Context, func()) error
	}); ok {
		return r.run(ctx, began)
	}
	began()
	return u.Run(ctx)
}

func enter(u Unit, s State, err error) {
	if e, ok := u.(interface{ enter(State, error) }); ok {
		e.enter(s, err)
	}
}

// Restart stops a unit and runs it again, or ends its wait for the next try.
func (g *Group) Restart(name string) error {
	kick, ok := g.kick[name]
	if !ok {
		return fmt.Errorf("there is no service %q", name)
	}
	select {
	case kick <- struct{}{}:
	default:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if cancel := g.busy[name]; cancel != nil {
		cancel()
	}
	return nil
}

// Status returns the status of every unit, in order.
func (g *Group) Status() []Status {
	out := make([]Status, 0, len(g.units))
	for _, u := range g.units {
		out = append(out, u.Status())
	}
	return out
}

// Ready reports whether every unit follows the document.
func (g *Group) Ready() bool {
	for _, u := range g.units {
		switch s := u.Status(); s.State {
		case Running, Off:
		default:
			return false
		}
	}
	return true
}
