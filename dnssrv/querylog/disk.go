package querylog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"pic/internal/faultfs"
	"pic/internal/order"
)

const (
	maxSegment = 4 << 20
	suffix     = ".queries"
)

// A segment is a file of frames, of one hour at most. Its name has the id of its
// first record and when it begins.
type segment struct {
	path  string
	first uint64
	start time.Time
	end   time.Time // zero: it is being written
	size  int64     // of what is whole
}

// disk is the segments. Writing belongs to the batcher; looking is free.
type disk struct {
	dir string
	fs  faultfs.FS
	log *slog.Logger

	next uint64       // id of the next record; of the batcher
	file faultfs.File // the last segment; nil: none is being written

	mu       sync.Mutex
	segments []segment // the oldest first
	err      error     // of the last write
	since    time.Time // of err
}

func (d *disk) fault() (time.Time, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since, d.err
}

// outcome notes how writing went.
func (d *disk) outcome(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil && d.err != nil:
		d.log.Info("the query log is written again")
	case err != nil && d.err == nil:
		d.since = time.Now()
		d.log.Warn("writing the query log", "err", err)
	}
	d.err = err
}

func (d *disk) list() []segment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.segments)
}

func segmentName(first uint64, start time.Time) string {
	return fmt.Sprintf("%016x-%x%s", first, max(start.Unix(), 0), suffix)
}

func parseSegment(name string) (s segment, ok bool) {
	id, at, ok := strings.Cut(strings.TrimSuffix(name, suffix), "-")
	if !ok || !strings.HasSuffix(name, suffix) {
		return s, false
	}
	first, err := strconv.ParseUint(id, 16, 64)
	sec, err2 := strconv.ParseInt(at, 16, 64)
	s.first, s.start = first, time.Unix(sec, 0)
	return s, err == nil && err2 == nil && segmentName(first, s.start) == name
}

// open finds the segments and cuts off what a crash left at the end of the last.
func (d *disk) open() error {
	// Ids grow even when the folder was emptied.
	d.next = uint64(time.Now().UnixMicro())
	if d.dir == "" {
		return nil
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	var all []segment
	for _, f := range files {
		s, ok := parseSegment(f.Name())
		info, err := f.Info()
		if !ok || err != nil || !f.Type().IsRegular() {
			continue
		}
		s.path, s.size, s.end = filepath.Join(d.dir, f.Name()), info.Size(), info.ModTime()
		all = append(all, s)
	}
	order.By(all, func(a, b segment) int { return cmp.Compare(a.first, b.first) })
	if n := len(all); n > 0 {
		err = d.mend(&all[n-1])
		if all[n-1].size <= int64(len(signature)) {
			if rerr := d.fs.Remove(all[n-1].path); rerr == nil {
				all = all[:n-1]
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.segments = all
	return err
}

// mend finds where whole frames end, and what the next id is.
func (d *disk) mend(s *segment) error {
	// Even if nothing of it can be read, its ids are taken.
	d.next = max(d.next, s.first+1)
	b, err := read(s)
	if err != nil {
		return err
	}
	size := s.size
	s.size = 0
	if len(b) >= len(signature) && string(b[:len(signature)]) == signature {
		s.size = int64(len(signature))
		for body, rest, whole := cut(b[s.size:]); whole; body, rest, whole = cut(rest) {
			f, err := decode(body)
			if err != nil {
				break
			}
			s.size = int64(len(b) - len(rest))
			d.next = max(d.next, f.first+uint64(f.n))
		}
	}
	if s.size == size {
		return nil
	}
	file, err := d.fs.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Truncate(s.size)
}

// read returns what is whole of a segment.
func read(s *segment) ([]byte, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, min(s.size, maxSegment+maxBody))
	n, err := f.ReadAt(b, 0)
	if n < len(b) && err != nil {
		return b[:n], nil // shorter than it was: what is there counts
	}
	return b, nil
}

// write appends a frame whose first id is first.
func (d *disk) write(frame []byte, first uint64, now time.Time, c Config) error {
	if d.dir == "" {
		return nil
	}
	if d.file != nil && !d.last().takes(len(frame), now, c) {
		d.seal(now)
	}
	if d.file == nil {
		if err := d.begin(first, len(frame), now, c); err != nil {
			return err
		}
		if err := d.prune(now, c); err != nil {
			d.log.Warn("deleting old parts of the query log", "err", err)
		}
	}
	size := d.last().size
	if _, err := d.file.WriteAt(frame, size); err != nil {
		// The next Open must not find half of it. Should that fail too, it cuts.
		return errors.Join(err, d.file.Truncate(size))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.segments[len(d.segments)-1].size += int64(len(frame))
	return nil
}

func (d *disk) last() segment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.segments[len(d.segments)-1]
}

// takes reports whether a frame of n bytes still belongs to the segment.
func (s segment) takes(n int, now time.Time, c Config) bool {
	return s.size+int64(n) <= min(maxSegment, max(c.MaxSize/4, frameBytes)) && hour(now).Equal(hour(s.start))
}

// begin starts a segment, or goes on with the last one if that takes n bytes.
func (d *disk) begin(first uint64, n int, now time.Time, c Config) error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := len(d.segments) - 1; last >= 0 {
		if s := &d.segments[last]; s.size >= int64(len(signature)) && s.takes(n, now, c) {
			f, err := d.fs.OpenFile(s.path, os.O_RDWR, 0)
			if err == nil {
				d.file, s.end = f, time.Time{}
				return nil
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	s := segment{path: filepath.Join(d.dir, segmentName(first, now)), first: first, start: now, size: int64(len(signature))}
	f, err := d.fs.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(signature), 0); err != nil {
		f.Close()
		return errors.Join(err, d.fs.Remove(s.path))
	}
	d.file, d.segments = f, append(d.segments, s)
	return nil
}

// seal ends the last segment. Should it not become durable, the loss of power
// can take of it what the kernel had not written.
func (d *disk) seal(now time.Time) {
	if d.file == nil {
		return
	}
	if err := errors.Join(d.file.Sync(), d.file.Close()); err != nil {
		d.log.Warn("syncing the query log", "err", err)
	}
	d.file = nil
	d.mu.Lock()
	defer d.mu.Unlock()
	d.segments[len(d.segments)-1].end = now
}

// prune deletes what is too old, and the oldest as long as all is too large. The
// segment that is being written stays.
func (d *disk) prune(now time.Time, c Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var total int64
	for _, s := range d.segments {
		total += s.size
	}
	var errs []error
	d.segments = slices.DeleteFunc(d.segments, func(s segment) bool {
		if s.end.IsZero() || total <= c.MaxSize && s.end.After(now.Add(-c.Keep)) {
			return false
		}
		if err := d.fs.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			return false
		}
		total -= s.size
		return true
	})
	return errors.Join(errs...)
}

func hour(t time.Time) time.Time { return t.Truncate(time.Hour) }
