package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"pic/internal/faultfs"
)

// batch is the most records that share one sync.
const batch = 4096

// A waiter is one call of Append.
type waiter struct {
	rec  []byte
	done chan error
}

// committer writes what waits as one frame, again and again.
func (l *Log) committer() {
	defer close(l.ended)
	for {
		select {
		case w := <-l.queue:
			for w != nil {
				w = l.round(w)
			}
		case <-l.stop:
			return
		}
	}
}

// round writes one frame that begins with first's record. It returns a waiter
// whose record did not fit in.
func (l *Log) round(first *waiter) (left *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.reset()
	waiting := []*waiter{first}
	l.buf.add(first.rec)
collect:
	for len(waiting) < batch {
		select {
		case w := <-l.queue:
			if !l.buf.fits(w.rec) {
				left = w
				break collect
			}
			l.buf.add(w.rec)
			waiting = append(waiting, w)
		default:
			break collect
		}
	}
	err := l.write(l.buf.bytes(l.salt))
	for _, w := range waiting {
		w.done <- err
	}
	if cap(l.buf.buf) > 1<<20 {
		l.buf = frame{} // a rare large batch must not hold its memory for good
	}
	return left
}

// write makes one frame durable.
func (l *Log) write(b []byte) error {
	if err := l.Err(); err != nil {
		return err
	}
	size := l.Size()
	if _, err := l.file.WriteAt(b, size); err != nil {
		// Nothing of it may be found by the next Open, so it is cut off again.
		if terr := l.file.Truncate(size); terr != nil {
			return l.fail(errors.Join(err, terr))
		}
		return fmt.Errorf("appending to %s: %w", l.path, err)
	}
	if err := datasync(l.file); err != nil {
		return l.fail(err)
	}
	l.setSize(size + int64(len(b)))
	return nil
}

// Rewrite replaces the whole content by the records that fn emits, at once or,
// on an error, not at all. Appends wait until it is over, so fn must not append,
// nor wait for somebody who does.
//
// What fn emits must hold everything whose Append has returned or is under way.
// The simple way to get there: change the state in memory first, append then,
// take the change back if that fails, and emit the state in memory.
func (l *Log) Rewrite(ctx context.Context, fn func(emit func(rec []byte) error) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return ErrClosed
	}
	if err := l.Err(); err != nil {
		return err
	}
	old := l.file
	err := l.replace(ctx, fn)
	if l.file != old {
		old.Close()
		if err != nil {
			// Power loss could bring the old file back, without what is appended now.
			return l.fail(err)
		}
	}
	if err != nil {
		return fmt.Errorf("rewriting %s: %w", l.path, err)
	}
	return nil
}

// replace makes a new file take the place of the one at path, and of l.file. On
// an error l.file is either still the old one or, if only the folder could not
// be synced, the new one.
func (l *Log) replace(ctx context.Context, fn func(emit func(rec []byte) error) error) error {
	tmp := l.path + ".new"
	f, err := l.fs.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	rw := &rewriter{ctx: ctx, file: f, max: l.maxRecord}
	_, _ = rand.Read(rw.salt[:]) // never fails
	err = lock(f)
	if err == nil {
		err = rw.fill(fn)
	}
	if err == nil {
		err = l.fs.Rename(tmp, l.path)
	}
	if err != nil {
		f.Close()
		_ = l.fs.Remove(tmp) // if that fails, the next replace begins it anew
		return err
	}
	l.file, l.salt = f, rw.salt
	l.setSize(rw.size)
	return l.fs.SyncDir(filepath.Dir(l.path))
}

// A rewriter fills a new file.
type rewriter struct {
	ctx  context.Context
	file faultfs.File
	salt salt
	max  int
	size int64
	buf  frame
	err  error // the first; fn may have ignored it
}

func (r *rewriter) fill(fn func(emit func([]byte) error) error) error {
	r.write(append([]byte(signature), r.salt[:]...))
	r.buf.reset()
	if err := fn(r.emit); err != nil {
		return err
	}
	r.flush()
	if r.err == nil {
		r.err = r.ctx.Err()
	}
	if r.err != nil {
		return r.err
	}
	return r.file.Sync()
}

func (r *rewriter) emit(rec []byte) error {
	if r.err == nil && len(rec) > r.max {
		r.err = fmt.Errorf("%w: %d bytes; at most %d are possible", ErrTooLarge, len(rec), r.max)
	}
	if r.err == nil {
		r.err = r.ctx.Err()
	}
	if r.err != nil {
		return r.err
	}
	if r.buf.add(rec); len(r.buf.buf) >= 256<<10 {
		r.flush()
	}
	return r.err
}

func (r *rewriter) flush() {
	if !r.buf.empty() {
		r.write(r.buf.bytes(r.salt))
		r.buf.reset()
	}
}

func (r *rewriter) write(b []byte) {
	if r.err == nil {
		var n int
		n, r.err = r.file.WriteAt(b, r.size)
		r.size += int64(n)
	}
}
