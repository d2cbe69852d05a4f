package iterate

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// A job is a question of a client, or the search for the addresses of a name
// server that follows from one.
type job struct {
	r      *Resolver
	budget *budget
	depth  int
	above  *job   // that this one follows from
	host   string // whose addresses are wanted
}

// resolve follows the aliases from zone to zone.
func (j *job) resolve(ctx context.Context, q Question) (*Answer, error) {
	m := new(dns.Msg)
	m.Question = []dns.Question{{Name: q.Name, Qtype: q.Type, Qclass: dns.ClassINET}}
	m.Response = true
	seen := map[string]bool{}
	hops := 0
	for at := q.Name; ; {
		if seen[at] {
			return nil, &Failure{Code: dns.ExtendedErrorCodeInvalidData, Text: "its aliases lead nowhere"}
		}
		seen[at] = true
		o, err := j.follow(ctx, query{name: at, typ: q.Type, do: q.DO, leave: q.Leave})
		if err != nil {
			return nil, err
		}
		m.Answer = append(m.Answer, o.answer...)
		m.Ns = append(m.Ns, o.ns...)
		hops += o.hops
		switch {
		case hops > maxAliases:
			return nil, &Failure{Code: dns.ExtendedErrorCodeInvalidData, Text: "its aliases are too many"}
		case o.kind != aliased, q.Leave != nil && o.next != q.Name && q.Leave(o.next):
			m.Rcode = o.rcode
			return &Answer{Msg: m, From: o.from}, nil
		}
		at = o.next
	}
}

// follow follows the delegations from the closest that is known to the zone that
// has the name, and asks its servers.
func (j *job) follow(ctx context.Context, q query) (*outcome, error) {
	top := q.name
	if q.typ == dns.TypeDS {
		top = parent(top) // the parent's servers know (RFC 4035 §4.2)
	}
	c, err := j.closest(ctx, top)
	if err != nil {
		return nil, err
	}
	anew := false
	m := minimiser{name: q.name}
	var known string
	var last *Failure
	known, m.whole = j.r.begin(c, q.name)
	for referrals := 0; referrals < maxReferrals; {
		if ctx.Err() != nil {
			return nil, cmp.Or(last, &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: "finding it out takes too long", Unreached: true})
		}
		ask, whole := q, true
		ask.zone = c.zone
		ask.name, whole = m.next(known)
		if !whole {
			ask.typ, ask.do = dns.TypeA, false
		}
		o, err := j.poll(ctx, c, ask, whole)
		if f, ok := errors.AsType[*Failure](err); ok {
			last = f
		}
		switch {
		case errors.Is(err, errWork):
			return nil, err
		case err != nil && !whole:
			m.whole = true
			continue
		case err != nil && !anew && c.zone != "." && (time.Since(c.born) > minFailure || j.r.hears.doubtful()):
			// Its servers may be others by now, or nobody answers at all.
			j.r.cuts.drop(c.zone)
			if c, err = j.closest(ctx, parent(c.zone)); err != nil {
				return nil, err
			}
			anew = true
			known, m.whole = j.r.begin(c, q.name)
			continue
		case err != nil:
			return nil, err
		case o.kind == referred:
			referrals++
			c = j.r.delegate(c, o)
			known, m.whole = j.r.begin(c, q.name)
		case whole:
			return o, nil
		case o.kind == denied && o.rcode == dns.RcodeNameError:
			j.r.stepped(ask.name, step{zone: c.zone, whole: true}, o)
			m.whole = true // some deny what has no records, but names below it
		default:
			j.r.stepped(ask.name, step{zone: c.zone}, o)
			known = ask.name
		}
	}
	return nil, &Failure{Code: dns.ExtendedErrorCodeOther, Text: "its delegations lead nowhere"}
}

// delegate remembers a delegation by the servers of a zone above.
func (r *Resolver) delegate(above *cut, o *outcome) *cut {
	c, now := o.cut, time.Now()
	c.born, c.until = now, now.Add(lifeOf(o.ttl))
	if above.zone != "." && above.until.Before(c.until) {
		c.until = above.until
	}
	r.cuts.put(c.zone, c)
	return c
}

// lifeOf is how long something with that TTL, in seconds, is kept.
func lifeOf(ttl uint32) time.Duration {
	return min(max(time.Duration(ttl)*time.Second, minLife), maxLife)
}

// closest returns the closest delegation at or above name that is known.
func (j *job) closest(ctx context.Context, name string) (*cut, error) {
	now := time.Now()
	for ; name != "."; name = parent(name) {
		if c, ok := j.r.cuts.get(name, now); ok {
			return c, nil
		}
	}
	return j.root(ctx)
}

// hinted is the root as the hints have it.
func (r *Resolver) hinted() *cut {
	c := &cut{zone: "."}
	for _, h := range r.opt.Hints {
		c.targets = append(c.targets, target{glue: oneAddr(h.Addr()), port: h.Port()})
	}
	return c
}

// root returns the servers of the root, which are learned from those that the
// hints name (RFC 8109).
func (j *job) root(ctx context.Context) (*cut, error) {
	r := j.r
	if slices.ContainsFunc(r.opt.Hints, func(a netip.AddrPort) bool { return a.Port() != port }) {
		return r.hinted(), nil
	}
	for {
		if c, ok := r.cuts.get(".", time.Now()); ok {
			return c, nil
		}
		r.mu.Lock()
		under := r.priming
		if under == nil {
			if time.Since(r.primed) < retryPrime {
				r.mu.Unlock()
				return r.hinted(), nil
			}
			r.priming, r.primed = make(chan struct{}), time.Now()
			r.mu.Unlock()
			break
		}
		r.mu.Unlock()
		select {
		case <-under:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		close(r.priming)
		r.priming = nil
	}()
	c := r.hinted()
	m, err := j.prime(ctx, c)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return c, nil
	}
	r.cuts.put(".", m)
	return m, nil
}

// prime asks the servers of the hints for those of the root. It returns nil where
// the hints must do.
func (j *job) prime(ctx context.Context, hints *cut) (*cut, error) {
	o, err := j.poll(ctx, hints, query{zone: ".", name: ".", typ: dns.TypeNS, prime: true}, true)
	if err != nil {
		return nil, err
	}
	c := o.cut
	if c == nil {
		return nil, nil
	}
	with := 0
	for i := range c.targets {
		with += len(c.targets[i].glue)
	}
	if with == 0 {
		return nil, nil
	}
	now := time.Now()
	c.born, c.until = now, now.Add(lifeOf(o.ttl))
	return c, nil
}
