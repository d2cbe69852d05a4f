package iterate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/upstream"
)

// tryLife is how long one message may be on its way, with all that it takes to
// ask over TCP what does not fit.
const tryLife = 1500 * time.Millisecond

// A poll is one question to the servers of a zone: the best is asked first,
// others too when that takes long or fails.
type poll struct {
	j   *job
	c   *cut
	q   query
	ctx context.Context

	whole   bool // q has the whole name
	order   []*server
	rounds  map[*server]int
	out     map[*server]bool // it has said that it will not answer
	looked  map[string]bool  // targets whose addresses have been looked for
	missing int              // of those that there are none of
	deep    bool             // there are some that could not be looked for, so far from the first question

	results chan try
	flying  int
	tries   int
	suspect []netip.Addr // servers that do not seem to know the zone
	broken  bool         // a server fails on less than the whole name
	spare   *outcome     // told by somebody who resolves for others; for want of a better one
	why     *Failure
}

// A try is what came of asking one server.
type try struct {
	s    *server
	m    *dns.Msg
	err  error
	took time.Duration
	wait time.Duration // that it should have taken at most
	sent time.Time
}

// An outcome is a reading and who it is from.
type outcome struct {
	reading
	from netip.Addr
}

// poll asks the servers of c. Where q has less than the whole name, the first
// error is enough: broken servers are asked for all of it.
func (j *job) poll(ctx context.Context, c *cut, q query, whole bool) (*outcome, error) {
	if l, ok := j.r.orphans.get(c.zone, time.Now()); ok {
		return nil, l.why
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &poll{
		j: j, c: c, q: q, ctx: ctx, whole: whole,
		rounds: map[*server]int{}, out: map[*server]bool{}, looked: map[string]bool{},
		results: make(chan try, maxTries),
		why:     &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: "no name server of " + c.zone + " answers", Unreached: true},
	}
	defer func() {
		cancel()
		for ; p.flying > 0; p.flying-- {
			p.note(<-p.results)
		}
	}()
	for i := range c.targets {
		p.add(&c.targets[i], c.targets[i].glue)
		if len(c.targets[i].glue) == 0 {
			p.known(&c.targets[i])
		}
	}
	timer := time.NewTimer(p.launch())
	defer timer.Stop()
	for {
		if p.flying == 0 {
			if p.spare != nil {
				return p.spare, nil
			}
			return nil, p.lost()
		}
		select {
		case t := <-p.results:
			p.flying--
			if o := p.judge(t); o != nil {
				return o, nil
			}
			if p.broken {
				return nil, errBroken
			}
			timer.Reset(p.launch())
		case <-timer.C:
			timer.Reset(p.launch())
		case <-ctx.Done():
			return nil, p.lost()
		}
	}
}

// errBroken says that a server fails where less than the whole name is asked.
var errBroken = errors.New("a server fails on a part of the name")

func (p *poll) lost() error {
	if p.j.budget.spent() {
		return errWork
	}
	if p.deep {
		why := *p.why
		why.deep = true
		return &why
	}
	if p.tries == 0 && p.ctx.Err() == nil && p.c.zone != "." {
		return lost(p.j.r.orphans, p.c.zone, p.why)
	}
	return p.why
}

// add makes servers of the addresses of a target.
func (p *poll) add(t *target, addrs []netip.Addr) {
	for _, a := range addrs {
		if !p.j.r.may(a) {
			continue
		}
		s := p.j.r.server(netip.AddrPortFrom(a, cmp.Or(t.port, port)))
		if !slices.Contains(p.order, s) {
			p.order = append(p.order, s)
		}
	}
}

// known adds what was found out about a target before.
func (p *poll) known(t *target) {
	if e, ok := p.j.r.names.get(t.name, time.Now()); ok {
		p.looked[t.name] = true
		p.add(t, e.addrs)
	}
}

// launch asks the next server, and returns how long it is worth waiting for it
// alone.
func (p *poll) launch() time.Duration {
	s, o := p.next()
	for s == nil && p.flying == 0 && p.look() {
		s, o = p.next()
	}
	if s == nil || p.tries >= maxTries || p.j.budget.spent() {
		return tryLife
	}
	bare := o.bare || s.stripped(p.rounds[s])
	p.rounds[s]++
	p.tries++
	p.flying++
	wait := o.wait << min(p.rounds[s]-1, 2)
	ctx, cancel := context.WithTimeout(p.ctx, tryLife)
	p.j.r.wg.Go(func() {
		defer cancel()
		t := try{s: s, sent: time.Now(), wait: wait}
		t.m, t.err = p.j.r.ask(ctx, s, p.q, p.j.budget, bare)
		t.took = time.Since(t.sent)
		p.results <- t
	})
	return wait
}

// next picks the server that is asked next, nil where none is left: of those
// asked the least often the quickest, and of what is about as quick any.
func (p *poll) next() (*server, outlook) {
	now := time.Now()
	silent, revived := p.j.r.hears.state()
	type candidate struct {
		s *server
		outlook
	}
	var all []candidate
	rested := false
	for _, s := range p.order {
		a := s.addr.Addr()
		if p.out[s] || p.rounds[s] >= maxRounds || !p.j.r.families.has(a, now) || p.c.avoided(a, now) {
			continue
		}
		o := s.outlook(now, revived)
		if o.resting && !silent && p.c.zone != "." {
			rested = true
			continue
		}
		o.cost += time.Duration(p.rounds[s]) * time.Minute
		all = append(all, candidate{s, o})
	}
	if rested && len(all) == 0 && p.tries == 0 {
		p.why = &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: "no name server of " + p.c.zone + " has answered lately", Unreached: true}
	}
	if len(all) == 0 {
		return nil, outlook{}
	}
	best := slices.MinFunc(all, func(a, b candidate) int { return cmp.Compare(a.cost, b.cost) })
	all = slices.DeleteFunc(all, func(c candidate) bool { return c.cost > best.cost+best.cost/4 })
	pick := all[rand.IntN(len(all))]
	return pick.s, pick.outlook
}

// look finds the addresses of one more target. It is false where none is left.
func (p *poll) look() bool {
	if p.tries >= maxTries {
		return false
	}
	for i := range p.c.targets {
		t := &p.c.targets[i]
		if t.name == "" || p.looked[t.name] || below(t.name, p.c.zone) && p.c.zone != "." {
			continue // what is in the zone itself is found with glue or not at all
		}
		if p.missing >= maxMissing || p.ctx.Err() != nil || p.j.budget.spent() {
			return false
		}
		p.looked[t.name] = true
		addrs, err := p.j.addresses(p.ctx, t.name)
		if err != nil {
			var f *Failure
			if errors.As(err, &f) && f.missing {
				p.missing++
			}
			p.deep = p.deep || f != nil && f.deep
			if p.tries == 0 {
				p.why = &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: fmt.Sprintf("the name servers of %s have no addresses: %v", p.c.zone, err), Unreached: f == nil || f.Unreached}
			}
			continue
		}
		p.add(t, addrs)
		return true
	}
	return false
}

// note learns from what came of a try that nobody waits for any more.
func (p *poll) note(t try) {
	r := p.j.r
	switch {
	case t.err == nil:
		t.s.worked(t.took, t.m.IsEdns0() != nil)
		r.hears.note(true)
	case errors.Is(t.err, upstream.ErrSpent), errors.Is(t.err, upstream.ErrBusy):
	case errors.Is(t.err, context.Canceled):
		if t.took > t.wait { // another was asked meanwhile, and was quicker
			t.s.broke(t.sent)
		}
	case noRoute(t.err):
		r.families.lose(t.s.addr.Addr(), time.Now())
	default:
		t.s.broke(t.sent)
		r.hears.note(false)
	}
}

// judge makes of a try the answer; nil, where others must be asked.
func (p *poll) judge(t try) *outcome {
	p.note(t)
	if t.err != nil {
		if errors.Is(t.err, upstream.ErrNonsense) {
			p.out[t.s] = true
			p.why = &Failure{Code: dns.ExtendedErrorCodeInvalidData, Text: "the name servers of " + p.c.zone + " answer nonsense"}
		}
		return nil
	}
	got := read(p.q, t.m)
	o := &outcome{got, t.s.addr.Addr()}
	switch {
	case got.kind == failed && got.rcode != dns.RcodeRefused && got.rcode != dns.RcodeNotAuth:
		p.out[t.s] = true
		p.broken = !p.whole
		p.why = &Failure{Code: dns.ExtendedErrorCodeNetworkError, Text: fmt.Sprintf("the name servers of %s answer %s", p.c.zone, dns.RcodeToString[got.rcode])}
		return nil
	case got.kind == looped:
		p.out[t.s] = true
		p.why = &Failure{Code: dns.ExtendedErrorCodeInvalidData, Text: "its aliases lead nowhere"}
		return nil
	case got.kind == lame, got.kind == failed:
		p.out[t.s] = true
		p.suspect = append(p.suspect, o.from)
		p.why = &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: "the name servers of " + p.c.zone + " do not know it"}
		return nil
	case got.shaky && got.kind != referred:
		p.out[t.s] = true
		if p.spare == nil || p.spare.kind == denied {
			p.spare = o
		}
		return nil
	}
	p.avoid() // of the others somebody knows better
	return o
}

// avoid leaves those alone for a while that do not know the zone.
func (p *poll) avoid() {
	for _, a := range p.suspect {
		p.c.avoid(a, time.Now())
	}
	p.suspect = nil
}
