package davsrv

import (
	"net/http"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-webdav/caldav"
)

// calendarQuery answers calendar-query (RFC 4791 §7.8).
func (q *request) calendarQuery(root *node, c *collection) error {
	p, err := q.readProps(root, wantAll)
	if err != nil {
		return err
	}
	f, err := readCalFilter(root)
	if err != nil {
		return err
	}
	if f.floating, err = q.floatingZone(root, c); err != nil {
		return err
	}
	f.deadline = time.Now().Add(evaluateFor)
	data := p.wantsData()
	choose := func(o *object) pick {
		switch v := f.glance(o.comp, o.span); {
		case v == differs:
			return skip
		case v == matches && !data:
			return rowOnly
		}
		return whole
	}
	m := newMultistatus(q.w)
	err = q.members(c, choose, func(rs []*resource) error {
		found := rs[:0]
		for _, r := range rs {
			if r.object.raw == nil || f.matchRaw(r.object, q.s.expand) {
				found = append(found, r)
			}
			if err := q.r.Context().Err(); err != nil {
				return err
			}
		}
		return p.respond(q, m, found)
	})
	return m.finish(err)
}

// matchRaw evaluates the filter on an object with its bytes.
func (f *calFilter) matchRaw(o *object, x *expander) bool {
	if f.glance(o.comp, o.span) == matches {
		return true
	}
	c, err := readCalendar(o.raw)
	return err != nil || f.match(c, x)
}

var errFilter = violates(http.StatusForbidden, cal("valid-filter"), "The filter of the query cannot be read.")

// readCalFilter reads the CALDAV:filter of a query.
func readCalFilter(root *node) (*calFilter, error) {
	n := root.child(cal("filter"))
	if n == nil {
		return nil, badXML("it has no filter")
	}
	f := &calFilter{}
	top := n.child(cal("comp-filter"))
	if top == nil {
		return nil, errFilter
	}
	var err error
	f.CompFilter, err = f.comp(top)
	if f.collation == "" {
		f.collation = asciiCasemap
	}
	return f, err
}

func (f *calFilter) comp(n *node) (caldav.CompFilter, error) {
	out := caldav.CompFilter{Name: strings.ToUpper(n.attr("name"))}
	if out.Name == "" {
		return out, errFilter
	}
	for k := range n.elements {
		var err error
		switch k.name {
		case cal("is-not-defined"):
			out.IsNotDefined = true
		case cal("time-range"):
			out.Start, out.End, err = readTimeRange(k)
		case cal("comp-filter"):
			var sub caldav.CompFilter
			sub, err = f.comp(k)
			out.Comps = append(out.Comps, sub)
		case cal("prop-filter"):
			var sub caldav.PropFilter
			sub, err = f.prop(k)
			out.Props = append(out.Props, sub)
		default:
			err = errFilter
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (f *calFilter) prop(n *node) (caldav.PropFilter, error) {
	out := caldav.PropFilter{Name: strings.ToUpper(n.attr("name"))}
	if out.Name == "" {
		return out, errFilter
	}
	for k := range n.elements {
		var err error
		switch k.name {
		case cal("is-not-defined"):
			out.IsNotDefined = true
		case cal("time-range"):
			out.Start, out.End, err = readTimeRange(k)
		case cal("text-match"):
			out.TextMatch, err = f.text(k)
		case cal("param-filter"):
			p := caldav.ParamFilter{Name: strings.ToUpper(k.attr("name")), IsNotDefined: k.child(cal("is-not-defined")) != nil}
			if t := k.child(cal("text-match")); t != nil {
				p.TextMatch, err = f.text(t)
			}
			out.ParamFilter = append(out.ParamFilter, p)
		default:
			err = errFilter
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// text reads a text-match. A query that mixes collations is compared by the one
// that tells the least apart.
func (f *calFilter) text(n *node) (*caldav.TextMatch, error) {
	c, ok := collationOf(n.attr("collation"), asciiCasemap)
	if !ok {
		return nil, violates(http.StatusForbidden, cal("supported-collation"), "The query names a collation that is not known.")
	}
	f.collation = looser(f.collation, c)
	text, negate, err := readTextMatch(n)
	return &caldav.TextMatch{Text: text, NegateCondition: negate}, err
}

// looser is the collation of the two that tells less apart.
func looser(a, b collation) collation {
	for _, c := range []collation{unicodeCasemap, asciiCasemap} {
		if a == c || b == c {
			return c
		}
	}
	return b
}

func readTimeRange(n *node) (from, to time.Time, err error) {
	for _, end := range []struct {
		s string
		t *time.Time
	}{{n.attr("start"), &from}, {n.attr("end"), &to}} {
		if end.s == "" {
			continue
		}
		m, ok := readMoment(end.s, time.UTC, time.UTC, true)
		if !ok {
			return from, to, errFilter
		}
		*end.t = m.Time
	}
	if from.IsZero() && to.IsZero() || !from.IsZero() && !to.IsZero() && !to.After(from) {
		return from, to, errFilter
	}
	return from, to, nil
}

// floatingZone is the zone in which the query takes floating times: its own
// CALDAV:timezone, or the calendar's, or UTC.
func (q *request) floatingZone(root *node, c *collection) (*time.Location, error) {
	if id := root.child(cal("timezone-id")).content(); id != "" {
		if loc := q.s.expand.zones.load(id); loc != nil {
			return loc, nil
		}
	}
	if text := root.child(cal("timezone")).content(); text != "" {
		loc := q.s.zoneIn(text)
		if loc == nil {
			return nil, violates(http.StatusForbidden, cal("valid-calendar-data"), "The timezone of the query cannot be read.")
		}
		return loc, nil
	}
	props, err := q.s.store.props(c.place())
	if err != nil {
		return nil, err
	}
	for _, p := range props[0] {
		if p.name == calendarZone {
			return q.s.zoneIn(p.text()), nil
		}
	}
	return time.UTC, nil
}

// zoneIn is the zone of the first VTIMEZONE of an iCalendar object, or nil.
func (s *Server) zoneIn(text string) *time.Location {
	c, err := readCalendar([]byte(text))
	if err != nil {
		return nil
	}
	w := newClockwork(s.expand, c, nil)
	for _, k := range c.Children {
		if k.Name == ical.CompTimezone {
			return w.zone(value(k, ical.PropTimezoneID))
		}
	}
	return nil
}
