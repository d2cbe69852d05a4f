// Package event is the cell's one ordered record of what happened, to whom and
// by whom. It feeds the timeline, the live stream of the UI and the logs.
//
// Events tell people. Nothing correct depends on an event being seen: programs
// read state. A slow subscriber loses events rather than hold up the cell, and
// can ask again from the id that it saw last.
//
// [Log] keeps the last events, [Lines] the last log lines. Both number what they
// keep: ids grow by one, so a gap means that something was lost, and begin above
// those of an earlier start of the process, so that a client may resume with the
// last id that it saw whatever happened in between. Both are bounded in memory
// and keep nothing on disk.
package event

import (
	"context"
	"maps"
	"time"
)

// An Event is something that happened.
type Event struct {
	ID       int64             `json:"id"` // grows; unique over restarts
	Time     time.Time         `json:"time"`
	Kind     string            `json:"kind"` // noun.verb: change.applied, lease.given, unit.failed
	Severity Severity          `json:"severity"`
	Unit     string            `json:"unit,omitempty"`
	Actor    string            `json:"actor,omitempty"`
	Subject  string            `json:"subject,omitempty"` // what it happened to: a peer, a lease
	Text     string            `json:"text"`              // one sentence for a person
	Attrs    map[string]string `json:"attrs,omitempty"`
}

// Severity ranks events for filters.
type Severity string

const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Bounds of one event or line; what is longer is cut and ends in "…".
const (
	maxText  = 4 << 10 // bytes of a text
	maxWord  = 256     // bytes of a kind, unit, actor, subject, key
	maxValue = 1 << 10 // bytes of the value of an attribute
	maxAttrs = 32      // attributes
)

// A Log keeps the last events in memory. Its methods are safe for concurrent
// use and never wait for a subscriber.
type Log struct{ r *ring[Event] }

// NewLog returns a log that keeps the last size events, at least one.
func NewLog(size int) *Log { return &Log{newRing(size, func(e *Event) *int64 { return &e.ID })} }

// Append gives e the next id, and the present time if it has none, keeps it and
// hands it to the subscribers. It returns the event as it was kept: overlong
// parts are cut. The caller may go on using e.Attrs.
func (l *Log) Append(e Event) Event {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.Severity == "" {
		e.Severity = Info
	}
	for _, s := range []*string{&e.Kind, &e.Unit, &e.Actor, &e.Subject} {
		*s = cut(*s, maxWord)
	}
	e.Text = cut(e.Text, maxText)
	attrs := e.Attrs
	e.Attrs = nil
	for k, v := range attrs {
		if e.Attrs == nil {
			e.Attrs = make(map[string]string, min(len(attrs), maxAttrs))
		}
		if len(e.Attrs) == maxAttrs {
			break
		}
		e.Attrs[cut(k, maxWord)] = cut(v, maxValue)
	}
	e = l.r.append(e)
	e.Attrs = maps.Clone(e.Attrs)
	return e
}

// Restore puts back events that were kept elsewhere, with their ids, in the
// order of their ids and before the first Append. Ids continue above theirs,
// even where the clock went back since.
func (l *Log) Restore(old []Event) { l.r.restore(old) }

// Since returns the first n events after the one with that id, oldest first; all
// of them if n is not positive. Id 0 begins with the oldest kept. Nobody may
// change the Attrs of what it returns.
func (l *Log) Since(id int64, n int) []Event { return l.r.since(id, n) }

// Last returns the last n events, oldest first.
func (l *Log) Last(n int) []Event { return l.r.last(n) }

// LastID returns the id of the last event, or one that is lower than that of
// any event to come.
func (l *Log) LastID() int64 { return l.r.lastID() }

// Subscribe delivers the events after the one with the id since, first those
// kept, then new ones as they come, until ctx is done; then it closes the
// channel. A subscriber that falls more than 256 events behind loses events,
// which shows as a gap in the ids.
func (l *Log) Subscribe(ctx context.Context, since int64) <-chan Event {
	return l.r.subscribe(ctx, since)
}
