package dnssrv

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/iterate"
	"pic/dnssrv/upstream"
)

const (
	// patience is how long a question may take in all, so that a client hears
	// of a failure within two seconds.
	patience = 1700 * time.Millisecond
	// maxFlights is how many different questions may be under way at once.
	maxFlights = 256
	// maxTries is how many messages are sent for one question in all.
	maxTries = 6
	// maxHops is how many times an alias may lead to other upstreams.
	maxHops = 4
)

// A forwarder finds out what the cell does not know by asking upstream
// resolvers. It is what stands behind the [Server]'s seam for that. Its methods
// may be called from any goroutine.
type forwarder struct {
	cache *cache
	// judge checks an answer, asked for with DO and CD, by its signatures; nil:
	// nobody does. It may call fetch.
	judge func(context.Context, question, *dns.Msg) verdict
	// judges reports whether the answers of a group are to be judged.
	judges func(context.Context, *group) bool
	// dial connects through the VPN; nil: there is none.
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	options upstream.Options // of those that are not in the VPN
	// reaches reports whether name servers of the internet can be asked at all;
	// nil: nobody knows before.
	reaches func() bool
	relieve func() // sees to others; called now and then by who computes

	routing atomic.Pointer[routing]
	sent    atomic.Uint64 // questions that went upstream
	hits    atomic.Uint64 // questions answered from the cache
	staled  atomic.Uint64 // questions answered with what was over

	mu      sync.Mutex
	flights map[question]*flight
	running context.Context // of what nobody waits for
	closed  bool
	ids     uint32         // of groups
	wg      sync.WaitGroup // what is under way
}

// A flight is a question under way, for all who ask it meanwhile.
type flight struct {
	done   chan struct{}
	answer *answer // once done
}

func newForwarder(bytes int) *forwarder {
	f := &forwarder{cache: newCache(bytes, cacheEntries), flights: map[question]*flight{}, running: context.Background(), relieve: func() {}}
	f.options.Lookup = f.lookup
	g := &group{route: route{domain: root}}
	f.routing.Store(&routing{by: map[name]*group{root: g}, root: g})
	return f
}

// follow changes who is asked about what, and how. What is known of upstreams
// that stay is kept; the answers of groups that change are forgotten.
func (f *forwarder) follow(routes []route, c care) {
	old := f.routing.Load()
	next := &routing{by: map[name]*group{}, care: c}
	anew := !reflect.DeepEqual(old.care.treatment, c.treatment)
	used := map[*remote]bool{}
	for _, r := range routes {
		g := old.by[r.domain]
		if g == nil || anew || !g.same(r) {
			f.ids++
			g = &group{route: r, id: f.ids, ups: f.remotes(old, r)}
			if r.recurse {
				g.iter = f.iterator(r, c)
			}
		}
		for _, u := range g.ups {
			used[u] = true
		}
		next.by[r.domain] = g
	}
	next.root = next.by[root]
	f.cache.stale.Store(int64(c.stale))
	f.routing.Store(next)
	for _, g := range old.by {
		if next.by[g.domain] == g {
			continue
		}
		f.flush() // rare, and simpler than to pick
		if g.iter != nil {
			f.retire(g.iter.Close)
		}
		for _, u := range g.ups {
			if !used[u] {
				used[u] = true
				f.retire(u.via.Close)
			}
		}
	}
}

// remotes returns the upstreams of r, those of old where they are the same.
func (f *forwarder) remotes(old *routing, r route) []*remote {
	var ups []*remote
	for _, a := range r.upstreams {
		if slices.ContainsFunc(ups, func(u *remote) bool { return u.addr == a }) {
			continue // twice in the list
		}
		var u *remote
		for _, g := range old.by {
			for _, o := range g.ups {
				if o.addr == a && o.tunnel == r.tunnel {
					u = o
				}
			}
		}
		if u == nil {
			o := f.options
			if r.tunnel {
				o.Dial, o.Lookup = f.tunnel, nil
			}
			u = &remote{addr: a, label: a.String(), tunnel: r.tunnel, via: upstream.New(a, o)}
		}
		ups = append(ups, u)
	}
	return ups
}

// retire closes what is connected once nobody can be waiting for it.
func (f *forwarder) retire(closing func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	run := f.running
	f.wg.Go(func() {
		sleep(run, endurance)
		closing()
	})
}

// flush forgets all answers. Questions under way are asked again by whoever
// comes next.
func (f *forwarder) flush() {
	f.mu.Lock()
	clear(f.flights)
	f.mu.Unlock()
	f.cache.flush()
}

// open lets questions in, also after close, until run ends.
func (f *forwarder) open(run context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.running = false, run
}

// close lets no more questions in and waits for those under way, which the end
// of their context hurries. Upstreams are asked anew once it is opened and told
// whom to follow.
func (f *forwarder) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.wg.Wait()
	r := f.routing.Load()
	g := &group{route: route{domain: root}}
	f.routing.Store(&routing{by: map[name]*group{root: g}, root: g})
	for _, g := range r.by {
		for _, u := range g.ups {
			u.via.Close()
		}
		if g.iter != nil {
			g.iter.Close()
		}
	}
}

// cached answers from the cache alone.
func (f *forwarder) cached(q question) (reply, bool) {
	g := f.routing.Load().group(q)
	q.set = g.id
	now := time.Now()
	c := f.cache.find(q, now, g.up())
	if c.answer == nil {
		return reply{}, false
	}
	if c.ahead {
		f.renew(q)
	}
	r := c.answer.reply(c.age)
	if c.stale {
		f.staled.Add(1)
		r.stale = true
		return r, true
	}
	f.hits.Add(1)
	r.last(c.answer, now)
	return r, true
}

// last says until when r, made of a, may be kept elsewhere. Failures may be over
// at any time.
func (r *reply) last(a *answer, now time.Time) {
	if !a.failed && r.age < a.life {
		r.born, r.life = now.Add(-r.age), a.life
	}
}

// prefetch asks for what is kept and will soon be over. Who keeps answers
// elsewhere calls it for those still wanted in the last tenth of their time.
func (f *forwarder) prefetch(q question) {
	g := f.routing.Load().group(q)
	q.set = g.id
	if f.cache.find(q, time.Now(), g.up()).ahead {
		f.renew(q)
	}
}

func (a *answer) reply(age time.Duration) reply {
	r := reply{rcode: a.rcode, age: age, tail: a.aged(age), counts: a.counts, ede: a.ede, secure: a.secure, aliases: a.aliases, upstream: a.from}
	return r
}

// renew asks for what is kept, and wanted, before its time is over.
func (f *forwarder) renew(q question) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.flights[q] != nil || len(f.flights) >= maxFlights/2 {
		return
	}
	fl := &flight{done: make(chan struct{})}
	f.flights[q] = fl
	run, limit := f.running, patience
	if f.routing.Load().group(q).iter != nil {
		limit = endurance
	}
	f.wg.Go(func() {
		ctx, cancel := context.WithTimeout(run, limit)
		defer cancel()
		f.fly(iterate.Budget(ctx), q, fl)
	})
}

// resolve asks the upstreams, or joins who is asking them already. It always
// has an answer by the time that patience is over; run ends all questions.
func (f *forwarder) resolve(run context.Context, q question) reply {
	if f.routing.Load().group(q).iter != nil {
		return f.endure(run, q)
	}
	ctx, cancel := context.WithTimeout(run, patience)
	defer cancel()
	a, age := f.through(ctx, q)
	return f.told(a, age)
}

// told is a as clients are told.
func (f *forwarder) told(a *answer, age time.Duration) reply {
	r := a.reply(age)
	if a.ede == edeStale || a.ede == edeStaleNX {
		f.staled.Add(1)
		r.stale = true
		return r
	}
	r.last(a, time.Now())
	return r
}

// through finds the answer to q by the cache, by a flight that is under way, or
// by one of its own, and says how old it is.
func (f *forwarder) through(ctx context.Context, q question) (*answer, time.Duration) {
	g := f.routing.Load().group(q)
	q.set = g.id
	f.mu.Lock()
	fl := f.flights[q]
	if fl == nil {
		// Since the caller looked, it may have come: what lands is kept before it
		// is no longer under way.
		if c := f.cache.find(q, time.Now(), g.up()); c.answer != nil {
			f.mu.Unlock()
			f.hits.Add(1)
			if c.ahead {
				f.renew(q)
			}
			return c.answer, c.age
		}
		if f.closed || len(f.flights) >= maxFlights {
			f.mu.Unlock()
			return failed(edeBusy), 0
		}
		fl = &flight{done: make(chan struct{})}
		f.flights[q] = fl
		f.wg.Add(1)
		f.mu.Unlock()
		defer f.wg.Done()
		f.fly(ctx, q, fl)
		return fl.answer, 0
	}
	f.mu.Unlock()
	select {
	case <-fl.done:
		if fl.answer.alone && ctx.Err() == nil && !iterate.Spent(ctx) {
			return f.through(ctx, q)
		}
		return fl.answer, 0
	case <-ctx.Done():
		if a := f.cache.old(q, time.Now()); a != nil {
			return a, 0
		}
		return failed(edeUnreachable), 0
	}
}

// fly answers one question for all who wait.
func (f *forwarder) fly(ctx context.Context, q question, fl *flight) {
	epoch := f.cache.now()
	defer func() {
		if p := recover(); p != nil || fl.answer == nil {
			fl.answer = failed(edeInvalid)
		}
		f.mu.Lock()
		if f.flights[q] == fl {
			delete(f.flights, q)
		}
		f.mu.Unlock()
		close(fl.done)
	}()
	r := f.routing.Load()
	g := r.group(q)
	if g.id != q.set {
		fl.answer = failed(edeBusy) // the document has just changed
		return
	}
	a := f.obtain(ctx, r, g, q)
	now := time.Now()
	if a.failed && alone(ctx) {
		b := *a
		b.alone = true
		a = &b
	} else {
		f.cache.put(q, a, now, epoch)
	}
	if a.failed {
		if old := f.cache.old(q, now); old != nil {
			a = old
		}
	}
	fl.answer = a
}

type withinKey struct{}

// within is ctx for a question that another one leads to.
func within(ctx context.Context) context.Context { return context.WithValue(ctx, withinKey{}, true) }

// alone reports whether a failure of a question with ctx is about who asked it:
// he went away, or another question that led to this one took the time or the
// messages that it would have needed. Such failures are not kept, or whoever can
// have the cell ask for his names could have it fail on those of others.
func alone(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled) || ctx.Value(withinKey{}) != nil && (ctx.Err() != nil || iterate.Spent(ctx))
}

func failed(why *ede) *answer {
	return &answer{rcode: dns.RcodeServerFailure, ede: why, life: failureLife, failed: true}
}
