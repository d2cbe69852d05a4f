package davsrv

import (
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // hosts without zoneinfo, such as small boards, must agree

	"github.com/emersion/go-ical"
	"github.com/teambition/rrule-go"
)

// maxZones bounds the cache: there are some 600 names in the IANA database.
const maxZones = 1000

// A zoneCache remembers loaded IANA zones. It is safe for concurrent use.
type zoneCache struct {
	mu    sync.Mutex
	known map[string]*time.Location // nil: there is no such zone
}

// load returns the IANA zone of that name, or nil.
func (c *zoneCache) load(name string) *time.Location {
	if name == "" || len(name) > 64 || strings.EqualFold(name, "Local") {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if loc, ok := c.known[name]; ok {
		return loc
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		loc = nil
	}
	if c.known == nil || len(c.known) >= maxZones {
		c.known = make(map[string]*time.Location)
	}
	c.known[name] = loc
	return loc
}

// A clockwork reads the times of one calendar object; floating is where times
// without a zone, and dates, are taken to be.
type clockwork struct {
	x        *expander
	floating *time.Location
	cal      *ical.Calendar
	zones    map[string]*time.Location
	spent    time.Duration // on recurrence
}

// run is [expander.run] within what one object may cost.
func (w *clockwork) run(opt rrule.ROption, visit func(time.Time) bool) error {
	if w.spent > expandAllFor {
		return errOpaque
	}
	began := time.Now()
	err := w.x.run(opt, visit)
	w.spent += time.Since(began)
	return err
}

func newClockwork(x *expander, c *ical.Calendar, floating *time.Location) *clockwork {
	if floating == nil {
		floating = time.UTC
	}
	return &clockwork{x: x, floating: floating, cal: c, zones: make(map[string]*time.Location)}
}

// zone finds the zone that a TZID means: by its IANA name, by that name behind
// a vendor's prefix, by Windows' name for it, by the VTIMEZONE in the object.
// Nil means that nothing is known of it; such times float.
func (w *clockwork) zone(tzid string) *time.Location {
	if loc, ok := w.zones[tzid]; ok {
		return loc
	}
	loc := w.find(tzid)
	w.zones[tzid] = loc
	return loc
}

func (w *clockwork) find(tzid string) *time.Location {
	name := strings.Trim(tzid, "\" \t")
	if loc := w.x.zones.load(name); loc != nil && !strings.HasPrefix(name, "/") {
		return loc
	}
	// /freeassociation.sourceforge.net/Tzfile/Europe/Berlin
	parts := strings.Split(name, "/")
	for i := max(1, len(parts)-3); i < len(parts)-1; i++ {
		if loc := w.x.zones.load(strings.Join(parts[i:], "/")); loc != nil {
			return loc
		}
	}
	if iana := windowsZone(name); iana != "" {
		return w.x.zones.load(iana)
	}
	if w.cal == nil {
		return nil
	}
	for _, c := range w.cal.Children {
		if c.Name != ical.CompTimezone {
			continue
		}
		if p := c.Props.Get(ical.PropTimezoneID); p != nil && strings.Trim(p.Value, "\" \t") == name {
			return w.zoneFrom(c)
		}
	}
	return nil
}

// A moment is a point in time as iCalendar writes it.
type moment struct {
	time.Time
	date  bool // a whole day
	float bool // in no zone of its own
}

// moment reads a value of the property p, which may have several.
func (w *clockwork) moment(p *ical.Prop, value string) (moment, bool) {
	loc, float := w.floating, true
	if tzid := p.Params.Get(ical.ParamTimezoneID); tzid != "" {
		if z := w.zone(tzid); z != nil {
			loc, float = z, false
		}
	}
	return readMoment(value, loc, w.floating, float)
}

// readMoment reads a DATE or DATE-TIME. Local times are taken in loc, dates in
// days.
func readMoment(s string, loc, days *time.Location, float bool) (moment, bool) {
	s = strings.TrimSpace(s)
	utc := strings.HasSuffix(s, "Z")
	s = strings.TrimSuffix(s, "Z")
	year, ok1 := digits(s, 0, 4)
	month, ok2 := digits(s, 4, 2)
	day, ok3 := digits(s, 6, 2)
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > 31 {
		return moment{}, false
	}
	if len(s) == 8 {
		return moment{Time: wallClock(days, year, month, day, 0, 0, 0), date: true, float: true}, true
	}
	hour, ok1 := digits(s, 9, 2)
	minute, ok2 := digits(s, 11, 2)
	second, ok3 := digits(s, 13, 2)
	if len(s) != 15 || s[8] != 'T' || !ok1 || !ok2 || !ok3 || hour > 24 || minute > 59 || second > 60 {
		return moment{}, false
	}
	if utc {
		loc, float = time.UTC, false
	}
	return moment{Time: wallClock(loc, year, month, day, hour, minute, second), float: float}, true
}

func digits(s string, from, n int) (int, bool) {
	if len(s) < from+n {
		return 0, false
	}
	v := 0
	for _, c := range []byte(s[from : from+n]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

// wallClock is the time at which the clocks in loc show that; where they never
// do or do twice, it is what RFC 5545 §3.3.5 says: by the offset that held
// before.
func wallClock(loc *time.Location, year, month, day, hour, minute, second int) time.Time {
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, loc)
	if loc == time.UTC {
		return t
	}
	wall := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	_, before := t.Add(-3 * time.Hour).Zone()
	early := wall.Add(-time.Duration(before) * time.Second).In(loc)
	if sameClock(early, wall) || !sameClock(t, wall) {
		return early
	}
	return t
}

func sameClock(a, b time.Time) bool {
	_, ao := a.Zone()
	_, bo := b.Zone()
	return a.Unix()+int64(ao) == b.Unix()+int64(bo)
}

// duration reads a DURATION (RFC 5545 §3.3.6). Days are 24 hours.
func duration(s string) (time.Duration, bool) {
	s = strings.ToUpper(strings.TrimSpace(s))
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimLeft(s, "+-")
	s, ok := strings.CutPrefix(s, "P")
	if !ok || s == "" {
		return 0, false
	}
	const limit = 200 * 365 * 24 * time.Hour
	var total time.Duration
	n, have := int64(0), false
	for _, c := range []byte(s) {
		var unit time.Duration
		switch c {
		case 'W':
			unit = 7 * 24 * time.Hour
		case 'D':
			unit = 24 * time.Hour
		case 'H':
			unit = time.Hour
		case 'M':
			unit = time.Minute
		case 'S':
			unit = time.Second
		case 'T':
			continue
		default:
			if c < '0' || c > '9' || n > int64(limit/time.Second) {
				return 0, false
			}
			n, have = n*10+int64(c-'0'), true
			continue
		}
		if !have || n > int64(limit/unit) {
			return 0, false
		}
		total += time.Duration(n) * unit
		if total > limit {
			return 0, false
		}
		n, have = 0, false
	}
	if neg {
		total = -total
	}
	return total, !have
}
