package policy

import (
	"slices"
	"strings"
	"time"

	"pic/core/config"
)

// A schedule is when something is blocked, by the clock on the wall.
type schedule struct {
	days     [7]bool // by time.Weekday: on which it begins
	from, to int     // minutes since midnight; to <= from: of the next day
	services []int   // empty: everything
	text     string
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// newSchedule reads what config has validated.
func newSchedule(s config.Schedule) schedule {
	out := schedule{from: minute(s.From), to: minute(s.To), text: s.From + "-" + s.To}
	if len(s.Days) > 0 {
		out.text = strings.Join(s.Days, " ") + " " + out.text
	}
	for d, name := range weekdays {
		out.days[d] = len(s.Days) == 0 || slices.Contains(s.Days, name)
	}
	return out
}

func minute(s string) int {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0
	}
	return t.Hour()*60 + t.Minute()
}

// active reports whether now, in its location, is within the schedule. It looks
// at the wall alone, so that an hour that is skipped or comes twice makes no
// difference to when it ends.
func (s *schedule) active(now time.Time) bool {
	m, day := now.Hour()*60+now.Minute(), now.Weekday()
	if s.from < s.to {
		return s.days[day] && s.from <= m && m < s.to
	}
	return s.days[day] && m >= s.from || s.days[(day+6)%7] && m < s.to
}
