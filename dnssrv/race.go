package dnssrv

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// A race is one question to several upstreams: the best is asked first, others
// too when that takes long or fails. The first answer counts.
type race struct {
	f      *forwarder
	g      *group
	q      question
	m      manner
	order  []*remote
	ctx    context.Context
	cancel context.CancelFunc
	left   atomic.Int32 // messages that may still be sent

	once    sync.Once // of channels, which few races need
	results chan try
	final   chan *answer
}

func (r *race) open() {
	r.once.Do(func() { r.results, r.final = make(chan try, 2*maxTries), make(chan *answer, 1) })
}

// A try is what came of asking one upstream.
type try struct {
	from   *remote
	answer *answer
	err    error
}

func (f *forwarder) race(ctx context.Context, g *group, q question, m manner) *answer {
	r := &race{f: f, g: g, q: q, m: m, order: g.order(q)}
	if len(r.order) == 0 {
		return failed(edeNoUpstream)
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	f.sent.Add(1)
	r.left.Store(maxTries)
	r.m.spend = func() bool { return r.left.Add(-1) >= 0 }
	// Mostly the first answers soon, and that is all there is to do.
	first := r.order[0]
	hedge := time.AfterFunc(first.patience(), r.hedge)
	t := r.try(first)
	alone := hedge.Stop()
	if alone && t.err == nil {
		return t.answer
	}
	r.open()
	r.results <- t
	if alone {
		return r.run(false)
	}
	return <-r.final
}

// hedge asks others, for the first is late.
func (r *race) hedge() {
	r.open()
	r.final <- r.run(true)
}

// try asks one.
func (r *race) try(u *remote) (t try) {
	t = try{from: u, err: errNonsense}
	defer func() {
		recover() // a message that breaks the decoder is no answer
	}()
	var again bool
	t.answer, again, t.err = u.ask(r.ctx, r.q, r.m)
	r.f.relieve()
	if again {
		r.g.revived.Store(time.Now().UnixNano())
	}
	return t
}

// run asks the others while the first is still being asked, or has failed. It
// begins at once where the first is late.
func (r *race) run(late bool) *answer {
	out := map[*remote]bool{} // answered that it will not answer
	tries, flying, next := 1, 1, 1
	launch := func() time.Duration {
		for range r.order {
			u := r.order[next%len(r.order)]
			next++
			if out[u] {
				continue
			}
			tries, flying = tries+1, flying+1
			r.f.wg.Go(func() { r.results <- r.try(u) })
			return u.patience()
		}
		return patience // nobody is left
	}
	wait := patience
	if late {
		wait = launch()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	why, reached := edeUnreachable, false
	lost := func() *answer {
		a := failed(why)
		a.unasked = !reached
		return a
	}
	for {
		select {
		case t := <-r.results:
			if t.err == nil {
				r.cancel()
				return t.answer
			}
			flying--
			out[t.from] = true
			why = blame(why, t.err)
			reached = reached || why != edeUnreachable
			if len(out) < len(r.order) && tries < maxTries {
				timer.Reset(launch())
			} else if flying == 0 {
				return lost()
			}
		case <-timer.C:
			if tries < maxTries && r.left.Load() > 0 {
				timer.Reset(launch())
			}
		case <-r.ctx.Done():
			for ; flying > 0; flying-- { // they end with it, and may know why
				t := <-r.results
				if t.err == nil {
					return t.answer
				}
				why = blame(why, t.err)
			}
			reached = reached || why != edeUnreachable
			return lost()
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
	case errors.Is(err, errNoTunnel):
		return edeTunnel
	}
	return have
}

var test = mustName("test")

// order returns the upstreams that may be asked q, the most promising first.
func (g *group) order(q question) []*remote {
	if len(g.ups) == 1 && !q.name.below(test) {
		return g.ups
	}
	ups := slices.Clone(g.ups)
	if g.domain == root && q.name.below(test) {
		ups = slices.DeleteFunc(ups, func(u *remote) bool { return !u.addr.IP.Addr().IsLoopback() })
	}
	now := time.Now()
	score := map[*remote]time.Duration{}
	for _, u := range ups {
		score[u] = u.score(now)
	}
	slices.SortStableFunc(ups, func(a, b *remote) int { return cmp.Compare(score[a], score[b]) })
	return ups
}

// probe asks the upstreams that are down for the root's name servers, or for
// their own domain's, so that they are found to be up again before somebody
// needs them.
func (f *forwarder) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var wg sync.WaitGroup
	for _, g := range f.routing.Load().by {
		for _, u := range g.ups {
			if !u.status().Up {
				wg.Go(func() {
					defer func() {
						recover() // a message that breaks the decoder is no answer
					}()
					_, again, _ := u.ask(ctx, question{name: g.domain, typ: dns.TypeNS}, manner{})
					if again {
						g.revived.Store(time.Now().UnixNano())
					}
				})
			}
		}
	}
	wg.Wait()
}

// upstreams returns how all upstreams are doing.
func (f *forwarder) upstreams() []UpstreamStatus {
	out := []UpstreamStatus{}
	r := f.routing.Load()
	for _, g := range r.sorted() {
		for _, u := range g.ups {
			st := u.status()
			if g != r.root {
				st.For, _ = g.domain.host()
			}
			out = append(out, st)
		}
	}
	return out
}

// sorted returns the groups, that of the root first.
func (r *routing) sorted() []*group {
	var out []*group
	for _, g := range r.by {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *group) int { return cmp.Compare(a.domain, b.domain) })
	return out
}
