// Package service says what a server of the cell is, ties servers to the
// document, and keeps them running.
//
// A [Server] speaks one protocol. [Bind] makes it a [Unit], which follows the
// part of the document that its view picks. A [Group] runs units, restarts the
// fallen with backoff, and knows their state and problems.
package service

import (
	"context"
	"time"

	"pic/core/config"
)

// A Server speaks one protocol for as long as the cell runs. C is the part of
// the document that it depends on, already resolved: addresses parsed, defaults
// filled, names made absolute. C must be comparable by reflect.DeepEqual.
type Server[C any] interface {
	// Check reports why c could not be applied. It changes nothing and is quick.
	Check(ctx context.Context, c C) error

	// Apply makes the server follow c. It returns once c is in force: sockets
	// bound, tables swapped. On error the server still follows the C before. It
	// is idempotent and local: no network, no waiting for others, under 1 s. The
	// first Apply comes before Run, and again before each restart of Run.
	Apply(ctx context.Context, c C) error

	// Run serves until ctx is done, then lets go of everything it holds. It
	// returns nil only when ctx ended it. After Run has returned, Apply and Run
	// may be called again.
	Run(ctx context.Context) error
}

// A Unit is a server bound to the document.
type Unit interface {
	config.Unit
	Run(ctx context.Context) error
	// Status says what the unit is doing; the Group adds State, Since, Restarts.
	Status() Status
}

// A Reporter is a Server that tells more about itself than that it runs.
type Reporter interface {
	// Problems lists what is wrong now, most severe first. It must not block.
	Problems() []Problem
	// Sockets lists what it listens on, as "udp 127.0.0.1:53".
	Sockets() []string
	// Facts are a few words about the present state, for the Services page, as
	// name and value: {"leases", "14"}.
	Facts() []Fact
}

// A Fact is one line of what a service knows of its own state.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Severity ranks problems.
type Severity string

const (
	Warning Severity = "warning" // degraded
	Failure Severity = "failure" // somebody must act
)

// A Problem is something wrong with the cell, in words for its owner.
type Problem struct {
	Code     string    `json:"code"`  // stable, such as dns/upstreams-down
	Title    string    `json:"title"` // one line
	Text     string    `json:"text,omitempty"`
	Fix      string    `json:"fix,omitempty"` // what the owner can do
	Severity Severity  `json:"severity"`
	Since    time.Time `json:"since"`
}

// State is where a unit is in its life.
type State string

const (
	Starting State = "starting"
	Running  State = "running"
	Failing  State = "failing" // waiting for its next try
	Stopped  State = "stopped"
	Off      State = "off" // switched off in the document
)

// Status is what is known of a unit.
type Status struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	Since    time.Time `json:"since"`          // of State
	Began    time.Time `json:"began,omitzero"` // when it last began to run
	Restarts int       `json:"restarts"`
	Sockets  []string  `json:"sockets,omitempty"`
	Facts    []Fact    `json:"facts,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
}
