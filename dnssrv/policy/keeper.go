package policy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"pic/core/config"
	"pic/internal/atomicfile"
)

const (
	pollFiles  = time.Minute // how often files of this machine are looked at
	firstRetry = 15 * time.Second
	lastRetry  = 4 * time.Hour
	fetches    = 3  // at the same time
	perName    = 20 // bytes of a list for each name, about
)

// A held is a list of the document and what is known of it.
type held struct {
	list   config.List
	copy   copied // zero: there is none
	stats  Stats
	err    error     // of the last refresh
	broken error     // of reading the copy
	since  time.Time // when err or broken began
	tries  int       // that failed in a row
	next   time.Time // when it is to be refreshed; zero: find out
	alien  bool      // the copy was saved and is not in the library yet
}

// Refresh looks at a list now, or with "" at all of them, and returns once it is
// in force. The error says why it is not.
func (e *Engine) Refresh(ctx context.Context, name string) error {
	e.mu.Lock()
	var due []*held
	known := name == ""
	for _, l := range e.c.conf.Filter.Lists {
		known = known || l.Name == name
		if h := e.lists[l.URL]; h != nil && !l.Disabled && (name == "" || l.Name == name) {
			due = append(due, h)
		}
	}
	e.mu.Unlock()
	if !known {
		return fmt.Errorf("there is no list %q in dns.filter.lists", name)
	}
	select {
	case e.work <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.work }()
	errs := []error{e.refresh(ctx, due)}
	if e.outdated() {
		errs = append(errs, e.build())
	}
	return errors.Join(errs...)
}

// keep refreshes lists when they are due, until ctx ends.
func (e *Engine) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-e.poke:
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case e.work <- struct{}{}:
		}
		if first {
			e.clean()
		}
		due, _ := e.due(time.Now())
		_ = e.refresh(ctx, due) // it is in the status
		if ctx.Err() == nil && e.outdated() {
			if err := e.build(); err != nil {
				e.log.Warn("lists are not in force", "err", err)
			}
		}
		<-e.work
		_, wait := e.due(time.Now())
		timer.Reset(wait)
	}
}

// clean removes what no list of the document is, once it is old. The caller holds
// work.
func (e *Engine) clean() {
	if e.opt.Dir == "" {
		return
	}
	e.mu.Lock()
	used := map[string]bool{}
	for url := range e.lists {
		used[url] = true
	}
	e.mu.Unlock()
	if err := e.store.clean(used, time.Now()); err != nil {
		e.log.Warn("copies of lists were not cleaned up", "err", err)
	}
}

// due returns the lists that are to be refreshed, and how long until the next.
func (e *Engine) due(now time.Time) (due []*held, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	wait = time.Hour
	if !e.c.on {
		return nil, wait
	}
	for _, h := range e.lists {
		if h.list.Disabled {
			continue
		}
		if h.next.IsZero() {
			h.next = now
			if !h.copy.checked.IsZero() && !isFile(h.list.URL) {
				h.next = h.copy.checked.Add(e.interval())
			}
		}
		// A clock that was set back must not keep lists from coming.
		if !now.Before(h.next) || h.next.Sub(now) > 2*e.refreshEvery()+lastRetry {
			due = append(due, h)
		} else {
			wait = min(wait, h.next.Sub(now))
		}
	}
	return due, wait
}

func isFile(url string) bool { return strings.HasPrefix(url, "/") }

func (e *Engine) refreshEvery() time.Duration {
	if d := time.Duration(e.c.conf.Filter.Refresh); d > 0 {
		return d
	}
	return 24 * time.Hour
}

// interval is how long a list is left alone; not the same for all, so that they
// do not come at once.
func (e *Engine) interval() time.Duration { return about10(e.refreshEvery()) }

// about10 is d, give or take ten percent.
func about10(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// refresh looks at lists, a few at the same time. The caller holds work.
func (e *Engine) refresh(ctx context.Context, due []*held) error {
	errs := make([]error, len(due))
	slots := make(chan struct{}, fetches)
	var wg sync.WaitGroup
	for i, h := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = e.refreshOne(ctx, h)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// refreshOne looks at one list. A list that cannot be had stays what it was.
func (e *Engine) refreshOne(ctx context.Context, h *held) (err error) {
	e.mu.Lock()
	url, name := h.list.URL, h.list.Name
	e.mu.Unlock()
	defer func() {
		if p := recover(); p != nil { // whatever a list holds, the cell goes on
			e.log.Error("a list broke the reader", "list", name, "err", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("list %s: it cannot be read", name)
		}
	}()
	st, changed, err := e.get(ctx, url)
	if ctx.Err() != nil && err != nil {
		return ctx.Err() // nobody's fault
	}
	var have copied
	if f, c, cerr := e.store.open(url); cerr == nil {
		f.Close()
		have = c
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	h.copy = have
	h.alien = h.alien || changed
	if err == nil || errors.Is(err, atomicfile.ErrUnsynced) {
		if st != nil {
			h.stats = *st
		}
		h.err, h.tries = nil, 0
		if h.broken == nil {
			h.since = time.Time{}
		}
		h.next = now.Add(e.interval())
		if isFile(url) {
			h.next = now.Add(pollFiles)
		}
		return nil
	}
	if h.err == nil && h.broken == nil {
		h.since = now
	}
	h.err = err
	h.next = now.Add(about10(min(firstRetry<<min(h.tries, 16), lastRetry)))
	h.tries++
	e.log.Warn("a list was not refreshed", "list", name, "err", err, "try", h.tries)
	return fmt.Errorf("list %s: %w", name, err)
}

// get fetches a list and saves it. st is nil where the copy is as before.
func (e *Engine) get(ctx context.Context, url string) (st *Stats, changed bool, err error) {
	if e.opt.Dir == "" {
		return nil, false, errNoDir
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	var have origin
	if f, c, err := e.store.open(url); err == nil {
		f.Close()
		have = c.origin
	}
	got, err := e.fetcher.fetch(ctx, url, have)
	if err != nil {
		return nil, false, err
	}
	if got.body == nil {
		e.store.confirm(url, time.Now())
		return nil, false, nil
	}
	defer got.body.Close()
	s, changed, err := e.store.save(got.origin, got.body)
	return &s, changed, err
}
