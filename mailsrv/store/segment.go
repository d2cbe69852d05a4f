package store

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"pic/internal/faultfs"
	"pic/internal/order"
)

const (
	segHead  = 40 // header of a segment: magic, number, zero, salt, end, CRC-32C, zero
	segMagic = "PICMAIL1"
	maxFiles = 8 // open for reading, per account
)

// A segment is one file of the log.
type segment struct {
	num  uint32
	salt uint64
	path string
	// prev is where the segment before this one ends. What follows there is
	// a batch that was never finished.
	prev int64
}

func segName(num uint32, salt uint64) string { return fmt.Sprintf("%06d-%016x.seg", num, salt) }

// parseSegName is the inverse of segName. The salt is in the name as well as in
// the header, so that a damaged header does not make the rest unreadable.
func parseSegName(name string) (num uint32, salt uint64, ok bool) {
	base, ok := strings.CutSuffix(name, ".seg")
	n, s, ok2 := strings.Cut(base, "-")
	if !ok || !ok2 || len(s) != 16 {
		return 0, 0, false
	}
	v, err := strconv.ParseUint(n, 10, 32)
	w, err2 := strconv.ParseUint(s, 16, 64)
	return uint32(v), w, err == nil && err2 == nil && v > 0 && segName(uint32(v), w) == name
}

func (s segment) header() []byte {
	b := append(make([]byte, 0, segHead), segMagic...)
	b = le.AppendUint32(b, s.num)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, s.salt)
	b = le.AppendUint64(b, uint64(s.prev))
	b = le.AppendUint32(b, crc32.Checksum(b, table))
	return le.AppendUint32(b, 0)
}

// readHeader sets s.prev from the header of the file, and reports whether the
// header is that of the segment.
func (s *segment) readHeader(b []byte) bool {
	if len(b) == segHead {
		s.prev = int64(le.Uint64(b[24:]))
	}
	if len(b) == segHead && bytes.Equal(b, s.header()) {
		return true
	}
	s.prev = -1
	return false
}

// segments lists those in dir in order. Files that cannot have got a frame, left
// by a crash while they were made, are removed.
func segments(fs faultfs.FS, dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []segment
	for _, e := range entries {
		num, salt, ok := parseSegName(e.Name())
		if !ok {
			continue
		}
		out = append(out, segment{num: num, salt: salt, path: filepath.Join(dir, e.Name())})
	}
	order.By(out, func(a, b segment) int { return int(a.num) - int(b.num) })
	keep := out[:0]
	for _, s := range out {
		twin := len(keep) > 0 && keep[len(keep)-1].num == s.num
		info, err := os.Stat(s.path)
		if err != nil {
			return nil, err
		}
		if info.Size() <= segHead && (twin || s.num == out[len(out)-1].num) {
			if err := fs.Remove(s.path); err != nil {
				return nil, err
			}
			continue
		}
		if twin {
			return nil, fmt.Errorf("%w: two segments have the number %d", ErrDamaged, s.num)
		}
		keep = append(keep, s)
	}
	return keep, nil
}

// createSegment makes an empty segment that is safe on disk before it returns.
// What fails in a way that leaves doubt about the disk is final.
func createSegment(fs faultfs.FS, dir string, num uint32, prev int64) (segment, faultfs.File, error) {
	var salt [8]byte
	rand.Read(salt[:])
	s := segment{num: num, salt: le.Uint64(salt[:]), prev: prev}
	s.path = filepath.Join(dir, segName(num, s.salt))
	f, err := fs.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return segment{}, nil, err
	}
	_, err = f.WriteAt(s.header(), 0)
	if err == nil {
		if err = f.Sync(); err == nil {
			err = fs.SyncDir(dir)
		}
		if err != nil {
			err = &finalError{err}
		}
	}
	if err != nil {
		f.Close()
		fs.Remove(s.path) // segments gets it if this fails
		return segment{}, nil, err
	}
	return s, f, nil
}

// A finalError is a sync that failed.
type finalError struct{ err error }

func (e *finalError) Error() string   { return "saving to disk: " + e.err.Error() }
func (e *finalError) Unwrap() []error { return []error{ErrFailed, e.err} }

// datasync makes the content of f durable.
func datasync(f faultfs.File) error {
	o, ok := f.(*os.File)
	if !ok {
		return f.Sync()
	}
	rc, err := o.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = rc.Control(func(fd uintptr) {
		for {
			if serr = syscall.Fdatasync(int(fd)); serr != syscall.EINTR {
				return
			}
		}
	})
	if err == nil {
		err = serr
	}
	return err
}

// files keeps a few segments open for reading.
type files struct {
	mu   sync.Mutex
	open map[string]*openFile
	tick int64
}

type openFile struct {
	f    *os.File
	refs int
	used int64
}

// get opens the file at path, or shares one that is open.
func (c *files) get(path string) (*openFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	if o := c.open[path]; o != nil {
		o.refs++
		o.used = c.tick
		return o, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	o := &openFile{f: f, refs: 1, used: c.tick}
	if c.open == nil {
		c.open = map[string]*openFile{}
	}
	c.open[path] = o
	c.trim(maxFiles)
	return o, nil
}

func (c *files) put(o *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.refs--
	c.trim(maxFiles)
}

// trim closes the longest unused until n are left, except those in use.
func (c *files) trim(n int) {
	for len(c.open) > n {
		oldest := ""
		for p, o := range c.open {
			if o.refs == 0 && (oldest == "" || o.used < c.open[oldest].used) {
				oldest = p
			}
		}
		if oldest == "" {
			return
		}
		c.open[oldest].f.Close()
		delete(c.open, oldest)
	}
}

func (c *files) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trim(0)
}

// A window reads a file forwards in small steps with few system calls.
type window struct {
	r    io.ReaderAt
	size int64
	at   int64 // of buf in the file
	buf  []byte
	mem  [4096]byte
}

// bytes returns n bytes at off, valid until the next call. Fewer come back at
// the end of the file.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(w.size-off, 0)))
	if off >= w.at && off+int64(n) <= w.at+int64(len(w.buf)) {
		return w.buf[off-w.at:][:n], nil
	}
	b := w.mem[:]
	if n > len(b) {
		b = make([]byte, n)
	}
	b = b[:min(int64(len(b)), w.size-off)]
	if _, err := w.r.ReadAt(b, off); err != nil {
		return nil, err
	}
	w.at, w.buf = off, b
	return b[:n], nil
}
