package davsrv

import (
	"errors"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/teambition/rrule-go"
)

// Bounds of recurrence. Whatever goes beyond them is opaque: stored, handed out,
// and found by every query about time.
const (
	maxRule      = 1 << 10 // bytes of an RRULE
	maxInterval  = 10_000
	maxTimes     = 100                    // BYHOUR times BYMINUTE times BYSECOND
	maxInstances = 20_000                 // looked at in one evaluation
	expandFor    = 300 * time.Millisecond // one rule; it takes microseconds, but machines can be busy
	expandAllFor = 500 * time.Millisecond // all rules of one object
	expandAtOnce = 4
)

// errOpaque says that a time cannot be known, or not cheaply.
var errOpaque = errors.New("the recurrence cannot be evaluated")

// An expander runs recurrence rules. rrule-go can spin for seconds within one
// step and panics on some rules, so each evaluation has its own goroutine; one
// that does not answer in time is left behind, still holding one of few slots
// until rrule-go's last year ends it. An expander is safe for concurrent use.
type expander struct {
	slots chan struct{}
	zones zoneCache
}

func newExpander() *expander {
	return &expander{slots: make(chan struct{}, expandAtOnce)}
}

// wait returns once no evaluation is left running.
func (e *expander) wait() {
	for range expandAtOnce {
		e.slots <- struct{}{}
	}
	for range expandAtOnce {
		<-e.slots
	}
}

// run calls visit with the instances of the rule in order until it returns
// false. After an error visit may still be running: what it writes to must not
// be read.
func (e *expander) run(opt rrule.ROption, visit func(time.Time) bool) error {
	timer := time.NewTimer(expandFor)
	defer timer.Stop()
	select {
	case e.slots <- struct{}{}:
	case <-timer.C:
		return errOpaque
	}
	deadline := time.Now().Add(expandFor)
	done := make(chan error, 1)
	go func() {
		defer func() {
			<-e.slots
			if recover() != nil {
				done <- errOpaque
			}
		}()
		done <- iterate(opt, deadline, visit)
	}()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errOpaque
	}
}

func iterate(opt rrule.ROption, deadline time.Time, visit func(time.Time) bool) error {
	r, err := rrule.NewRRule(opt)
	if err != nil {
		return errOpaque
	}
	next := r.Iterator()
	for n := range maxInstances {
		t, ok := next()
		if !ok {
			return nil
		}
		if n%64 == 0 && time.Now().After(deadline) {
			return errOpaque
		}
		if !visit(t) {
			return nil
		}
	}
	return errOpaque
}

// readRule parses an RRULE for a component that starts at start. Local times in
// it are taken in loc. Rules out of bounds are errOpaque.
func readRule(s string, start moment, loc *time.Location) (*rrule.ROption, error) {
	if len(s) > maxRule {
		return nil, errOpaque
	}
	s = strings.ToUpper(strings.Trim(strings.TrimSpace(s), ";"))
	opt, err := rrule.StrToROptionInLocation(s, loc)
	if err != nil {
		return nil, errOpaque
	}
	opt.Dtstart = start.Time
	times := max(1, len(opt.Byhour)) * max(1, len(opt.Byminute)) * max(1, len(opt.Bysecond))
	switch {
	case opt.Freq >= rrule.MINUTELY, times > maxTimes, opt.Interval > maxInterval, opt.Interval < 0:
		return nil, errOpaque
	case neverHappens(opt):
		opt.Count = 1
		opt.Bymonth, opt.Bymonthday = nil, nil
	}
	// Many programs write UNTIL as a date for events that have a time.
	if _, until, ok := strings.Cut(s, "UNTIL="); ok && !start.date {
		if until, _, _ = strings.Cut(until, ";"); len(until) == 8 {
			opt.Until = opt.Until.Add(24*time.Hour - time.Second)
		}
	}
	return opt, nil
}

// neverHappens finds the rules that name only days that their months lack, for
// which rrule-go would look until the year 9999.
func neverHappens(opt *rrule.ROption) bool {
	if len(opt.Bymonth) == 0 || len(opt.Bymonthday) == 0 {
		return false
	}
	for _, m := range opt.Bymonth {
		for _, d := range opt.Bymonthday {
			if m >= 1 && m <= 12 && max(d, -d) <= daysOf(m) {
				return false
			}
		}
	}
	return true
}

// daysOf is the length of a month in a leap year.
func daysOf(month int) int {
	return time.Date(2024, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// forward moves the start of a daily or weekly rule without COUNT close to t,
// keeping its phase, so that old series cost no more than young ones.
func forward(opt *rrule.ROption, t time.Time) {
	days := 1
	switch {
	case opt.Count != 0:
		return
	case opt.Freq == rrule.WEEKLY:
		days = 7
	case opt.Freq != rrule.DAILY:
		return
	}
	days *= max(1, opt.Interval)
	steps := int(t.Sub(opt.Dtstart)/(24*time.Hour))/days - 2
	hour, minute, second := opt.Dtstart.Clock()
	for range 3 { // a start in a gap of the clock would change its time of day
		if steps <= 0 {
			return
		}
		moved := opt.Dtstart.AddDate(0, 0, steps*days)
		if h, m, s := moved.Clock(); h == hour && m == minute && s == second {
			opt.Dtstart = moved
			return
		}
		steps--
	}
}

// A day or instant of EXDATE or RECURRENCE-ID.
type instanceKey struct {
	date bool
	v    int64 // yyyymmdd or Unix seconds
}

func keyOf(m moment) instanceKey {
	if m.date {
		return instanceKey{true, dayNumber(m.Time)}
	}
	return instanceKey{false, m.Unix()}
}

func dayNumber(t time.Time) int64 {
	y, m, d := t.Date()
	return int64(y)*10_000 + int64(m)*100 + int64(d)
}

// A series is the set of starts of one component.
type series struct {
	w     *clockwork
	start moment
	rule  *rrule.ROption
	extra []moment // of RDATE
	gone  map[instanceKey]bool
}

// seriesOf reads start, RRULE, RDATE and EXDATE of c. Instances in overridden
// are left out: other components of the object stand for them.
func seriesOf(w *clockwork, c *ical.Component, start moment, overridden map[instanceKey]bool) (*series, error) {
	s := &series{w: w, start: start}
	if c.Props.Get(ical.PropRecurrenceID) != nil {
		return s, nil
	}
	s.gone = overridden
	for _, p := range c.Props.Values(ical.PropRecurrenceDates) {
		for v := range strings.SplitSeq(p.Value, ",") {
			v, _, _ = strings.Cut(v, "/") // of a PERIOD its start; all are taken to last as long as the first
			m, ok := w.moment(&p, v)
			if !ok || len(s.extra) >= maxInstances {
				return nil, errOpaque
			}
			s.extra = append(s.extra, m)
		}
	}
	if ex := c.Props.Values(ical.PropExceptionDates); len(ex) > 0 {
		gone, n := make(map[instanceKey]bool, len(overridden)+len(ex)), 0
		for k := range overridden {
			gone[k] = true
		}
		for _, p := range ex {
			for v := range strings.SplitSeq(p.Value, ",") {
				if n++; n > maxInstances {
					return nil, errOpaque
				}
				if m, ok := w.moment(&p, v); ok {
					gone[keyOf(m)] = true
				}
			}
		}
		s.gone = gone
	}
	switch rules := c.Props.Values(ical.PropRecurrenceRule); len(rules) {
	case 0:
	case 1:
		var err error
		if s.rule, err = readRule(rules[0].Value, start, start.Location()); err != nil {
			return nil, err
		}
	default:
		return nil, errOpaque
	}
	return s, nil
}

func (s *series) excludes(m moment) bool {
	if len(s.gone) == 0 {
		return false
	}
	return s.gone[keyOf(m)] || s.gone[instanceKey{true, dayNumber(m.Time)}]
}

// any reports whether hit is true of a start from lo to hi; the zero time leaves
// an end open. hit must only read.
func (s *series) any(lo, hi time.Time, hit func(moment) bool) (bool, error) {
	within := func(m moment) bool {
		return (lo.IsZero() || !m.Before(lo)) && (hi.IsZero() || !m.After(hi)) && !s.excludes(m) && hit(m)
	}
	if within(s.start) {
		return true, nil
	}
	for _, m := range s.extra {
		if within(m) {
			return true, nil
		}
	}
	if s.rule == nil || !hi.IsZero() && hi.Before(s.start.Time) {
		return false, nil
	}
	opt := *s.rule
	if !lo.IsZero() {
		forward(&opt, lo)
	}
	found := new(bool)
	err := s.w.run(opt, func(t time.Time) bool {
		if !hi.IsZero() && t.After(hi) {
			return false
		}
		*found = within(moment{Time: t, date: s.start.date, float: s.start.float})
		return !*found
	})
	if err != nil {
		return false, err
	}
	return *found, nil
}

// last is the latest start, zero where there is none.
func (s *series) last() (time.Time, error) {
	end := s.start.Time
	for _, m := range s.extra {
		if m.After(end) {
			end = m.Time
		}
	}
	switch {
	case s.rule == nil:
		return end, nil
	case !s.rule.Until.IsZero():
		if s.rule.Until.After(end) {
			end = s.rule.Until
		}
		return end, s.w.run(*s.rule, func(time.Time) bool { return false }) // that it can be evaluated at all
	case s.rule.Count == 0:
		return time.Time{}, s.w.run(*s.rule, func(time.Time) bool { return false })
	}
	latest := new(time.Time)
	if err := s.w.run(*s.rule, func(t time.Time) bool { *latest = t; return true }); err != nil {
		return time.Time{}, err
	}
	if latest.After(end) {
		end = *latest
	}
	return end, nil
}
