package querylog

import (
	"net/netip"
	"sync"
	"time"
)

const (
	step    = 10 * time.Minute
	steps   = 7 * 24 * 6 // of step, kept
	topSize = 50
)

// bounds are the upper ends of the buckets of latency. What takes longer is in
// the last.
func bounds() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{
		ms / 10, ms / 5, ms / 2, ms, 2 * ms, 5 * ms, 10 * ms, 20 * ms, 50 * ms,
		100 * ms, 200 * ms, 500 * ms, 1000 * ms, 2000 * ms, 5000 * ms, 10000 * ms,
	}
}

const buckets = 16

// A period is what was counted in an hour, or a day.
type period struct {
	Start   time.Time
	Latency [buckets]uint64

	Clients, Names, Blocked, Lists, Upstreams sketch
}

func newPeriod(start time.Time) *period {
	return &period{
		Start: start, Clients: sketch{}, Names: sketch{}, Blocked: sketch{}, Lists: sketch{}, Upstreams: sketch{},
	}
}

// A tier is periods of one length, the oldest first.
type tier struct {
	span    time.Duration
	keep    int
	periods []*period
}

// at returns the period of t, which is about now.
func (r *tier) at(t time.Time) *period {
	start := t.Truncate(r.span)
	for i := len(r.periods) - 1; i >= 0; i-- {
		if r.periods[i].Start.Equal(start) {
			return r.periods[i]
		}
	}
	// A clock that went backwards makes periods of the future, which go first.
	for len(r.periods) > 0 && r.periods[len(r.periods)-1].Start.After(start) {
		r.periods = r.periods[:len(r.periods)-1]
	}
	r.periods = append(r.periods, newPeriod(start))
	for len(r.periods) > r.keep || !r.periods[0].Start.After(start.Add(-r.span*time.Duration(r.keep))) {
		r.periods = r.periods[1:]
	}
	return r.periods[len(r.periods)-1]
}

// since returns the periods that end after t.
func (r *tier) since(t time.Time) []*period {
	var out []*period
	for _, p := range r.periods {
		if p.Start.Add(r.span).After(t) {
			out = append(out, p)
		}
	}
	return out
}

// A Point is one step of time.
type Point struct {
	Time             time.Time
	Queries, Blocked uint64
}

// stats are the counts.
type stats struct {
	mu    sync.Mutex
	hours tier
	days  tier
	// points is a ring by time; a point of another round is stale.
	points []Point
}

func (s *stats) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hours = tier{span: time.Hour, keep: 25}
	s.days = tier{span: 24 * time.Hour, keep: 8}
	s.points = make([]Point, steps)
}

func (s *stats) point(t time.Time) *Point {
	start := t.Truncate(step)
	p := &s.points[uint64(start.Unix()/int64(step/time.Second))%steps]
	if !p.Time.Equal(start) {
		*p = Point{Time: start}
	}
	return p
}

// count takes in what is counted of every entry, logged or not.
func (s *stats) count(batch []Entry, now time.Time) {
	if len(batch) == 0 {
		return
	}
	limits := bounds()
	s.mu.Lock()
	defer s.mu.Unlock()
	p, h, d := s.point(now), s.hours.at(now), s.days.at(now)
	for i := range batch {
		e := &batch[i]
		p.Queries++
		if e.Told != nil && e.Told.Verdict == Blocked {
			p.Blocked++
		}
		b := 0
		for b < buckets-1 && e.Took > limits[b] {
			b++
		}
		h.Latency[b]++
		d.Latency[b]++
	}
}

// A tally is how often the clients and answers of a frame came up.
type tally struct {
	told  []*Told
	toldN []uint64
	who   []string // by address, or network where that is all that is known
	whoN  []uint64
}

// of begins the tally of a frame that was read.
func (t *tally) of(d *decoded) {
	t.toldN, t.whoN = make([]uint64, len(d.told)), make([]uint64, len(d.clients))
	for i := range d.told {
		t.told = append(t.told, &d.told[i])
	}
	for _, c := range d.clients {
		t.who = append(t.who, spell(c.net))
	}
}

// spell writes a network as an address, where it is one.
func spell(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return ""
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

// rank takes in who asked, and what for.
func (s *stats) rank(t *tally, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range []*period{s.hours.at(now), s.days.at(now)} {
		for i, who := range t.who {
			p.Clients.add(who, t.whoN[i])
		}
		for i, told := range t.told {
			n := t.toldN[i]
			p.Names.add(told.Name, n)
			if told.Source == Upstream {
				p.Upstreams.add(told.Upstream, n)
			}
			if told.Verdict == Blocked {
				p.Blocked.add(told.Name, n)
				p.Lists.add(told.List, n)
			}
		}
	}
}

// forget lets go of who asked, and what for, in periods that ended before t.
// That there were so many queries stays.
func (s *stats) forget(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range []*tier{&s.hours, &s.days} {
		for i, p := range r.periods {
			if p.Start.Add(r.span).Before(t) {
				r.periods[i] = newPeriod(p.Start)
				r.periods[i].Latency = p.Latency
			}
		}
	}
}

// A Bucket counts the answers that took at most UpTo, and more than the bucket
// before.
type Bucket struct {
	UpTo  time.Duration
	Count uint64
}

// Stats is what was asked in some time. The top lists are of whole hours, or
// where they go back further than a day, of whole days (UTC).
type Stats struct {
	Since            time.Time
	Queries, Blocked uint64

	Clients      []Count // by address
	Names        []Count
	BlockedNames []Count
	Lists        []Count // by the list that blocked
	Upstreams    []Count // that were asked

	Latency []Bucket
	Series  []Point // in equal steps, the oldest first; the last is under way
	Step    time.Duration
}

// Stats counts what was asked in the last back, at most seven days.
func (l *Log) Stats(back time.Duration) Stats {
	_ = l.sync(nil) // closed: then nothing is missing
	return l.stats.sum(time.Now(), min(max(back, time.Hour), 7*24*time.Hour))
}

func (s *stats) sum(now time.Time, back time.Duration) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Since: now.Add(-back), Step: step}
	if back > 24*time.Hour {
		out.Step = time.Hour
	}
	// The first step that is wholly within.
	for t := out.Since.Truncate(out.Step).Add(out.Step); !t.After(now); t = t.Add(out.Step) {
		sum := Point{Time: t}
		for at := t; at.Before(t.Add(out.Step)); at = at.Add(step) {
			if p := s.points[uint64(at.Unix()/int64(step/time.Second))%steps]; p.Time.Equal(at) {
				sum.Queries += p.Queries
				sum.Blocked += p.Blocked
			}
		}
		out.Queries += sum.Queries
		out.Blocked += sum.Blocked
		out.Series = append(out.Series, sum)
	}
	periods := s.hours.since(out.Since.Add(step)) // not the one that is all but over
	if back > 24*time.Hour {
		periods = s.days.since(out.Since)
	}
	rank := func(of func(*period) sketch) []Count {
		var all []sketch
		for _, p := range periods {
			all = append(all, of(p))
		}
		return top(topSize, all...)
	}
	out.Clients = rank(func(p *period) sketch { return p.Clients })
	out.Names = rank(func(p *period) sketch { return p.Names })
	out.BlockedNames = rank(func(p *period) sketch { return p.Blocked })
	out.Lists = rank(func(p *period) sketch { return p.Lists })
	out.Upstreams = rank(func(p *period) sketch { return p.Upstreams })
	for i, b := range bounds() {
		n := uint64(0)
		for _, p := range periods {
			n += p.Latency[i]
		}
		out.Latency = append(out.Latency, Bucket{b, n})
	}
	return out
}
