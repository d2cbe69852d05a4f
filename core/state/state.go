// Package state keeps what the cell found out and must not forget: an ordered
// key-value store with transactions.
//
// A [DB] is one file. Each service has a [Space] of its own in it, whose keys
// collide with nobody's; how they are laid out is written in the service's
// package doc. [Space.View] reads one moment of a space, [Space.Update] changes
// it: all of it or nothing.
//
// Promises:
//   - Update returns nil only after its changes are on stable storage; what it
//     acknowledged is there after kill -9 and after power loss.
//   - Updates that wait at the same time share one commit, so that many writers
//     cost about as many syncs as one. A function that fails takes back its own
//     changes and nobody else's.
//   - A View never waits for an Update, nor an Update for a View.
//   - A sync that fails is final. Nobody knows then what the disk holds, so no
//     later Update is acknowledged, with [ErrFailed]; reading goes on, and
//     [DB.Err] tells whoever shows problems. A full disk is not final.
//
// Values are bounded by [MaxValue]. High-rate data belongs in a journal, see
// [pic/core/state/journal]. The file never shrinks. Nothing of the engine shows
// through this interface, so that another can stand behind it.
package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"pic/internal/faultfs"
)

// Bounds of one pair, in bytes.
const (
	MaxKey   = 32 << 10
	MaxValue = 32 << 20
)

var (
	// ErrClosed says that the DB was closed.
	ErrClosed = errors.New("the state is closed")
	// ErrFailed says that the disk failed earlier and nothing is saved any more.
	ErrFailed = errors.New("the disk failed, so nothing more is saved until pic starts again")
	// ErrInUse says that another process has the file open.
	ErrInUse = errors.New("another process uses it")
)

// A PanicError is a panic of the function of a View or an Update.
type PanicError struct {
	Text  string // what it panicked with
	Stack []byte // for the log
}

func (e *PanicError) Error() string { return "panic: " + e.Text }

// A Reader reads one key space at one moment. What it returns is valid only
// until the function that got the Reader returns, and must not be changed.
// Neither the Reader nor its iterators may be used after that, nor by more than
// one goroutine.
type Reader interface {
	// Get returns nil where there is no such key.
	Get(key []byte) []byte
	// Scan yields the pairs whose key begins with prefix, from the key from on
	// (nil: from the first), in order. The loop may change the space: it goes on
	// behind the key that it was at.
	Scan(prefix, from []byte) iter.Seq2[[]byte, []byte]
}

// A Writer changes one key space. Changes of an Update that fails are undone.
// It sees its own changes.
type Writer interface {
	Reader
	// Put keeps copies of both. Keys must not be empty.
	Put(key, value []byte) error
	// Delete of what is not there is no error.
	Delete(key []byte) error
	// Next returns a number that no call for this key space returned before,
	// beginning with 1. Numbers given to an Update that failed are not given
	// again while the process lives.
	Next() (uint64, error)
}

// A DB is an open state file. Its methods are safe for concurrent use.
type DB struct {
	bolt   *bbolt.DB
	commit func(*bbolt.Tx) error // tests let it fail

	queue chan *update  // unbuffered: who was taken from it has its turn
	stop  chan struct{} // closed by Close
	ended chan struct{} // closed when the committer has ended

	closing sync.Once
	mu      sync.Mutex
	err     error // final

	numbers map[string]uint64 // highest number given, by space; the committer's turn guards it
}

// mapped is how much address space is set aside for the file, so that growing
// it need not wait for readers. It costs no memory.
const mapped = 256 << 20

// Open opens the file, and makes it if there is none. Only one process can have
// it open: after half a second of waiting the error is [ErrInUse].
func Open(path string) (*DB, error) {
	db, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return db, nil
}

func open(path string) (*DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, err
		}
	}
	b, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	db := &DB{
		bolt: b, commit: (*bbolt.Tx).Commit,
		queue: make(chan *update), stop: make(chan struct{}), ended: make(chan struct{}),
		numbers: map[string]uint64{},
	}
	go db.committer()
	return db, nil
}

func openBolt(path string) (b *bbolt.DB, err error) {
	defer func() {
		if p := recover(); p != nil { // a damaged file can make the engine panic
			err = fmt.Errorf("the file is damaged: %v", p)
		}
	}()
	b, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         500 * time.Millisecond,
		FreelistType:    bbolt.FreelistMapType,
		NoFreelistSync:  true,
		InitialMmapSize: mapped,
		NoStatistics:    true,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, err
	}
	b.AllocSize = 1 << 20 // the file grows by this much
	return b, nil
}

// create makes an empty state file that is whole or not there.
func create(path string) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b, err := openBolt(tmp)
	if err != nil {
		return err
	}
	if err := b.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return faultfs.OS.SyncDir(filepath.Dir(path))
}

// Close waits for the updates under way, refuses others and lets go of the file.
// It must not be called from within a View or an Update.
func (db *DB) Close() error {
	db.closing.Do(func() { close(db.stop) })
	<-db.ended
	if err := db.Err(); err != nil {
		return err // what an engine that failed still holds ends with the process
	}
	return db.bolt.Close()
}

// Err returns why nothing is saved any more: an error that wraps [ErrFailed], or
// nil while all is well.
func (db *DB) Err() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.err
}

func (db *DB) fail(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.err == nil {
		db.err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
}

// Snapshot writes all spaces as they are at one moment to w, as a file that
// [Open] reads. Updates go on meanwhile, but space that they free is not used
// again until it returns.
func (db *DB) Snapshot(w io.Writer) error {
	err := db.bolt.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Space returns the key space of that name, which must not be empty and should
// be that of its service. It costs nothing and may be called more than once.
func (db *DB) Space(name string) *Space { return &Space{db: db, name: []byte(name)} }

// A Space is one service's part of a DB. Its methods are safe for concurrent use.
type Space struct {
	db   *DB
	name []byte
}

// View calls fn with a Reader of the space as it is now. It returns what fn
// returns, or a [PanicError]. Keep fn short: space that updates free cannot be
// used again before the oldest View ends. fn must not call Update and wait.
func (s *Space) View(fn func(Reader) error) error {
	err := s.db.bolt.View(func(tx *bbolt.Tx) error {
		v := &view{bucket: tx.Bucket(s.name)}
		defer func() { v.over = true }()
		return guard(func() error { return fn(v) })
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Update calls fn with a Writer of the space and returns once all that fn did is
// on stable storage. If fn returns an error or panics, nothing that it did
// remains, and Update returns that error or a [PanicError]. fn runs alone among
// all updates of the DB: it must be short, wait for nothing, and call no other
// Update.
//
// If ctx is done before fn had its turn, fn is not called; once fn was called,
// Update waits for the commit whatever ctx says.
func (s *Space) Update(ctx context.Context, fn func(Writer) error) error {
	if len(s.name) == 0 {
		return errors.New("a key space without a name")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	u := &update{space: s.name, turn: make(chan *editor, 1), ran: make(chan error, 1), done: make(chan error, 1)}
	select {
	case s.db.queue <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.db.stop:
		return ErrClosed
	}
	e := <-u.turn
	if e != nil {
		u.run(e, fn)
	}
	return <-u.done
}

// guard turns a panic of fn into an error, also that of a disk whose pages
// cannot be read, which would otherwise end the process.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Text: fmt.Sprint(p), Stack: debug.Stack()}
		}
	}()
	return fn()
}
