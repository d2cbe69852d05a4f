package davsrv

import (
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-webdav/caldav"
)

// evaluateFor is how long one REPORT may spend on recurrence; after that it
// answers with everything that may match.
const evaluateFor = 2 * time.Second

// A calFilter decides which objects a calendar-query finds (RFC 4791 §9.7). It
// holds go-webdav's model of the filter, and evaluates it itself: caldav.Match
// misses all-day events, tasks, overrides and open ranges, and fails on others.
// Where something cannot be known the object is found.
type calFilter struct {
	caldav.CompFilter
	collation collation
	floating  *time.Location // of times without a zone
	deadline  time.Time      // for recurrence
}

// simpleRange returns the one range that the filter asks for when it asks
// nothing but: components of one kind within a time.
func (f *calFilter) simpleRange() (comp string, r timeRange, ok bool) {
	if f.Name != ical.CompCalendar || f.IsNotDefined || len(f.Props) > 0 || len(f.Comps) != 1 || !f.Start.IsZero() || !f.End.IsZero() {
		return "", timeRange{}, false
	}
	k := f.Comps[0]
	return k.Name, timeRange{k.Start, k.End}, !k.IsNotDefined && len(k.Props) == 0 && len(k.Comps) == 0
}

// verdict is what can be said about an object from its index row alone.
type verdict int

const (
	unknown verdict = iota // it must be parsed
	matches
	differs
)

// glance judges an object by its component and span.
func (f *calFilter) glance(comp string, s span) verdict {
	if f.Name != ical.CompCalendar {
		return unknown
	}
	for _, k := range f.Comps {
		r := timeRange{k.Start, k.End}
		if k.IsNotDefined || k.Name == ical.CompTimezone {
			continue
		}
		if k.Name != comp || r.set() && !s.near(r) {
			return differs
		}
	}
	kind, r, ok := f.simpleRange()
	if !ok || kind != comp {
		return unknown
	}
	switch {
	case !r.set(), s.flags&spanOpaque != 0:
		return matches
	case s.flags&spanExact == 0:
		return unknown
	}
	p := period{kind: comp, ends: true, length: time.Duration(s.last-s.first) * time.Second}
	if p.overlaps(moment{Time: time.Unix(s.first, 0)}, r) {
		return matches
	}
	return differs
}

// match evaluates the filter on a parsed object.
func (f *calFilter) match(c *ical.Calendar, x *expander) bool {
	if c.Name != f.Name {
		return f.IsNotDefined
	}
	m := matcher{f: f, w: newClockwork(x, c, f.floating), overridden: make(map[instanceKey]bool)}
	for _, k := range c.Children {
		if p := k.Props.Get(ical.PropRecurrenceID); p != nil {
			if t, ok := m.w.moment(p, p.Value); ok {
				m.overridden[keyOf(t)] = true
			}
		}
	}
	return !f.IsNotDefined && m.comp(&f.CompFilter, c.Component, nil)
}

// A matcher evaluates a filter on one object.
type matcher struct {
	f          *calFilter
	w          *clockwork
	overridden map[instanceKey]bool
}

// comp reports whether c, of the filter's name, fulfils all conditions.
func (m *matcher) comp(f *caldav.CompFilter, c, parent *ical.Component) bool {
	if r := (timeRange{f.Start, f.End}); r.set() && !m.inRange(c, parent, r) {
		return false
	}
	for i := range f.Props {
		if !m.prop(&f.Props[i], c) {
			return false
		}
	}
	for i := range f.Comps {
		k := &f.Comps[i]
		found := false
		for _, child := range c.Children {
			if child.Name == k.Name && (k.IsNotDefined || m.comp(k, child, c)) {
				found = true
				break
			}
		}
		if found == k.IsNotDefined {
			return false
		}
	}
	return true
}

func (m *matcher) inRange(c, parent *ical.Component, r timeRange) bool {
	switch c.Name {
	case ical.CompEvent, ical.CompToDo, ical.CompJournal:
		ok, err := m.instances(c, r, 0, (*period).overlaps)
		return ok || err != nil
	case ical.CompAlarm:
		ok, err := m.alarm(c, parent, r)
		return ok || err != nil
	}
	return true // VFREEBUSY and others are not indexed by time
}

// instances reports whether hit is true of an instance of c. Instances are
// looked for from before the range by their length and before more, up to its
// end.
func (m *matcher) instances(c *ical.Component, r timeRange, before time.Duration, hit func(*period, moment, timeRange) bool) (bool, error) {
	p, err := m.w.parse(c)
	if err != nil {
		return false, err
	}
	if !p.start.ok {
		return p.undatedIn(r), nil
	}
	s, err := seriesOf(m.w, c, p.start.moment, m.overridden)
	if err != nil {
		return false, err
	}
	if p.futureToo && (r.to.IsZero() || r.to.After(p.start.Time)) {
		return false, errOpaque
	}
	if s.rule != nil && time.Now().After(m.f.deadline) {
		return false, errOpaque
	}
	lo := r.from
	if !lo.IsZero() {
		lo = lo.Add(-before - p.length - time.Duration(p.days)*24*time.Hour - 2*time.Hour)
	}
	hi := r.to
	if !hi.IsZero() && c.Name == ical.CompToDo && p.due.ok && p.due.Before(p.start.Time) {
		hi = hi.Add(p.start.Sub(p.due.Time))
	}
	return s.any(lo, hi, func(at moment) bool { return hit(&p, at, r) })
}

// maxRepeats bounds the REPEAT of an alarm that is looked at.
const maxRepeats = 50

// alarm reports whether an alarm of parent goes off within the range.
func (m *matcher) alarm(c, parent *ical.Component, r timeRange) (bool, error) {
	trigger := c.Props.Get(ical.PropTrigger)
	if trigger == nil || parent == nil {
		return false, nil
	}
	repeat, _ := strconv.Atoi(value(c, ical.PropRepeat))
	pause, _ := duration(value(c, ical.PropDuration))
	goesOff := func(t time.Time, r timeRange) bool {
		for n := range min(max(repeat, 0), maxRepeats) + 1 {
			if at := t.Add(time.Duration(n) * pause); r.fromUpTo(at) && r.toAfter(at) {
				return true
			}
		}
		return false
	}
	if at, ok := m.w.moment(trigger, trigger.Value); ok {
		return goesOff(at.Time, r), nil
	}
	offset, ok := duration(trigger.Value)
	if !ok {
		return false, errOpaque
	}
	fromEnd := strings.EqualFold(trigger.Params.Get(ical.ParamRelated), "END")
	wide := r.shift(-offset)
	return m.instances(parent, wide, time.Duration(maxRepeats)*max(0, pause), func(p *period, at moment, r timeRange) bool {
		if fromEnd {
			return goesOff(p.endOf(at), r)
		}
		return goesOff(at.Time, r)
	})
}

func (m *matcher) prop(f *caldav.PropFilter, c *ical.Component) bool {
	props := c.Props.Values(f.Name)
	if f.IsNotDefined {
		return len(props) == 0
	}
	for i := range props {
		p := &props[i]
		if r := (timeRange{f.Start, f.End}); r.set() {
			if t, ok := m.w.moment(p, p.Value); ok && !(r.fromUpTo(t.Time) && r.toAfter(t.Time)) {
				continue
			}
		}
		if f.TextMatch != nil && !m.text(f.TextMatch, unescape(p.Value)) || !m.params(f.ParamFilter, p) {
			continue
		}
		return true
	}
	return false
}

func (m *matcher) params(filters []caldav.ParamFilter, p *ical.Prop) bool {
	for _, f := range filters {
		values := p.Params.Values(f.Name)
		if f.IsNotDefined {
			if len(values) > 0 {
				return false
			}
			continue
		}
		found := false
		for _, v := range values {
			found = found || f.TextMatch == nil || m.text(f.TextMatch, v)
		}
		if !found {
			return false
		}
	}
	return true
}

func (m *matcher) text(t *caldav.TextMatch, s string) bool {
	return m.f.collation.contains(s, t.Text) != t.NegateCondition
}
