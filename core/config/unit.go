package config

import (
	"context"
	"errors"
	"time"
)

// A Unit is anything that must follow the document. Its methods get resolved
// documents and are never called at the same time by one Store.
type Unit interface {
	Name() string
	// Check reports why the unit could not follow next. It changes nothing.
	Check(ctx context.Context, next *Document) error
	// Apply makes the unit follow next. On error it still follows what it
	// followed before.
	Apply(ctx context.Context, next *Document) error
	// Restore makes the unit follow d, which is in force whether the unit can
	// follow it or not: at start, and after a change was refused. A unit that
	// cannot says so in its status and keeps trying.
	Restore(ctx context.Context, d *Document) error
}

// A FieldError says which field of the document is wrong, in words the user can
// act on. The UI shows it beside the field at Path, such as dns.port or
// peers.laptop.address.
type FieldError struct{ Path, Problem string }

func (e *FieldError) Error() string { return e.Path + ": " + e.Problem }

// FieldErrors returns all the FieldErrors that err holds.
func FieldErrors(err error) []*FieldError {
	var out []*FieldError
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case nil:
		case *FieldError:
			out = append(out, e)
		case interface{ Unwrap() []error }:
			for _, e := range e.Unwrap() {
				walk(e)
			}
		default:
			walk(errors.Unwrap(err))
		}
	}
	walk(err)
	return out
}

// A RefusedError reports that a unit could not follow a valid document, and that
// the document before is still in force.
type RefusedError struct {
	Unit string
	Err  error
}

func (e *RefusedError) Error() string { return e.Unit + " refused the change: " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

var (
	// ErrConflict reports that the document is not the one that the caller saw.
	ErrConflict = errors.New("the document was changed by someone else; load it again and repeat the edit")
	// ErrPending reports that an earlier change still waits for its confirmation.
	ErrPending = errors.New("an earlier change waits for its confirmation; confirm or revert it first")
	// ErrNotPending reports that there is nothing to confirm or to revert.
	ErrNotPending = errors.New("no change waits for a confirmation")
	// ErrNoRevision reports a revision that is not kept.
	ErrNoRevision = errors.New("no such revision is kept")
	// ErrClosed reports a change that came while the cell stops.
	ErrClosed = errors.New("the cell is stopping; repeat the change when it runs again")
)

// A Change is one edit of the document.
type Change struct {
	Base   int64  // revision the caller last saw; 0 edits whatever is current
	Actor  string // who, for the history
	Reason string // why, for the history; may be empty
	Edit   func(*Document) error
	// Confirm undoes the change after this long unless [Store.Confirm] is
	// called; 0 makes it final at once. A restart undoes it too.
	Confirm time.Duration
	// Probe only checks: the document is edited, validated and offered to the
	// units' Check, and nothing changes.
	Probe bool

	forced bool // no unit is asked whether it can follow
}

// A Pending is a change that waits for its confirmation.
type Pending struct {
	Revision int64     `json:"revision"`
	Base     int64     `json:"base"` // restored unless confirmed
	Deadline time.Time `json:"deadline"`
}

// A Revision is one entry of the history.
type Revision struct {
	Number int64        `json:"revision"`
	Time   time.Time    `json:"time"`
	Actor  string       `json:"actor"`
	Reason string       `json:"reason,omitempty"`
	Diff   []Difference `json:"diff"`
}
