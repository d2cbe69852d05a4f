package davsrv

import (
	"math"
	"time"

	"github.com/emersion/go-ical"
)

// A span bounds the times of an object, in Unix seconds, both ends included. It
// is computed once, when the object is stored, so that queries need to parse
// only what lies near the time they ask for.
type span struct {
	first, last int64
	flags       spanFlags
}

type spanFlags uint8

const (
	// spanExact: the object is one event without recurrence, from first to last.
	spanExact spanFlags = 1 << iota
	// spanOpaque: some time in it cannot be evaluated; it is in every range.
	spanOpaque
)

var always = span{first: math.MinInt64, last: math.MaxInt64}

// floatSlack is how far the time of a zone may be from UTC, and a day.
const floatSlack = 38 * 3600

func (s span) with(first, last int64) span {
	return span{min(s.first, first), max(s.last, last), s.flags}
}

// near reports whether the object may have times in the range.
func (s span) near(r timeRange) bool {
	if s.flags&spanOpaque != 0 {
		return true
	}
	slack := int64(floatSlack)
	if s.flags&spanExact != 0 {
		slack = 0
	}
	return (r.to.IsZero() || s.first == math.MinInt64 || s.first-slack <= r.to.Unix()) &&
		(r.from.IsZero() || s.last == math.MaxInt64 || s.last+slack >= r.from.Unix())
}

// spanOf bounds the times of all components of c, floating times taken as UTC.
func spanOf(c *ical.Calendar, x *expander) span {
	w := newClockwork(x, c, time.UTC)
	s := span{first: math.MaxInt64, last: math.MinInt64}
	n := 0
	for _, k := range c.Children {
		if k.Name == ical.CompTimezone {
			continue
		}
		n++
		one, err := w.span(k)
		if err != nil {
			return span{always.first, always.last, spanOpaque}
		}
		s = s.with(one.first, one.last)
		s.flags |= one.flags
	}
	if n != 1 {
		s.flags &^= spanExact
	}
	return s
}

func (w *clockwork) span(c *ical.Component) (span, error) {
	p, err := w.parse(c)
	if err != nil {
		return span{}, err
	}
	if !p.start.ok {
		return p.undated(), nil
	}
	if p.futureToo {
		return span{}, errOpaque
	}
	s, err := seriesOf(w, c, p.start.moment, nil)
	if err != nil {
		return span{}, err
	}
	first := p.start.Time
	for _, m := range s.extra {
		if m.Before(first) {
			first = m.Time
		}
	}
	last, err := s.last()
	if err != nil {
		return span{}, err
	}
	out := span{first: first.Unix(), last: math.MaxInt64}
	if !last.IsZero() {
		out.last = p.endOf(moment{Time: last, date: p.start.date}).Unix()
	}
	if s.rule == nil && len(s.extra) == 0 && len(s.gone) == 0 && !p.start.float && !p.endFloats && c.Name == ical.CompEvent {
		out.flags = spanExact
	}
	if c.Name == ical.CompToDo { // a due date before the start counts as well
		out.first = min(out.first, p.endOf(p.start.moment).Unix())
	}
	return out, nil
}

// A maybe is a moment that may be missing.
type maybe struct {
	moment
	ok bool
}

// period is what the time properties of one component say.
type period struct {
	kind               string
	start, due         maybe // due is DTEND or DUE
	completed, created maybe
	days               int           // length of a whole-day component
	length             time.Duration // of others
	ends               bool          // there is an end or a duration
	endFloats          bool
	futureToo          bool // RECURRENCE-ID;RANGE=THISANDFUTURE
}

// parse reads the time properties of c. Times that cannot be read are
// errOpaque.
func (w *clockwork) parse(c *ical.Component) (period, error) {
	p := period{kind: c.Name}
	bad := false
	read := func(name string) maybe {
		prop := c.Props.Get(name)
		if prop == nil {
			return maybe{}
		}
		m, ok := w.moment(prop, prop.Value)
		bad = bad || !ok
		return maybe{m, ok}
	}
	p.start = read(ical.PropDateTimeStart)
	end := ical.PropDateTimeEnd
	if c.Name == ical.CompToDo {
		end = ical.PropDue
		p.completed, p.created = read(ical.PropCompleted), read(ical.PropCreated)
	}
	p.due = read(end)
	if id := c.Props.Get(ical.PropRecurrenceID); id != nil {
		p.futureToo = id.Params.Get(ical.ParamRange) == "THISANDFUTURE"
	}
	if bad || c.Name == ical.CompEvent && !p.start.ok {
		return p, errOpaque
	}
	if !p.start.ok {
		return p, nil
	}
	if d := c.Props.Get(ical.PropDuration); d != nil && !p.due.ok {
		length, ok := duration(d.Value)
		if !ok {
			return p, errOpaque
		}
		p.ends, p.length = true, max(0, length)
		if p.start.date {
			p.days = int(p.length / (24 * time.Hour))
		}
	}
	if p.due.ok {
		p.ends, p.endFloats = true, p.due.float
		p.length = max(0, p.due.Sub(p.start.Time))
		if p.start.date {
			p.days = int((p.length + 12*time.Hour) / (24 * time.Hour)) // days may have 23 or 25 hours
		}
	}
	if p.start.date {
		p.days = max(1, p.days)
	}
	return p, nil
}

// endOf is the end of the instance that starts at m.
func (p *period) endOf(m moment) time.Time {
	if p.start.date {
		return m.AddDate(0, 0, p.days)
	}
	return m.Add(p.length)
}

// undated bounds a component without DTSTART: a task that is due, was completed
// or created, or nothing of all that.
func (p *period) undated() span {
	s := span{first: math.MaxInt64, last: math.MinInt64}
	switch {
	case p.kind == ical.CompJournal:
		return s // in no range (RFC 4791 §9.9)
	case p.kind != ical.CompToDo:
		return always
	case p.due.ok:
		return s.with(p.due.Unix(), p.due.Unix())
	case p.completed.ok && p.created.ok:
		return s.with(p.completed.Unix(), p.completed.Unix()).with(p.created.Unix(), p.created.Unix())
	case p.completed.ok:
		return s.with(p.completed.Unix(), p.completed.Unix())
	case p.created.ok:
		return span{first: p.created.Unix(), last: math.MaxInt64}
	}
	return always
}

// A timeRange is the CALDAV:time-range of a query; a zero end is open.
type timeRange struct{ from, to time.Time }

func (r timeRange) set() bool { return !r.from.IsZero() || !r.to.IsZero() }

// The four comparisons of RFC 4791 §9.9; an open end always holds.
func (r timeRange) fromBefore(t time.Time) bool { return r.from.IsZero() || r.from.Before(t) }
func (r timeRange) fromUpTo(t time.Time) bool   { return r.from.IsZero() || !r.from.After(t) }
func (r timeRange) toAfter(t time.Time) bool    { return r.to.IsZero() || r.to.After(t) }
func (r timeRange) toFrom(t time.Time) bool     { return r.to.IsZero() || !r.to.Before(t) }

// shift moves the range by d.
func (r timeRange) shift(d time.Duration) timeRange {
	if !r.from.IsZero() {
		r.from = r.from.Add(d)
	}
	if !r.to.IsZero() {
		r.to = r.to.Add(d)
	}
	return r
}

// overlaps applies the table of RFC 4791 §9.9 to the instance starting at m.
func (p *period) overlaps(m moment, r timeRange) bool {
	start, end := m.Time, p.endOf(m)
	switch p.kind {
	case ical.CompToDo:
		switch {
		case !p.ends:
			return r.fromUpTo(start) && r.toAfter(start)
		case p.due.ok:
			due := end
			if p.due.Before(p.start.Time) { // due before it starts: wrong, but written
				due = p.due.Time
			}
			return (r.fromBefore(due) || r.fromUpTo(start)) && (r.toAfter(start) || r.toFrom(due))
		}
		return r.fromUpTo(end) && (r.toAfter(start) || r.toFrom(end))
	case ical.CompJournal:
		if !m.date {
			return r.fromUpTo(start) && r.toAfter(start)
		}
		return r.fromBefore(end) && r.toAfter(start)
	}
	if !end.After(start) {
		return r.fromUpTo(start) && r.toAfter(start)
	}
	return r.fromBefore(end) && r.toAfter(start)
}

// undatedIn applies the table to a task without DTSTART.
func (p *period) undatedIn(r timeRange) bool {
	switch {
	case p.kind != ical.CompToDo:
		return p.kind != ical.CompJournal
	case p.due.ok:
		return r.fromBefore(p.due.Time) && r.toFrom(p.due.Time)
	case p.completed.ok && p.created.ok:
		return (r.fromUpTo(p.created.Time) || r.fromUpTo(p.completed.Time)) &&
			(r.toFrom(p.created.Time) || r.toFrom(p.completed.Time))
	case p.completed.ok:
		return r.fromUpTo(p.completed.Time) && r.toFrom(p.completed.Time)
	case p.created.ok:
		return r.toAfter(p.created.Time)
	}
	return true
}
