package service

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"pic/core/config"
	"pic/internal/order"
)

// Bind ties a server to the document through view, a pure function. The server's
// Apply is called only when view's result differs from what was last applied, or
// when that is in doubt. Panics of the server become errors.
func Bind[C any](name string, s Server[C], view func(*config.Document) C, opts ...Option) Unit {
	b := &bound{
		name: name, server: typed[C]{s}, view: func(d *config.Document) any { return view(d) },
		state: Starting, since: time.Now(),
	}
	b.reporter, _ = s.(Reporter)
	for _, o := range opts {
		o(&b.options)
	}
	return b
}

// An Option of [Bind].
type Option func(*options)

type options struct {
	off func(*config.Document) bool
}

// OffWhen tells which documents switch the unit off, for its status.
func OffWhen(off func(*config.Document) bool) Option {
	return func(o *options) { o.off = off }
}

// typed hands a server its config. It is all that depends on C, so that the rest
// is compiled once and not for every server.
type typed[C any] struct{ Server[C] }

func (t typed[C]) Check(ctx context.Context, c any) error { return t.Server.Check(ctx, c.(C)) }
func (t typed[C]) Apply(ctx context.Context, c any) error { return t.Server.Apply(ctx, c.(C)) }

type bound struct {
	name     string
	server   Server[any]
	reporter Reporter // nil: the server tells nothing of itself
	view     func(*config.Document) any
	options

	apply sync.Mutex // held while the server's Apply runs
	want  any        // what the document in force asks for
	ok    bool       // the server follows want
	known bool       // want has been set

	mu       sync.Mutex // guards what follows
	state    State
	since    time.Time
	began    time.Time
	restarts int
	fault    error // why it is failing
	isOff    bool
}

func (b *bound) Name() string { return b.name }

func (b *bound) Check(ctx context.Context, next *config.Document) (err error) {
	defer capture(&err) // the view's panics too
	c := b.view(next)
	b.apply.Lock()
	same := b.known && reflect.DeepEqual(b.want, c)
	b.apply.Unlock()
	if same {
		return nil // whether it can be followed is settled; it vetoes nothing
	}
	return b.server.Check(ctx, c)
}

func (b *bound) Apply(ctx context.Context, next *config.Document) (err error) {
	defer capture(&err)
	c := b.view(next)
	b.apply.Lock()
	defer b.apply.Unlock()
	if b.known && reflect.DeepEqual(b.want, c) {
		if !b.ok {
			b.try(ctx) // failing before, for reasons of its own: no veto
		}
		return nil
	}
	if err := b.call(ctx, c); err != nil {
		// The server says that it follows the old config still; make sure, even if
		// whoever asked for the change has gone meanwhile.
		b.ok = false
		b.try(context.WithoutCancel(ctx))
		return err
	}
	b.want, b.known, b.ok = c, true, true
	b.settled(next)
	return nil
}

func (b *bound) Restore(ctx context.Context, d *config.Document) (err error) {
	defer capture(&err)
	c := b.view(d)
	b.apply.Lock()
	defer b.apply.Unlock()
	if b.known && b.ok && reflect.DeepEqual(b.want, c) {
		return nil
	}
	b.want, b.known, b.ok = c, true, false
	err = b.try(ctx)
	b.settled(d)
	return err
}

// try makes the server follow want. The caller holds apply.
func (b *bound) try(ctx context.Context) error {
	if !b.known {
		return nil
	}
	err := b.call(ctx, b.want)
	b.ok = err == nil
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = err
	return err
}

func (b *bound) call(ctx context.Context, c any) (err error) {
	defer capture(&err)
	return b.server.Apply(ctx, c)
}

func (b *bound) settled(d *config.Document) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.isOff = b.off != nil && b.off(d)
	if b.ok {
		b.fault = nil
	}
}

// again is how often a running unit that does not follow the document tries to.
const again = 5 * time.Second

// Run applies what the document asks for unless that is done already, and runs
// the server. It returns nil when ctx ended it.
func (b *bound) Run(ctx context.Context) error { return b.run(ctx, func() {}) }

// run is Run; it calls began once the unit follows the document and runs.
func (b *bound) run(ctx context.Context, began func()) (err error) {
	b.apply.Lock()
	if !b.ok {
		err = b.try(ctx)
	}
	if err == nil {
		b.enter(Running, nil) // before any other Apply can set a fault
	}
	b.apply.Unlock()
	if err != nil {
		return err
	}
	began()
	hctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { b.heal(hctx) })
	func() {
		defer capture(&err)
		err = b.server.Run(ctx)
	}()
	stop()
	wg.Wait()
	b.apply.Lock()
	b.ok = false // whatever it held, it has let go
	b.apply.Unlock()
	if err == nil && ctx.Err() == nil {
		err = errors.New("it ended by itself")
	}
	return err
}

// heal makes a running server follow the document that it could not follow when
// it was asked to, such as after an undo that failed, until ctx ends.
func (b *bound) heal(ctx context.Context) {
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.apply.Lock()
		if !b.ok && ctx.Err() == nil {
			b.try(ctx)
		}
		b.apply.Unlock()
	}
}

// enter records a change of state; it is called by Run and by the Group.
func (b *bound) enter(s State, fault error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch s {
	case Failing:
		b.restarts++
	case Running:
		b.began = time.Now()
	}
	if b.state != s {
		b.state, b.since = s, time.Now()
	}
	b.fault = fault
}

func (b *bound) Status() Status {
	b.mu.Lock()
	st := Status{Name: b.name, State: b.state, Since: b.since, Began: b.began, Restarts: b.restarts}
	if b.isOff && b.state == Running {
		st.State = Off
	}
	if b.fault != nil {
		if st.State == Running || st.State == Starting {
			st.State = Failing
		}
		st.Problems = append(st.Problems, Problem{
			Code: b.name + "/failing", Title: b.name + " does not work", Text: b.fault.Error(),
			Fix:      "Correct the cause; the cell tries again by itself.",
			Severity: Failure, Since: b.since,
		})
	}
	b.mu.Unlock()
	if r := b.reporter; r != nil {
		st.Problems = append(st.Problems, r.Problems()...)
		st.Sockets = r.Sockets()
		st.Facts = r.Facts()
	}
	order.Stable(st.Problems, func(a, c Problem) int { return severity(c.Severity) - severity(a.Severity) })
	return st
}

func severity(s Severity) int {
	if s == Failure {
		return 1
	}
	return 0
}

// A PanicError is a panic of a server, caught.
type PanicError struct {
	Value string
	Stack []byte
}

func (e *PanicError) Error() string { return "a defect made it stop: " + e.Value }

// capture turns a panic into an error; it is deferred.
func capture(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{fmt.Sprint(v), debug.Stack()}
	}
}
