package dnssrv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"pic/core/service"
	"pic/dnssrv/iterate"
)

// endurance is how long a question may take in all where the answer is found
// out from the root on: a little less than clients wait by themselves.
const endurance = 4500 * time.Millisecond

// iterator makes what follows delegations for the names of r. A root of the
// household's own may lead to its own addresses; the world's may not.
func (f *forwarder) iterator(r route, c care) *iterate.Resolver {
	inner := &guard{networks: c.networks}
	return iterate.New(iterate.Options{
		Hints: r.roots, Dial: f.options.Dial,
		Refuse: func(a netip.Addr) bool {
			if c.itself != nil && c.itself(netip.AddrPortFrom(a, port)) {
				return true
			}
			return len(r.roots) == 0 && inner.inside(a)
		},
	})
}

// endure is resolve where it may take longer. What is known from before is told
// when others would give up (RFC 8767 §5), while the search goes on.
func (f *forwarder) endure(run context.Context, q question) reply {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return f.told(failed(edeBusy), 0)
	}
	done := make(chan reply, 1)
	f.wg.Go(func() {
		ctx, cancel := context.WithTimeout(run, endurance)
		defer cancel()
		r := f.told(failed(edeInvalid), 0)
		defer func() {
			recover() // what breaks on an answer has none
			done <- r
		}()
		a, age := f.through(iterate.Budget(ctx), q)
		r = f.told(a, age)
	})
	f.mu.Unlock()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case r := <-done:
		return r
	case <-late.C:
	}
	kept := q
	kept.set = f.routing.Load().group(q).id
	if old := f.cache.old(kept, time.Now()); old != nil {
		return f.told(old, 0)
	}
	return <-done
}

// forget forgets who serves which zone.
func (f *forwarder) forget() {
	for _, g := range f.routing.Load().by {
		if g.iter != nil {
			g.iter.Flush()
		}
	}
}

// find asks whoever knows about the names of g.
func (f *forwarder) find(ctx context.Context, g *group, q question, m manner) *answer {
	if g.iter == nil {
		return f.race(ctx, g, q, m)
	}
	if f.reaches != nil && !f.reaches() {
		// Servers that cannot be asked now are not to be taken for silent ones.
		a := failed(edeUnreachable)
		a.unasked = true
		return a
	}
	f.sent.Add(1)
	ask := iterate.Question{Name: q.name.String(), Type: q.typ, DO: q.do}
	if m.leaves != nil {
		ask.Leave = func(s string) bool {
			n, err := parseName(s)
			return err == nil && m.leaves(n)
		}
	}
	got, err := g.iter.Resolve(ctx, ask)
	if err != nil {
		return lostBy(err)
	}
	a, err := m.digest(q, got.Msg)
	if err != nil {
		return failed(edeInvalid)
	}
	a.from = got.From.String()
	return a
}

// fact is what people may want to know of who is asked.
func (f *forwarder) fact(up, all int) service.Fact {
	it := f.routing.Load().root.iter
	if it == nil {
		return service.Fact{Name: "upstreams", Value: fmt.Sprintf("%d of %d up", up, all)}
	}
	st := it.Stats()
	return service.Fact{Name: "asked from the root on", Value: fmt.Sprintf("%d zones and %d servers known, %d messages sent", st.Delegations, st.Servers, st.Sent)}
}

// rootProblems says why nothing can be found out from the root on.
func (f *forwarder) rootProblems() []service.Problem {
	r := f.routing.Load()
	if r.root.iter == nil {
		return nil
	}
	st := r.root.iter.Stats()
	if !st.Silent {
		return nil
	}
	return []service.Problem{{
		Code:     "dns/nobody-answers",
		Title:    "Names outside the household cannot be resolved",
		Text:     "No name server has answered the last questions.",
		Fix:      "See whether the internet connection is up. If it is, somebody on the way may keep DNS from passing; then set dns.resolver to forward.",
		Severity: service.Failure,
		Since:    st.Since,
	}}
}

// lostBy is the failure that an error of the iterator stands for.
func lostBy(err error) *answer {
	why := edeUnreachable
	unasked := false
	if f, ok := errors.AsType[*iterate.Failure](err); ok {
		why, unasked = &ede{f.Code, f.Text}, f.Unreached
	}
	a := failed(why)
	a.unasked = unasked
	return a
}
