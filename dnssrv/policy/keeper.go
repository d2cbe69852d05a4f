package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
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

// ListStatus is how a list is doing.
type ListStatus struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	Allow    bool   `json:"allow"`
	Disabled bool   `json:"disabled"`
	Stats
	Bytes   int64         `json:"bytes"`            // of the copy on disk
	Updated time.Time     `json:"updated,omitzero"` // when its content last changed
	Checked time.Time     `json:"checked,omitzero"` // when that was last found to be so
	Age     time.Duration `json:"age"`              // since Checked
	Next    time.Time     `json:"next,omitzero"`    // when it is looked at again
	Error   string        `json:"error,omitempty"`  // why it could not be refreshed
	Since   time.Time     `json:"since,omitzero"`   // how long that has been so
}

// Status returns how the lists are doing, in the order of the document.
func (e *Engine) Status() []ListStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	out := []ListStatus{}
	for _, l := range e.c.conf.Filter.Lists {
		st := ListStatus{Name: l.Name, URL: l.URL, Allow: l.Allow, Disabled: l.Disabled}
		if h := e.lists[l.URL]; h != nil {
			st.Stats, st.Bytes, st.Next, st.Since = h.stats, h.copy.size, h.next, h.since
			st.Updated, st.Checked = h.copy.Changed, h.copy.checked
			st.Samples = slices.Clone(h.stats.Samples)
			if n := st.Leading; n > 0 && !l.Rewrite {
				st.Rules, st.Skipped = st.Rules-n, st.Skipped+n
				st.Samples = append([]string{fmt.Sprintf(
					"%d rules send names to other names or addresses, which this list may not; set its rewrite in dns.filter.lists if you trust it with that", n)}, st.Samples...)
			}
			if !st.Checked.IsZero() {
				st.Age = max(0, now.Sub(st.Checked))
			}
			if err := cmp.Or(h.err, h.broken); err != nil {
				st.Error = err.Error()
			}
		}
		out = append(out, st)
	}
	return out
}

// Memory is how many bytes the names of lists take.
func (e *Engine) Memory() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lib == nil || e.lib.table == nil {
		return 0
	}
	return e.lib.table.Bytes()
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

// outdated reports whether the library is not of the copies of the lists that
// are in use.
func (e *Engine) outdated() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	var have []string
	if e.lib != nil {
		have = e.lib.urls
	}
	urls := e.wanted()
	for _, url := range urls {
		if e.lists[url].alien {
			return true
		}
	}
	return !slices.Equal(urls, have)
}

// wanted are the lists that a library should have, in the order of the document.
// The caller holds mu.
func (e *Engine) wanted() []string {
	var urls []string
	if !e.c.on {
		return nil // nor is their memory needed
	}
	for _, l := range e.c.conf.Filter.Lists {
		h := e.lists[l.URL]
		if !l.Disabled && h != nil && !h.copy.checked.IsZero() && !slices.Contains(urls, l.URL) && len(urls) < maxLists {
			urls = append(urls, l.URL)
		}
	}
	return urls
}

// guess is how many names lists of so many bytes have, to judge by those before.
func (e *Engine) guess(size int64) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if had := e.lib.names(); e.bytes > 0 && had > 0 {
		return int(float64(size) / float64(e.bytes) * float64(had))
	}
	return int(size / perName)
}

// build makes a library of the copies on disk and puts it in force. The caller
// holds work.
func (e *Engine) build() error {
	start := time.Now()
	e.mu.Lock()
	urls := e.wanted()
	size := int64(0)
	for _, url := range urls {
		size += e.lists[url].copy.size
		e.lists[url].alien = false
	}
	e.mu.Unlock()
	shelf, err := newShelf(e.guess(size))
	if err != nil {
		return err
	}
	stats, broken := map[string]Stats{}, map[string]error{}
	for _, url := range urls {
		f, _, err := e.store.open(url)
		if err != nil {
			// It takes its number all the same, so that the library is of these lists.
			_, _ = shelf.add(url, strings.NewReader(""))
			broken[url] = err
			continue
		}
		st, err := shelf.add(url, f)
		f.Close()
		stats[url], broken[url] = st, err
	}
	lib, err := shelf.library()
	if err != nil {
		return err
	}
	var errs []error
	e.mu.Lock()
	for _, url := range urls {
		h, err := e.lists[url], broken[url]
		if err != nil {
			errs = append(errs, fmt.Errorf("list %s: %w", url, err))
		}
		if h == nil {
			continue
		}
		if err != nil && h.err == nil && h.broken == nil {
			h.since = start
		}
		h.stats, h.broken = stats[url], err
	}
	e.lib, e.bytes = lib, size
	e.publish()
	e.mu.Unlock()
	// The library before, and what reading left, is not to be held any longer than
	// queries that use it.
	debug.FreeOSMemory()
	e.log.Info("lists in force", "lists", len(urls), "names", lib.names(), "dur", time.Since(start))
	return errors.Join(errs...)
}
