package ntpsrv

import (
	"fmt"
	"time"

	"pic/core/service"
)

// Counters are counts since the start.
type Counters struct {
	Queries   uint64 `json:"queries"`
	Answered  uint64 `json:"answered"`
	Refused   uint64 `json:"refused"`   // from outside of the allowed prefixes
	Limited   uint64 `json:"limited"`   // too many of one client, or too late
	Malformed uint64 `json:"malformed"` // no queries at all
}

// Served returns the counts.
func (s *Server) Served() Counters {
	c := &s.count
	return Counters{
		Queries: c.queries.Load(), Answered: c.answered.Load(), Refused: c.refused.Load(),
		Limited: c.limited.Load(), Malformed: c.malformed.Load(),
	}
}

// Sources returns what is known of each source, in the document's order.
func (s *Server) Sources() []SourceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []SourceStatus{}
	for _, src := range s.sources {
		src.mu.Lock()
		st := src.status
		src.mu.Unlock()
		st.Selected = src == s.best
		out = append(out, st)
	}
	return out
}

// Status is what the server tells its clients, and why.
type Status struct {
	Clock      Clock         `json:"clock"`
	Stratum    uint8         `json:"stratum"`
	Leap       uint8         `json:"leap"`       // 0 none, 1 a second more at the end of the month, 2 one less
	Dispersion time.Duration `json:"dispersion"` // how far off we say that we may be
	Source     string        `json:"source,omitempty"`
	Offset     time.Duration `json:"offset"` // of the selected source
}

// Status returns what is being told. It is zero while nothing is served.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state.Load()
	if st == nil || s.run == nil {
		return Status{}
	}
	h := st.say(time.Now())
	out := Status{
		Clock: s.clock, Stratum: h.stratum, Leap: h.leap,
		Dispersion: time.Duration(float64(h.disp) / (1 << 16) * float64(time.Second)),
	}
	if s.best != nil {
		s.best.mu.Lock()
		out.Source, out.Offset = s.best.name, s.best.status.Offset
		s.best.mu.Unlock()
	}
	return out
}

// Sockets implements service.Reporter.
func (s *Server) Sockets() []string { return s.set.Sockets() }

// Facts implements service.Reporter.
func (s *Server) Facts() []service.Fact {
	st := s.Status()
	if st.Stratum == 0 {
		return nil
	}
	clock := "not synchronised"
	if st.Clock.Synchronised {
		clock = "synchronised"
	}
	out := []service.Fact{
		{Name: "clock", Value: clock},
		{Name: "stratum", Value: fmt.Sprint(st.Stratum)},
		{Name: "answers", Value: fmt.Sprint(s.Served().Answered)},
	}
	if st.Source != "" {
		out = append(out, service.Fact{Name: "offset", Value: st.Offset.Round(time.Microsecond).String()})
	}
	return out
}

// Problems implements service.Reporter.
func (s *Server) Problems() []service.Problem {
	st := s.Status()
	if st.Stratum == 0 || len(s.set.Sockets()) == 0 {
		return nil
	}
	s.mu.Lock()
	began := s.began
	s.mu.Unlock()
	sources := s.Sources()
	switch {
	case st.Source != "" && st.Offset.Abs() > sane:
		return []service.Problem{{
			Code:     "ntp/clock-off",
			Title:    fmt.Sprintf("The clock of this host is %v off", st.Offset.Abs().Round(time.Millisecond)),
			Text:     fmt.Sprintf("%s says so. The cell does not set the clock, and tells its clients that the time is not to be relied on.", st.Source),
			Fix:      "Let a program keep the clock right: install chrony, or switch systemd-timesyncd on.",
			Severity: service.Failure,
			Since:    began,
		}}
	case len(sources) > 0 && st.Source == "" && tried(sources):
		return []service.Problem{{
			Code:     "ntp/sources-down",
			Title:    "No time server answers",
			Text:     "Nothing is known of how far the clock is off. The last error: " + sources[0].Error,
			Fix:      "See whether the internet connection is up; if it is, set ntp.sources to servers that answer.",
			Severity: service.Warning,
			Since:    began,
		}}
	case len(sources) == 0 && !st.Clock.Synchronised:
		return []service.Problem{{
			Code:     "ntp/clock-unwatched",
			Title:    "Nobody keeps the clock of this host right",
			Text:     "The kernel knows of no program that does, and there are no sources to compare the clock with.",
			Fix:      "Switch systemd-timesyncd on or install chrony; and set ntp.sources to see how far the clock is off.",
			Severity: service.Warning,
			Since:    began,
		}}
	}
	return nil
}

// tried reports whether every source was asked, and failed.
func tried(sources []SourceStatus) bool {
	for _, src := range sources {
		if src.State == Waiting && src.Error == "" {
			return false
		}
	}
	return true
}
