// Package event is the cell's one ordered record of what happened, to whom and
// by whom. It feeds the timeline, the live stream of the UI and the logs.
//
// Events tell people. Nothing correct depends on an event being seen: programs
// read state. A slow subscriber loses events rather than hold up the cell, and
// can ask again from the id that it saw last.
package event

import "time"

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
