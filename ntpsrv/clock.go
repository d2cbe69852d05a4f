package ntpsrv

import (
	"time"

	"golang.org/x/sys/unix"
)

// A Clock is what the kernel knows of the host's clock.
type Clock struct {
	// Synchronised says that some program keeps it right.
	Synchronised bool `json:"synchronised"`
	// MaxError bounds how far it is off, EstimatedError guesses it; both mean
	// something only while it is synchronised.
	MaxError       time.Duration `json:"maxError"`
	EstimatedError time.Duration `json:"estimatedError"`
	leap           uint8
}

// readClock asks the kernel, changing nothing. Where it may not be asked, the
// clock counts as not synchronised.
func readClock() Clock {
	var t unix.Timex // Modes 0: read only
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{}
	}
	c := Clock{
		Synchronised:   state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		MaxError:       time.Duration(t.Maxerror) * time.Microsecond,
		EstimatedError: time.Duration(t.Esterror) * time.Microsecond,
	}
	switch {
	case !c.Synchronised:
	case t.Status&unix.STA_INS != 0:
		c.leap = leapInsert
	case t.Status&unix.STA_DEL != 0:
		c.leap = leapDelete
	}
	return c
}

const (
	// drift is how fast an unguided clock may go wrong (RFC 5905 PHI).
	drift = 15e-6
	// maxDispersion bounds what we say of our own error. It grows no further,
	// for clients turn away from servers beyond some 1.5 s, and a household that
	// agrees on a wrong time is better off than one that does not.
	maxDispersion = time.Second
	// startError is how far off an unguided clock is taken to be at the start.
	startError = 10 * time.Millisecond
	// sane is how far the clock may be off its sources to be passed on as theirs.
	sane = 128 * time.Millisecond

	localStratum = 10
)

// localID is the reference of a clock without sources.
var localID = [4]byte{127, 127, 1, 1}

// A state is what is served, until the next poll or look at the clock.
type state struct {
	header
	at         time.Time     // when dispersion held
	dispersion time.Duration // then; it grows by drift
}

// say returns what to tell at now.
func (s *state) say(now time.Time) header {
	h := s.header
	if h.refTime > stamp(now) { // the clock was set back
		h.refTime = stamp(now)
	}
	grown := time.Duration(float64(max(now.Sub(s.at), 0)) * drift)
	h.disp = short(min(s.dispersion+grown, maxDispersion))
	return h
}

// serve decides what to tell, from the kernel's word, the best source (nil:
// none) and when the server began.
func serve(c Clock, best *sample, began, now time.Time) *state {
	s := &state{at: now, header: header{leap: c.leap, stratum: localStratum, refID: localID, refTime: stamp(now)}}
	if c.Synchronised {
		s.dispersion = min(c.MaxError, maxDispersion)
	} else {
		s.at, s.dispersion = began, startError
	}
	if best == nil || best.offset.Abs() > sane {
		return s
	}
	s.stratum = best.stratum + 1
	s.refID, s.refTime = best.refID, stamp(best.at)
	s.delay = short(best.rootDelay + best.delay)
	// The clock is off by the offset, for nobody corrects it.
	s.at, s.dispersion = best.at, best.rootDisp+best.offset.Abs()
	if best.leap == leapInsert || best.leap == leapDelete {
		s.leap = best.leap
	}
	return s
}
