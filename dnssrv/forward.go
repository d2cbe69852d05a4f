package dnssrv

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// patience is how long a question may take in all, so that a client hears
	// of a failure within two seconds.
	patience = 1700 * time.Millisecond
	// maxFlights is how many different questions may be under way at once.
	maxFlights = 256
	// maxTries is how many times a question is sent in all.
	maxTries = 6
)

// A forwarder finds out what the cell does not know by asking upstream
// resolvers. It is what stands behind the [Server]'s seam for that. Its methods
// may be called from any goroutine.
type forwarder struct {
	cache *cache
	// judge checks an answer, asked for with DO and CD, by its signatures; nil:
	// nobody does. It may call fetch.
	judge func(context.Context, question, *dns.Msg) verdict

	ups  atomic.Pointer[[]*upstream]
	sent atomic.Uint64 // questions that went upstream
	hits atomic.Uint64 // questions answered from the cache

	mu      sync.Mutex
	flights map[question]*flight
	closed  bool
	wg      sync.WaitGroup // what is under way
}

// A flight is a question under way, for all who ask it meanwhile.
type flight struct {
	done   chan struct{}
	answer *answer   // once done
	landed time.Time // the same; zero: it is not kept
	epoch  uint64
}

func newForwarder() *forwarder {
	f := &forwarder{cache: newCache(cacheBytes, cacheEntries), flights: map[question]*flight{}}
	f.ups.Store(&[]*upstream{})
	return f
}

// follow changes the upstreams. What is known of those that stay is kept; the
// answers of others are forgotten.
func (f *forwarder) follow(addrs []netip.AddrPort) {
	old := *f.ups.Load()
	var ups []*upstream
	for _, a := range addrs {
		i := slices.IndexFunc(old, func(u *upstream) bool { return u.addr == a })
		j := slices.IndexFunc(ups, func(u *upstream) bool { return u.addr == a })
		switch {
		case j >= 0: // twice in the list
		case i >= 0:
			ups = append(ups, old[i])
		default:
			ups = append(ups, &upstream{addr: a})
		}
	}
	if slices.Equal(old, ups) {
		return
	}
	f.ups.Store(&ups)
	f.flush()
}

// flush forgets all answers. Questions under way are asked again by whoever
// comes next.
func (f *forwarder) flush() {
	f.mu.Lock()
	clear(f.flights)
	f.mu.Unlock()
	f.cache.flush()
}

// open lets questions in again after close.
func (f *forwarder) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = false
}

// close lets no more questions in and waits for those under way, which the end
// of their context hurries.
func (f *forwarder) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.wg.Wait()
}

// cached answers from the cache alone.
func (f *forwarder) cached(q question) (reply, bool) {
	now := time.Now()
	a, age, ok := f.cache.get(q, now)
	if !ok {
		return reply{}, false
	}
	f.hits.Add(1)
	r := a.reply(age)
	r.born, r.age, r.life = now.Add(-age), age, a.life
	return r, true
}

func (a *answer) reply(age time.Duration) reply {
	return reply{rcode: a.rcode, tail: a.aged(age), counts: a.counts, ede: a.ede}
}

// resolve asks the upstreams, or joins who is asking them already. It always
// has an answer by the time that patience is over; run ends all questions.
func (f *forwarder) resolve(run context.Context, q question) reply {
	f.mu.Lock()
	fl := f.flights[q]
	if fl == nil {
		// Since the caller looked, it may have come: what lands is kept before it
		// is no longer under way.
		if a, age, ok := f.cache.get(q, time.Now()); ok {
			f.mu.Unlock()
			f.hits.Add(1)
			r := a.reply(age)
			r.born, r.age, r.life = time.Now().Add(-age), age, a.life
			return r
		}
		if f.closed || len(f.flights) >= maxFlights {
			f.mu.Unlock()
			return failure(edeBusy)
		}
		fl = &flight{done: make(chan struct{}), epoch: f.cache.now()}
		f.flights[q] = fl
		f.wg.Go(func() { f.fly(run, q, fl) })
	}
	f.mu.Unlock()
	<-fl.done
	r := fl.answer.reply(0)
	r.born, r.life = fl.landed, fl.answer.life
	return r
}

// fly answers one question for all who wait.
func (f *forwarder) fly(run context.Context, q question, fl *flight) {
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
	ctx, cancel := context.WithTimeout(run, patience)
	defer cancel()
	f.sent.Add(1)
	fl.answer = f.race(ctx, q)
	if fl.answer.life > 0 {
		fl.landed = time.Now()
	}
	f.cache.put(q, fl.answer, time.Now(), fl.epoch)
}

func failed(why *ede) *answer {
	return &answer{rcode: dns.RcodeServerFailure, ede: why, life: failureLife, failed: true}
}

// A try is what came of one message.
type try struct {
	from   *upstream
	answer *answer
	err    error
}

// race asks the best upstream, and others too when that takes long or fails.
// The first answer counts.
func (f *forwarder) race(ctx context.Context, q question) *answer {
	order := f.order(q)
	if len(order) == 0 {
		return failed(edeNoUpstream)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan try, maxTries)
	out := map[*upstream]bool{} // answered that it will not answer
	tries, flying, next := 0, 0, 0
	launch := func() time.Duration {
		for range order {
			u := order[next%len(order)]
			next++
			if out[u] {
				continue
			}
			tries, flying = tries+1, flying+1
			f.wg.Go(func() {
				t := try{from: u, err: errNonsense}
				defer func() {
					recover() // a message that breaks the decoder is no answer
					results <- t
				}()
				t.answer, t.err = u.ask(ctx, q)
			})
			return u.patience()
		}
		return patience // nobody is left
	}
	timer := time.NewTimer(launch())
	defer timer.Stop()
	why := edeUnreachable
	for {
		select {
		case t := <-results:
			if t.err == nil {
				return t.answer
			}
			flying--
			out[t.from] = true
			why = blame(why, t.err)
			if len(out) < len(order) && tries < maxTries {
				timer.Reset(launch())
			} else if flying == 0 {
				return failed(why)
			}
		case <-timer.C:
			if tries < maxTries {
				timer.Reset(launch())
			}
		case <-ctx.Done():
			return failed(why)
		}
	}
}

// blame picks the reason that says the most about what went wrong.
func blame(have *ede, err error) *ede {
	var u *upstreamError
	switch {
	case errors.As(err, &u) && u.ede != nil:
		return u.ede
	case errors.As(err, &u):
		return edeRefused
	case errors.Is(err, errNonsense):
		return edeInvalid
	}
	return have
}

var test = mustName("test")

// order returns the upstreams that may be asked q, the most promising first.
func (f *forwarder) order(q question) []*upstream {
	ups := slices.Clone(*f.ups.Load())
	if q.name.below(test) {
		ups = slices.DeleteFunc(ups, func(u *upstream) bool { return !u.addr.Addr().IsLoopback() })
	}
	now := time.Now()
	score := map[*upstream]time.Duration{}
	for _, u := range ups {
		score[u] = u.score(now)
	}
	slices.SortStableFunc(ups, func(a, b *upstream) int { return cmp.Compare(score[a], score[b]) })
	return ups
}

// probe asks the upstreams that are down for the root's name servers, so that
// they are found to be up again before somebody needs them.
func (f *forwarder) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var wg sync.WaitGroup
	for _, u := range *f.ups.Load() {
		if !u.status().Up {
			wg.Go(func() { _, _ = u.ask(ctx, question{name: root, typ: dns.TypeNS}) })
		}
	}
	wg.Wait()
}
