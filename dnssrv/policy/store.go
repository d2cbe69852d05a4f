package policy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pic/internal/atomicfile"
	"pic/internal/faultfs"
)

const (
	maxList    = 64 << 20 // bytes of one list, unpacked
	keepUnused = 7 * 24 * time.Hour
	mark       = "! pic-list "
)

// A store keeps copies of lists, each a file that is there whole or not at all:
// a first line that says where it is from, then the list as it came. The time of
// the file is when the list was last found to be so.
type store struct {
	fs   faultfs.FS
	dir  string
	most int // bytes of a list
}

// An origin says where a copy is from, and what a server needs to tell whether
// there is a newer one.
type origin struct {
	URL      string `json:"url"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"` // Last-Modified, or the time and size of a file

	Changed time.Time `json:"changed"` // when the list was first had as it is
}

// A copied is a list as it is on disk.
type copied struct {
	origin
	size    int64
	checked time.Time // the time of the file
	at      int64     // where the list begins
}

var errCopy = errors.New("the copy on disk is damaged")

func (s *store) path(url string) string {
	sum := sha256.Sum256([]byte(url))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:12])+".list")
}

// open returns the copy of a list, to be read from its first line on.
func (s *store) open(url string) (*os.File, copied, error) {
	f, err := os.Open(s.path(url))
	if err != nil {
		return nil, copied{}, err
	}
	c, err := about(f, url)
	if err != nil {
		f.Close()
		return nil, copied{}, err
	}
	return f, c, nil
}

// about reads the first line of a copy.
func about(f *os.File, url string) (c copied, err error) {
	info, err := f.Stat()
	if err != nil {
		return c, err
	}
	head := make([]byte, 8192)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return c, errCopy
	}
	line, _, ok := bytes.Cut(head[:n], []byte("\n"))
	rest, marked := bytes.CutPrefix(line, []byte(mark))
	if !ok || !marked || json.Unmarshal(rest, &c.origin) != nil || c.URL != url {
		return c, errCopy
	}
	c.at = int64(len(line)) + 1
	c.size, c.checked = info.Size()-c.at, info.ModTime()
	_, err = f.Seek(c.at, io.SeekStart)
	return c, err
}

// confirm notes that a copy is still what the list is.
func (s *store) confirm(url string, now time.Time) {
	_ = os.Chtimes(s.path(url), now, now) // or the list is fetched once more than need be
}

// save puts a list in the place of its copy, unless it is none. changed says
// whether it differs from what was there. On error that is untouched.
func (s *store) save(o origin, body io.Reader) (st Stats, changed bool, err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return st, false, err
	}
	tmp := filepath.Join(s.dir, "."+rand.Text()[:12]+".pic-tmp") // which atomicfile.Sweep finds
	defer func() {
		if err != nil {
			_ = s.fs.Remove(tmp)
		}
	}()
	if err := s.write(tmp, o, body); err != nil {
		return st, false, err
	}
	f, err := os.Open(tmp)
	if err != nil {
		return st, false, err
	}
	defer f.Close()
	c, err := about(f, o.URL)
	if err != nil {
		return st, false, err
	}
	if st, err = read(f, counter{}); err != nil {
		return st, false, err
	}
	if st.Rules == 0 && (st.Skipped > 0 || st.Foreign > 0) {
		return st, false, errors.New("there is no rule in it that the cell could follow, so it is no list of names")
	}
	was, same := s.same(f, c)
	if same {
		// Only the first line differs, which is rewritten with the time of before.
		o.Changed = was
		if _, err := f.Seek(c.at, io.SeekStart); err != nil {
			return st, false, err
		}
		again := filepath.Join(s.dir, "."+rand.Text()[:12]+".pic-tmp")
		err := s.write(again, o, f)
		_ = s.fs.Remove(tmp)
		if tmp = again; err != nil {
			return st, false, err
		}
	}
	changed = !same
	if err := s.fs.Rename(tmp, s.path(o.URL)); err != nil {
		return st, false, err
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return st, changed, fmt.Errorf("%w: %w", atomicfile.ErrUnsynced, err)
	}
	return st, changed, nil
}

// write makes a file of a first line and a list, and syncs it.
func (s *store) write(path string, o origin, body io.Reader) error {
	head, err := json.Marshal(o)
	if err != nil || len(head) > 4096 {
		return errors.New("its address or version is too long")
	}
	f, err := s.fs.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(append(append([]byte(mark), head...), '\n')); err == nil {
		err = copyList(f, body, s.most)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// copyList copies what may be a list: text, not a page, not without end. It is
// unpacked if need be.
func copyList(to io.Writer, from io.Reader, most int) error {
	in := bufio.NewReaderSize(from, 32<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("unpacking it: %w", err)
		}
		in = bufio.NewReaderSize(z, 32<<10)
	}
	start, err := in.Peek(1024)
	if err != nil && err != io.EOF {
		return err
	}
	if page(start) {
		return errors.New("it is a web page, not a list; look at the address with a browser")
	}
	buf := make([]byte, 64<<10)
	for n := 0; ; {
		k, err := in.Read(buf)
		if n += k; n > most {
			return fmt.Errorf("it is larger than %d MiB", most>>20)
		}
		if bytes.IndexByte(buf[:k], 0) >= 0 {
			return errors.New("it is not text")
		}
		if _, werr := to.Write(buf[:k]); werr != nil {
			return werr
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// page reports whether a file begins like one for browsers.
func page(b []byte) bool {
	s := strings.ToLower(string(bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\ufeff")))))
	for _, tag := range []string{"<!doctype", "<html", "<head", "<body", "<?xml", "<script", "<!--"} {
		if strings.HasPrefix(s, tag) {
			return true
		}
	}
	return strings.Contains(s, "<html")
}

// same reports whether the copy in place is as f, but for its first line, and
// since when it is so.
func (s *store) same(f *os.File, c copied) (since time.Time, same bool) {
	old, have, err := s.open(c.URL)
	if err != nil {
		return since, false
	}
	defer old.Close()
	if have.size != c.size {
		return since, false
	}
	if _, err := f.Seek(c.at, io.SeekStart); err != nil {
		return since, false
	}
	a, b := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(f, a)
		m, err2 := io.ReadFull(old, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return since, false
		}
		if err != nil || err2 != nil {
			return have.Changed, err == io.EOF || err == io.ErrUnexpectedEOF
		}
	}
}

// clean removes copies of lists that nobody asked for in a week, and what writes
// that were cut short left.
func (s *store) clean(used map[string]bool, now time.Time) error {
	all, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for url := range used {
		keep[filepath.Base(s.path(url))] = true
	}
	errs := []error{atomicfile.Sweep(s.dir)}
	for _, e := range all {
		info, err := e.Info()
		if err == nil && strings.HasSuffix(e.Name(), ".list") && !keep[e.Name()] && now.Sub(info.ModTime()) > keepUnused {
			errs = append(errs, s.fs.Remove(filepath.Join(s.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// A counter is a sink that keeps nothing.
type counter struct{}

func (counter) simple(name []byte, _ form) (bool, error) {
	var buf [maxWire + 1]byte
	_, ok := appendWire(buf[:0], name)
	return ok, nil
}

func (counter) full(*parsed) error { return nil }
