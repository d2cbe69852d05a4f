package state

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"

	"go.etcd.io/bbolt"
)

// A view is a Reader.
type view struct {
	bucket *bbolt.Bucket // nil: nothing was ever written to the space
	over   bool          // its function has returned
	writes int           // lets a Scan see that its cursor is stale
}

const errOver = "a Reader was used after its function had returned"

func (v *view) Get(key []byte) []byte {
	if v.over {
		panic(errOver)
	}
	if v.bucket == nil || len(key) == 0 {
		return nil
	}
	return v.bucket.Get(key)
}

func (v *view) Scan(prefix, from []byte) iter.Seq2[[]byte, []byte] {
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	prefix, from = bytes.Clone(prefix), bytes.Clone(from)
	return func(yield func(k, v []byte) bool) {
		if v.over {
			panic(errOver)
		}
		if v.bucket == nil {
			return
		}
		c := v.bucket.Cursor()
		k, val := c.Seek(from)
		for k != nil && bytes.HasPrefix(k, prefix) {
			writes := v.writes
			if !yield(k, val) {
				return
			}
			if v.over {
				panic(errOver)
			}
			if v.writes == writes {
				k, val = c.Next()
			} else {
				c = v.bucket.Cursor()
				k, val = c.Seek(append(slices.Clip(k), 0)) // the next possible key
			}
		}
	}
}

// An editor is a Writer. It notes how to take back what it does.
type editor struct {
	view
	db   *DB
	name string
	undo []change
}

// A change is what a key held before. Values of the engine stay valid for as
// long as its transaction, even when the key gets another.
type change struct {
	key, old []byte
	was      bool
}

func (db *DB) editor(tx *bbolt.Tx, space []byte) (e *editor, err error) {
	err = guard(func() error {
		b, err := tx.CreateBucketIfNotExists(space)
		if err != nil {
			return fmt.Errorf("key space %q: %w", space, err)
		}
		e = &editor{view: view{bucket: b}, db: db, name: string(space)}
		return nil
	})
	return e, err
}

func (e *editor) note(key []byte) []byte {
	key = bytes.Clone(key)
	old := e.bucket.Get(key)
	e.undo = append(e.undo, change{key, old, old != nil})
	e.writes++
	return key
}

func (e *editor) Put(key, value []byte) error {
	switch {
	case e.over:
		return errors.New(errOver)
	case len(key) == 0:
		return errors.New("an empty key")
	case len(key) > MaxKey:
		return fmt.Errorf("a key of %d bytes; at most %d are possible", len(key), MaxKey)
	case len(value) > MaxValue:
		return fmt.Errorf("a value of %d bytes; at most %d are possible", len(value), MaxValue)
	}
	// The engine keeps the value until the commit, so it gets its own; one that
	// is not nil, since nil is what Get returns for no key at all.
	return e.bucket.Put(e.note(key), append(make([]byte, 0, len(value)), value...))
}

func (e *editor) Delete(key []byte) error {
	switch {
	case e.over:
		return errors.New(errOver)
	case len(key) == 0 || e.bucket.Get(key) == nil:
		return nil
	}
	return e.bucket.Delete(e.note(key))
}

func (e *editor) Next() (uint64, error) {
	if e.over {
		return 0, errors.New(errOver)
	}
	n := max(e.db.numbers[e.name], e.bucket.Sequence()) + 1
	e.db.numbers[e.name] = n
	e.undo = append(e.undo, change{}) // it counts as a change, and is not taken back
	return n, e.bucket.SetSequence(n)
}

// revert takes back what was done, last first.
func (e *editor) revert() error {
	for _, c := range slices.Backward(e.undo) {
		var err error
		switch {
		case c.key == nil:
		case c.was:
			err = e.bucket.Put(c.key, c.old)
		default:
			err = e.bucket.Delete(c.key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
