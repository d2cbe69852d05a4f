package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"pic/core/config"
	"pic/internal/faultfs"
)

// Options are what an Engine stands on. Log is required.
type Options struct {
	Log *slog.Logger
	// Dir is the folder where copies of lists and pauses are kept. It need not exist;
	// without one there are no lists, and pauses end with the process.
	Dir string
	// MAC returns the hardware address of a neighbour, as aa:bb:cc:dd:ee:ff, or
	// nothing. It is asked about a client twice a minute at most.
	MAC func(netip.Addr) string
	// Resolve finds the addresses of hosts that have lists.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// An Engine keeps lists and makes Sets. Use [New]. Its methods may be called from
// any goroutine, but for Apply and Run, of which only one at a time.
type Engine struct {
	opt     Options
	log     *slog.Logger
	store   store
	fetcher *fetcher
	now     func() time.Time // in the zone of the host

	current atomic.Pointer[Set]
	poke    chan struct{} // the keeper should look again
	tick    chan struct{} // the clock should
	work    chan struct{} // held by who refreshes lists or makes a library

	mu     sync.Mutex
	c      *compiled
	lib    *library
	bytes  int64            // of the lists in lib
	lists  map[string]*held // by URL: those of the document
	pauses map[string]time.Time
	state  string // of schedules and pauses in current

	recalled bool // pauses were read from disk
}

// New returns an Engine that filters nothing until the first Apply.
func New(o Options) *Engine {
	e := &Engine{
		opt: o, log: o.Log, store: store{faultfs.OS, filepath.Join(o.Dir, "lists"), maxList}, fetcher: newFetcher(o.Resolve), now: time.Now,
		poke: make(chan struct{}, 1), tick: make(chan struct{}, 1), work: make(chan struct{}, 1),
		lists: map[string]*held{}, pauses: map[string]time.Time{},
	}
	e.c, _ = compile(Config{}) // nothing in it can be wrong
	e.mu.Lock()
	defer e.mu.Unlock()
	e.publish()
	return e
}

// Current returns what counts now. It is never nil, and another only where
// something else counts.
func (e *Engine) Current() *Set { return e.current.Load() }

// Check is [Check].
func (e *Engine) Check(c Config) error { return Check(c) }

// Apply makes the Engine follow c. The first Apply reads the copies of lists that
// are on disk, a second for each million names, so that they count before the
// first query; lists that come later count once Run has them.
func (e *Engine) Apply(c Config) error {
	follow, err := e.Prepare(c)
	if err != nil {
		return err
	}
	follow()
	return nil
}

// Prepare is Apply in two steps, of which the second cannot fail.
func (e *Engine) Prepare(c Config) (follow func(), err error) {
	k, err := compile(c)
	if err != nil {
		return nil, err
	}
	return func() { e.apply(k) }, nil
}

func (e *Engine) apply(k *compiled) {
	e.mu.Lock()
	e.c = k
	e.recallPauses()
	e.follow(k.conf.Filter.Lists)
	first := (e.lib == nil || len(e.lib.urls) == 0) && len(e.wanted()) > 0
	e.mu.Unlock()
	if first {
		select {
		case e.work <- struct{}{}:
			if err := e.build(); err != nil {
				e.log.Warn("lists are not in force", "err", err)
			}
			<-e.work
		default: // who is at work will see to it
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.publish()
	nudge(e.poke)
	nudge(e.tick)
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// publish makes the Set of this moment. The caller holds mu.
func (e *Engine) publish() {
	now := e.now()
	paused := map[string]bool{}
	for group, until := range e.pauses {
		if now.Before(until) {
			paused[group] = true
		} else {
			delete(e.pauses, group)
		}
	}
	e.state = e.moment(now)
	e.current.Store(newSet(e.c, e.lib, e.opt.MAC, func(g string) bool { return paused[g] }, now))
}

// moment says which schedules and pauses count, for comparison.
func (e *Engine) moment(now time.Time) string {
	var b []byte
	for _, g := range e.c.groups {
		for i := range g.schedules {
			b = fmt.Append(b, g.schedules[i].active(now))
		}
		b = fmt.Append(b, now.Before(e.pauses[g.name]), " ")
	}
	return string(fmt.Append(b, now.Before(e.pauses[""])))
}

// Run refreshes lists and follows the clock until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { e.keep(ctx) })
	e.clock(ctx)
	wg.Wait()
	e.fetcher.client.CloseIdleConnections()
	return nil
}

// turns is how long a client is taken for what its MAC address said.
const turns = 30 * time.Second

// clock makes a new Set whenever a schedule or a pause begins or ends, which is
// looked for at each full minute.
func (e *Engine) clock(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.tick:
		case <-timer.C:
		}
		now := e.now()
		e.mu.Lock()
		if e.moment(now) != e.state {
			e.publish()
			e.log.Info("what is filtered changed with the time")
		}
		next := now.Truncate(time.Minute).Add(time.Minute).Sub(now)
		next = min(next, turns)
		for _, until := range e.pauses {
			next = min(next, max(until.Sub(now), time.Millisecond))
		}
		e.mu.Unlock()
		e.Current().turn.Add(1)
		timer.Reset(next)
	}
}

var errNoDir = errors.New("there is no folder to keep lists in")

// follow changes which lists there are. The caller holds mu.
func (e *Engine) follow(lists []config.List) {
	old := e.lists
	e.lists = map[string]*held{}
	for _, l := range lists {
		h := old[l.URL]
		if h == nil {
			h = &held{}
			if f, c, err := e.store.open(l.URL); err == nil {
				f.Close()
				h.copy = c
			}
		}
		if was := h.list; was.Disabled && !l.Disabled || was.URL == "" {
			h.next = time.Time{} // it is due by its age
		}
		h.list = l
		if e.lists[l.URL] == nil || e.lists[l.URL].list.Disabled {
			e.lists[l.URL] = h
		}
	}
}
