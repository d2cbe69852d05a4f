package policy

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

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
