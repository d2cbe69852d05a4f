package davsrv

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// withHome calls fn with the user's files opened. What fn deleted is removed
// from the disk when it has returned, and let go of the home's lock.
func (q *request) withHome(fn func(*os.Root) error) error {
	root, err := q.s.openHome(q.user)
	if err != nil {
		return err
	}
	defer root.Close()
	err = fileTrouble(fn(root))
	for _, name := range q.gone {
		if err := root.RemoveAll(name); err != nil {
			q.s.log.Warn("what was deleted could not be removed from the disk yet", "user", q.user, "err", err)
		}
	}
	q.gone = nil
	return err
}

// fileTrouble gives errors of the file system that are the client's business
// their status.
func fileTrouble(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return refuse(http.StatusInsufficientStorage, "The disk is full.")
	case errors.Is(err, syscall.EFBIG):
		return refuse(http.StatusRequestEntityTooLarge, "The file is larger than the disk allows.")
	case errors.Is(err, syscall.EXDEV):
		return refuse(http.StatusForbidden, "The folder is on another disk than the user's files; put it there directly.")
	case errors.Is(err, syscall.ENAMETOOLONG):
		return refuse(http.StatusRequestURITooLong, "The path is too long.")
	case errors.Is(err, fs.ErrPermission):
		return refuse(http.StatusForbidden, "The file system does not permit this.")
	case isEscape(err), errors.Is(err, syscall.ELOOP):
		return errNoObject
	}
	return err
}

func (q *request) lookupFile(t target) (*resource, error) {
	if len(t.rest) > 0 && t.rest[0] == stagingName {
		return nil, errNoObject
	}
	var r *resource
	err := q.withHome(func(root *os.Root) error {
		f, err := stat(root, t.path())
		if err != nil {
			return err
		}
		if f == nil || t.slash && !f.dir {
			return errNoObject
		}
		r = fileResource(t.owner, f)
		return nil
	})
	return r, err
}

// getFile answers GET and HEAD of a file, ranges and conditions included.
func (q *request) getFile() error {
	return q.withHome(func(root *os.Root) error {
		f, err := openRegular(root, q.at.path())
		if errors.Is(err, syscall.EISDIR) {
			return q.notAllowed()
		}
		if err != nil {
			return err
		}
		defer f.Close()
		fi, err := f.Stat()
		if err != nil {
			return err
		}
		info := infoOf(q.at.path(), fi)
		if info == nil || q.at.slash {
			return errNoObject
		}
		r := fileResource(q.at.owner, info)
		h := q.w.Header()
		h.Set("ETag", info.etag)
		h.Set("Cache-Control", "private, no-cache")
		h.Set("Content-Type", r.contentType())
		protect(h)
		if active(r.contentType()) {
			h.Set("Content-Disposition", "attachment")
		}
		http.ServeContent(q.w, q.r, "", info.modified, f)
		return nil
	})
}

// active reports whether browsers would run or render what is in a file.
func active(contentType string) bool {
	for _, t := range []string{"html", "xml", "svg", "script", "pdf", "xslt"} {
		if strings.Contains(contentType, t) {
			return true
		}
	}
	return false
}

// openRegular opens a regular file for reading. Pipes and devices are never
// waited for.
func openRegular(root *os.Root, name string) (*os.File, error) {
	fi, err := root.Lstat(name)
	switch {
	case err != nil && isAbsent(err):
		return nil, errNoObject
	case err != nil:
		return nil, err
	case fi.IsDir():
		return nil, syscall.EISDIR
	case !fi.Mode().IsRegular():
		return nil, errNoObject
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil && isAbsent(err) {
		return nil, errNoObject
	}
	return f, err
}

// putFile stores a file: written aside, synced, renamed, and the folder synced
// before the answer. Nobody ever sees a part of it.
func (q *request) putFile() error {
	if q.at.slash || len(q.at.rest) == 0 {
		return q.notAllowed()
	}
	if q.r.Header.Get("Content-Range") != "" {
		return refuse(http.StatusBadRequest, "A file cannot be put in parts.")
	}
	return q.withHome(func(root *os.Root) error {
		name := q.at.path()
		if err := parentExists(root, name); err != nil {
			return err
		}
		if _, err := q.checkPut(root, name); err != nil { // before the body is read, and again after
			return err
		}
		staged, err := q.stage(root)
		if err != nil {
			return err
		}
		created, info, err := q.place(root, staged, name)
		if err != nil {
			root.Remove(staged)
			return err
		}
		if created {
			// Properties of something that was removed behind our back are not its own.
			if err := q.s.store.dropProps(context.WithoutCancel(q.r.Context()), placeOfFile(q.at.owner, name)); err != nil {
				return err
			}
		}
		h := q.w.Header()
		h.Set("ETag", info.etag)
		h.Set("Last-Modified", info.modified.UTC().Format(http.TimeFormat))
		q.w.WriteHeader(statusFor(created))
		return nil
	})
}

// parentExists refuses what would have no folder to be in.
func parentExists(root *os.Root, name string) error {
	dir, err := stat(root, path.Dir(name))
	if err != nil {
		return err
	}
	if dir == nil || !dir.dir {
		return refuse(http.StatusConflict, "The folder for this does not exist; make it first.")
	}
	return nil
}

// checkPut refuses a PUT that conditions, locks or a folder in its place forbid.
// It returns what is there.
func (q *request) checkPut(root *os.Root, name string) (*fileInfo, error) {
	old, err := stat(root, name)
	if err != nil {
		return nil, err
	}
	st := resourceState{}
	if old != nil {
		if old.dir {
			return old, q.notAllowed()
		}
		st = resourceState{true, old.etag, old.modified}
	}
	if st.exists {
		return old, q.mayChange(st, modifies(q.at))
	}
	return nil, q.mayChange(st, adds(q.at))
}

// copyBuffers hold pieces of bodies on their way to the disk.
var copyBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// stage writes the body to a new file in the staging folder and syncs it.
func (q *request) stage(root *os.Root) (string, error) {
	name, err := q.s.staging(root, stagedNew)
	if err != nil {
		return "", err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	err = q.fill(f)
	if err == nil {
		err = q.setTime(root, name)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		root.Remove(name)
		return "", err
	}
	return name, nil
}

func (q *request) fill(f *os.File) error {
	buf := copyBuffers.Get().(*[256 << 10]byte)
	defer copyBuffers.Put(buf)
	in := &trackedReader{r: q.body()}
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, in, buf[:])
	if in.err != nil {
		return bodyTrouble(in.err)
	}
	if err != nil {
		return err
	}
	if want := q.r.Header.Get("X-Expected-Entity-Length"); q.r.ContentLength < 0 && want != "" { // macOS' Finder
		if size, err := strconv.ParseInt(want, 10, 64); err == nil && size != n {
			return bodyTrouble(io.ErrUnexpectedEOF)
		}
	}
	return nil
}

// A trackedReader remembers whether reading failed, to tell the client's
// trouble from the disk's.
type trackedReader struct {
	r   io.Reader
	err error
}

func (t *trackedReader) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

// setTime honours X-OC-Mtime, the time that sync clients want a file to have.
func (q *request) setTime(root *os.Root, name string) error {
	v := q.r.Header.Get("X-OC-Mtime")
	if v == "" {
		return nil
	}
	sec, err := strconv.ParseFloat(v, 64)
	if err != nil || sec < 0 || sec > 1<<40 {
		return refuse(http.StatusBadRequest, "X-OC-Mtime is not a time in seconds.")
	}
	t := time.UnixMilli(int64(sec * 1000))
	q.w.Header().Set("X-OC-Mtime", "accepted")
	return root.Chtimes(name, t, t)
}

// touch sets the time of a file.
func (q *request) touch(f *fileInfo, t time.Time) error {
	return q.withHome(func(root *os.Root) error { return root.Chtimes(f.path, t, t) })
}

// place renames a staged file to its name, if conditions still hold.
func (q *request) place(root *os.Root, staged, name string) (created bool, info *fileInfo, err error) {
	from, err := openSpot(root, staged)
	if err != nil {
		return false, nil, err
	}
	defer from.dir.Close()
	to, err := openSpot(root, name)
	if err != nil {
		return false, nil, err
	}
	defer to.dir.Close()
	h := q.s.home(q.at.owner)
	h.mu.Lock()
	defer func() {
		h.mu.Unlock()
		if err == nil {
			err = to.dir.Sync()
		}
	}()
	old, err := q.checkPut(root, name)
	if err != nil {
		return false, nil, err
	}
	flags := uint(0)
	if old == nil {
		flags = unix.RENAME_NOREPLACE
	}
	if err := rename(from, to, flags); err != nil {
		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EISDIR) {
			err = refuse(http.StatusConflict, "Something else took this name.")
		}
		return false, nil, err
	}
	if info, err = stat(root, name); err == nil && info == nil {
		err = errNoObject
	}
	return old == nil, info, err
}

// makeFolder answers MKCOL of a folder.
func (q *request) makeFolder() error {
	if len(q.at.rest) == 0 {
		return q.notAllowed()
	}
	var one [1]byte
	if n, _ := io.ReadFull(q.body(), one[:]); n > 0 {
		return refuse(http.StatusUnsupportedMediaType, "A folder is made without a body.")
	}
	return q.withHome(func(root *os.Root) error {
		name := q.at.path()
		h := q.s.home(q.at.owner)
		h.mu.Lock()
		defer h.mu.Unlock()
		if err := parentExists(root, name); err != nil {
			return err
		}
		if _, err := root.Lstat(name); err == nil {
			return q.notAllowed()
		}
		if err := q.mayChange(resourceState{}, adds(q.at)); err != nil {
			return err
		}
		if err := root.Mkdir(name, 0o700); err != nil {
			return err
		}
		if err := syncFolder(root, path.Dir(name)); err != nil {
			return err
		}
		if err := q.s.store.dropProps(context.WithoutCancel(q.r.Context()), placeOfFile(q.at.owner, name)); err != nil {
			return err
		}
		q.w.WriteHeader(http.StatusCreated)
		return nil
	})
}
