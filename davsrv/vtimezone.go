package davsrv

import (
	"cmp"
	"encoding/binary"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/teambition/rrule-go"

	"pic/internal/order"
)

// Bounds of a VTIMEZONE that is turned into a zone.
const (
	maxObservances = 32
	maxOnsets      = 600 // of one observance
	lastOnset      = 2100
)

// An onset is a change of the offset from UTC.
type onset struct {
	at     int64 // Unix seconds
	offset int   // seconds east of UTC from then on
}

// zoneFrom builds the zone that a VTIMEZONE describes (RFC 5545 §3.6.5). The
// transitions are written as TZif (RFC 8536), which package time reads. Nil
// means that the component describes none.
func (w *clockwork) zoneFrom(tz *ical.Component) *time.Location {
	var onsets []onset
	first, earliest := 0, time.Time{}
	if len(tz.Children) > maxObservances {
		return nil
	}
	for _, c := range tz.Children {
		if c.Name != ical.CompTimezoneStandard && c.Name != ical.CompTimezoneDaylight {
			continue
		}
		start, ok := readMoment(value(c, ical.PropDateTimeStart), time.UTC, time.UTC, true)
		from, ok2 := utcOffset(value(c, ical.PropTimezoneOffsetFrom))
		to, ok3 := utcOffset(value(c, ical.PropTimezoneOffsetTo))
		if !ok || !ok2 || !ok3 {
			return nil
		}
		if earliest.IsZero() || start.Before(earliest) {
			first, earliest = from, start.Time
		}
		for _, t := range w.observed(c, start.Time, from) {
			onsets = append(onsets, onset{t.Unix() - int64(from), to})
		}
	}
	if len(onsets) == 0 {
		return nil
	}
	order.By(onsets, func(a, b onset) int { return cmp.Compare(a.at, b.at) })
	loc, err := time.LoadLocationFromTZData(value(tz, ical.PropTimezoneID), tzif(first, onsets))
	if err != nil {
		return nil
	}
	return loc
}

// observed lists the local times, written as UTC, at which an observance begins.
func (w *clockwork) observed(c *ical.Component, start time.Time, from int) []time.Time {
	out := []time.Time{start}
	for _, p := range c.Props.Values(ical.PropRecurrenceDates) {
		for v := range strings.SplitSeq(p.Value, ",") {
			if m, ok := readMoment(v, time.UTC, time.UTC, true); ok && len(out) < maxOnsets {
				out = append(out, m.Time)
			}
		}
	}
	rule := c.Props.Get(ical.PropRecurrenceRule)
	if rule == nil {
		return out
	}
	opt, err := readRule(rule.Value, moment{Time: start, float: true}, time.UTC)
	if err != nil || opt.Freq != rrule.YEARLY {
		return out // anything else would not be the rule of a time zone
	}
	if !opt.Until.IsZero() {
		opt.Until = opt.Until.Add(time.Duration(from) * time.Second) // it is in UTC
	}
	more := new([]time.Time)
	err = w.run(*opt, func(t time.Time) bool {
		*more = append(*more, t)
		return len(*more) < maxOnsets && t.Year() < lastOnset
	})
	if err != nil {
		return out
	}
	return append(out, *more...)
}

func value(c *ical.Component, name string) string {
	if p := c.Props.Get(name); p != nil {
		return p.Value
	}
	return ""
}

// utcOffset reads +hhmm or +hhmmss as seconds.
func utcOffset(s string) (int, bool) {
	s = strings.TrimSpace(s)
	if len(s) != 5 && len(s) != 7 {
		return 0, false
	}
	h, ok1 := digits(s, 1, 2)
	m, ok2 := digits(s, 3, 2)
	sec, ok3 := 0, true
	if len(s) == 7 {
		sec, ok3 = digits(s, 5, 2)
	}
	if !ok1 || !ok2 || !ok3 || h > 24 || m > 59 || sec > 59 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	v := h*3600 + m*60 + sec
	if s[0] == '-' {
		v = -v
	}
	return v, true
}

// tzif encodes a zone that has the offset first until the first onset.
func tzif(first int, onsets []onset) []byte {
	offsets := []int{first} // type 0 is used by no onset, so that it holds before
	index := func(v int) byte {
		for i := 1; i < len(offsets); i++ {
			if offsets[i] == v {
				return byte(i)
			}
		}
		offsets = append(offsets, v)
		return byte(len(offsets) - 1)
	}
	types := make([]byte, len(onsets))
	for i, o := range onsets {
		types[i] = index(o.offset)
	}
	header := func(b []byte, times, kinds, chars int) []byte {
		b = append(b, "TZif2"...)
		b = append(b, make([]byte, 15+3*4)...)
		b = binary.BigEndian.AppendUint32(b, uint32(times))
		b = binary.BigEndian.AppendUint32(b, uint32(kinds))
		return binary.BigEndian.AppendUint32(b, uint32(chars))
	}
	b := header(nil, 0, 0, 0)
	b = header(b, len(onsets), len(offsets), 1)
	for _, o := range onsets {
		b = binary.BigEndian.AppendUint64(b, uint64(o.at))
	}
	b = append(b, types...)
	for _, v := range offsets {
		b = binary.BigEndian.AppendUint32(b, uint32(int32(v)))
		b = append(b, 0, 0)
	}
	return append(b, 0, '\n', '\n')
}
