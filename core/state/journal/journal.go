// Package journal is an append-only file of records for data that changes too
// often for the database: leases, events, mail, queries.
//
// Promises:
//   - [Log.Append] returns nil only after its record is on stable storage;
//     records appended at the same time share one sync.
//   - At [Open] the acknowledged records come back in their order. The rest of a
//     write that power loss cut short is cut off. Damage before the end is an
//     error that names the place, a [*DamageError], and nothing is changed.
//   - [Log.Rewrite] replaces the file by a shorter one at once or not at all.
//   - A sync that fails is final: nobody knows then what the disk holds, so
//     nothing is acknowledged any more, with [ErrFailed]. A full disk is not
//     final: the half-written record is cut off, and the next may succeed.
//
// A journal knows nothing of what its records mean. Records may come back that
// were not acknowledged, and after a Rewrite some may come back twice, so
// replaying must not mind: write states, not differences.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"pic/internal/faultfs"
)

var (
	// ErrClosed says that the journal was closed.
	ErrClosed = errors.New("the journal is closed")
	// ErrFailed says that the disk failed earlier and nothing is saved any more.
	ErrFailed = errors.New("the disk failed, so nothing more is saved until the file is opened anew")
	// ErrInUse says that another process has the file open.
	ErrInUse = errors.New("another process uses it")
	// ErrTooLarge says that a record is larger than the journal takes.
	ErrTooLarge = errors.New("the record is too large for the journal")
)

// A DamageError says that a journal is damaged before its end, so that records
// that were acknowledged cannot be read.
type DamageError struct {
	Offset int64 // of the first damaged frame
	Next   int64 // of the next whole one; 0: nothing can be read
}

func (e *DamageError) Error() string {
	if e.Next == 0 {
		return "it is not a journal of pic, or its beginning is damaged; restore it from a backup, " +
			"or move it away to start without what it holds"
	}
	return fmt.Sprintf("it is damaged at offset %d, and readable again from offset %d; restore it from a backup, "+
		"or move it away to start without what it holds", e.Offset, e.Next)
}

// An Option changes how a journal is opened.
type Option func(*Log)

// WithFS lets the journal live on fs instead of the file system of the host.
func WithFS(fsys faultfs.FS) Option { return func(l *Log) { l.fs = fsys } }

// WithMaxRecord bounds records to n bytes, at most 4 MiB; the default is 1 MiB.
func WithMaxRecord(n int) Option { return func(l *Log) { l.maxRecord = min(n, maxBody/2) } }

// A Log is an open journal. Its methods are safe for concurrent use.
type Log struct {
	path      string
	fs        faultfs.FS
	maxRecord int

	queue chan *waiter // unbuffered
	stop  chan struct{}
	ended chan struct{}
	once  sync.Once

	mu   sync.Mutex // held while the file is written or replaced
	file faultfs.File
	salt salt // of file
	buf  frame

	smu  sync.Mutex // never held while waiting
	size int64
	torn int64
	err  error // final
}

// Open opens the journal at path, and makes it if there is none. It calls replay
// with every record, in order; the record is valid only during the call. An
// error of replay, or damage, ends Open and leaves the file as it is. Only one
// process can have a journal open.
func Open(path string, replay func(rec []byte) error, opts ...Option) (*Log, error) {
	l := &Log{
		path: path, fs: faultfs.OS, maxRecord: 1 << 20,
		queue: make(chan *waiter), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	for _, o := range opts {
		o(l)
	}
	if err := l.open(replay); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	go l.committer()
	return l, nil
}

func (l *Log) open(fn func([]byte) error) error {
	f, err := l.fs.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		err = l.resume(f, fn)
		if err != nil {
			f.Close()
		}
		if err != errEmpty {
			return err
		}
	}
	err = l.replace(context.Background(), func(func([]byte) error) error { return nil })
	if err != nil && l.file != nil {
		l.file.Close()
	}
	return err
}

// errEmpty says that a file is there and was never written to.
var errEmpty = errors.New("empty")

// resume replays f and goes on behind its last whole frame.
func (l *Log) resume(f faultfs.File, fn func([]byte) error) error {
	if err := lock(f); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() == 0 {
		return errEmpty
	}
	l.file = f
	if l.salt, l.size, err = replay(f, st.Size(), fn); err != nil {
		return err
	}
	if l.torn = st.Size() - l.size; l.torn == 0 {
		return nil
	}
	if err := f.Truncate(l.size); err != nil {
		return err
	}
	return f.Sync()
}

// lock keeps other processes out for as long as the file is open.
func lock(f faultfs.File) error {
	fd, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return nil // not a file of the host
	}
	err := syscall.Flock(int(fd.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

// datasync makes the content of f durable, and its length.
func datasync(f faultfs.File) error {
	fd, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return f.Sync()
	}
	for {
		if err := syscall.Fdatasync(int(fd.Fd())); err != syscall.EINTR {
			return err
		}
	}
}

// Size returns the length of the file in bytes.
func (l *Log) Size() int64 {
	l.smu.Lock()
	defer l.smu.Unlock()
	return l.size
}

// Torn returns how many bytes Open cut off the end: what was being written, and
// had not been acknowledged, when the power went.
func (l *Log) Torn() int64 { return l.torn }

// Err returns why nothing is saved any more: an error that wraps [ErrFailed], or
// nil while all is well.
func (l *Log) Err() error {
	l.smu.Lock()
	defer l.smu.Unlock()
	return l.err
}

func (l *Log) fail(err error) error {
	l.smu.Lock()
	defer l.smu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return l.err
}

func (l *Log) setSize(n int64) {
	l.smu.Lock()
	defer l.smu.Unlock()
	l.size = n
}

// Close waits for what is being appended, refuses the rest and closes the file.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.stop) })
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// Append adds a record and returns once it is on stable storage. If ctx is done
// before the record is being written, it is not written; once it is, Append
// waits for the outcome. After an error the record may still come back at the
// next Open if the error wraps [ErrFailed], and does not otherwise. The
// caller may go on using rec once Append has returned.
func (l *Log) Append(ctx context.Context, rec []byte) error {
	if len(rec) > l.maxRecord {
		return fmt.Errorf("%w: %d bytes; at most %d are possible", ErrTooLarge, len(rec), l.maxRecord)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{rec: rec, done: make(chan error, 1)}
	select {
	case l.queue <- w:
		return <-w.done
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stop:
		return ErrClosed
	}
}
