// Package wire is the JSON of the REST API: what requests and answers look
// like. Both ends use it, the server in package api and the client in
// api/client, so that they cannot drift apart; the OpenAPI is made from it.
//
// Types of the core that are already JSON (the document, events, the status of
// a unit) are used as they are. The package has no behaviour.
package wire

import (
	"encoding/json"

	"pic/core/config"
	"pic/core/event"
	"pic/core/service"
)

// An Error is a problem in the sense of RFC 9457. It travels as
// application/problem+json.
type Error struct {
	Type   string       `json:"type,omitempty" doc:"Always about:blank: the status and code say what it is"`
	Title  string       `json:"title" doc:"The HTTP status in words"`
	Status int          `json:"status" doc:"The HTTP status"`
	Code   string       `json:"code,omitempty" doc:"What went wrong, for programs" enum:"invalid,refused,pending,conflict,throttled,signed-out,forbidden,not-found,setup,busy,internal"`
	Detail string       `json:"detail,omitempty" doc:"What went wrong and what to do, for people"`
	Unit   string       `json:"unit,omitempty" doc:"The service that refused a change"`
	Errors []FieldError `json:"errors,omitempty" doc:"Every field that is wrong"`
}

// A FieldError says what is wrong with one field. Path is a path into the
// document, such as dns.upstreams[0], or names a field of the request.
type FieldError struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// An Outcome is what an edit of the document led to, or with ?dry-run=1 would
// lead to.
type Outcome struct {
	Revision   int64        `json:"revision" doc:"The revision in force after the edit"`
	DryRun     bool         `json:"dryRun,omitempty" doc:"Nothing was changed"`
	DurationMs int64        `json:"durationMs" doc:"How long it took until the change was in force"`
	Diff       []Difference `json:"diff" doc:"What the edit changes"`
	Pending    *Pending     `json:"pending,omitempty" doc:"Set where the change is undone unless confirmed"`
}

// A Difference is one place where two revisions differ, a Revision one past or
// present state of the document, Pending a change that is undone at its deadline
// unless it is confirmed.
type (
	Difference = config.Difference
	Revision   = config.Revision
	Pending    = config.Pending
)

// A Diff lists what differs between two revisions.
type Diff struct {
	From int64        `json:"from"`
	To   int64        `json:"to"`
	Diff []Difference `json:"diff"`
}

// A Value is the part of the document at a path.
type Value struct {
	Path  string          `json:"path" example:"dns.upstreams"`
	Value json.RawMessage `json:"value" doc:"Any JSON; null where the document says nothing"`
}

// Put sets one value of the document.
type Put struct {
	Path           string          `json:"path" minLength:"1" maxLength:"256" example:"dns.upstreams"`
	Value          json.RawMessage `json:"value" doc:"Any JSON"`
	Reason         string          `json:"reason,omitempty" maxLength:"300" doc:"Why, for the history"`
	ConfirmSeconds int             `json:"confirmSeconds,omitempty" minimum:"0" maximum:"3600" doc:"Undo the change after so long unless it is confirmed"`
}

// Tx is several edits that come into force together or not at all.
type Tx struct {
	Edits          []Edit `json:"edits" minItems:"1" maxItems:"200"`
	Reason         string `json:"reason,omitempty" maxLength:"300" doc:"Why, for the history"`
	ConfirmSeconds int    `json:"confirmSeconds,omitempty" minimum:"0" maximum:"3600" doc:"Undo the change after so long unless it is confirmed"`
}

// An Edit sets or deletes the value at Path.
type Edit struct {
	Path   string          `json:"path" minLength:"1" maxLength:"256"`
	Value  json.RawMessage `json:"value,omitempty" doc:"Any JSON"`
	Delete bool            `json:"delete,omitempty" doc:"Delete what is there instead"`
}

// Rollback asks for the document of an old revision.
type Rollback struct {
	Revision int64 `json:"revision" minimum:"1"`
}

// Health is what /api/status says of the whole cell.
type Health struct {
	Cell          Cell              `json:"cell"`
	Version       string            `json:"version"`
	Revision      int64             `json:"revision"`
	UptimeSeconds int64             `json:"uptimeSeconds"`
	MemoryBytes   uint64            `json:"memoryBytes" doc:"Memory that the process got from the system"`
	OK            bool              `json:"ok" doc:"Every service that is on has been applied and runs"`
	Sentence      string            `json:"sentence" doc:"The state of the cell in one sentence"`
	Services      []service.Status  `json:"services" doc:"Empty for the role user"`
	Problems      []UnitProblem     `json:"problems" doc:"Empty for the role user"`
	Pending       *Pending          `json:"pending,omitempty" doc:"Absent where nothing waits"`
	Ports         map[string]uint16 `json:"ports" doc:"The ports that people need: ui, proxy, mail …"`
}

// Pulse is the small status that the event stream carries.
type Pulse struct {
	Revision int64                    `json:"revision"`
	OK       bool                     `json:"ok"`
	Sentence string                   `json:"sentence"`
	Pending  *Pending                 `json:"pending,omitempty" doc:"Absent where nothing waits"`
	States   map[string]service.State `json:"states" doc:"By service; empty for the role user"`
	Problems []string                 `json:"problems" doc:"Codes of the problems; empty for the role user"`
}

// Cell is who the cell is, with defaults filled in.
type Cell struct {
	Name   string      `json:"name"`
	Domain string      `json:"domain"`
	Mode   config.Mode `json:"mode"`
}

// A UnitProblem is something wrong and the service that says so.
type UnitProblem struct {
	Unit string `json:"unit"`
	service.Problem
}

// An Event is what the timeline shows, a Line one line of the log.
type (
	Event = event.Event
	Line  = event.Line
)
