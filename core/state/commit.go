package state

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"go.etcd.io/bbolt"
)

// batch is the most updates that share one commit.
const batch = 1024

// An update is one call of Update. Its function runs in the goroutine of the
// caller, while the committer waits for it.
type update struct {
	space []byte
	turn  chan *editor // the caller's turn; nil: there is none
	ran   chan error   // what the function returned
	done  chan error   // what Update returns
}

// errExited is what a function ran into that never returned.
var errExited = errors.New("the function ended its goroutine")

func (u *update) run(e *editor, fn func(Writer) error) {
	err := errExited
	defer func() {
		e.over = true
		u.ran <- err
	}()
	err = guard(func() error { return fn(e) })
}

// committer gives one update after the other its turn and commits them together
// as soon as nobody waits.
func (db *DB) committer() {
	defer close(db.ended)
	for {
		select {
		case u := <-db.queue:
			db.round(u)
		case <-db.stop:
			return
		}
	}
}

// round runs u and all that wait meanwhile in one transaction of the engine.
func (db *DB) round(u *update) {
	var tx *bbolt.Tx
	err := db.Err()
	if err == nil {
		err = guard(func() (err error) {
			tx, err = db.bolt.Begin(true)
			return err
		})
	}
	if err != nil {
		u.turn <- nil
		u.done <- err
		return
	}
	var waiting []*update
	var broken, changed bool
	for n := 0; u != nil; n++ {
		e, err := db.editor(tx, u.space)
		if err != nil {
			u.turn <- nil
			u.done <- err
		} else {
			u.turn <- e
			err = <-u.ran
			if err == nil {
				waiting = append(waiting, u)
				changed = changed || len(e.undo) > 0
			} else {
				// What cannot be taken back, in a damaged file, must not be committed.
				broken = guard(e.revert) != nil
				u.done <- err
			}
		}
		u = nil
		if n < batch && !broken {
			select {
			case u = <-db.queue:
			default:
			}
		}
	}
	err = nil
	switch {
	case broken:
		err = errors.New("saving state: another change at the same time went wrong; try again")
		_ = guard(tx.Rollback)
	case !changed:
		err = guard(tx.Rollback)
	default:
		err = db.finish(tx)
	}
	for _, u := range waiting {
		u.done <- err
	}
}

// finish commits. Only a write that found no room may be tried again with the
// next update: it changed pages that nobody refers to.
func (db *DB) finish(tx *bbolt.Tx) error {
	err := guard(func() error { return db.commit(tx) })
	if err == nil {
		return nil
	}
	var perr *fs.PathError
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	if full && errors.As(err, &perr) {
		return fmt.Errorf("saving state: %w", err)
	}
	db.fail(err)
	return db.Err()
}
