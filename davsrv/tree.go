package davsrv

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stagingName is a folder below each user's files that no client sees. New
// content is written there and renamed to its place; what is deleted or
// replaced goes there first.
const stagingName = ".pic-staging"

// Prefixes of names in the staging folder.
const (
	stagedNew  = "new-"  // being written: of no worth after a crash
	stagedGone = "gone-" // deleted, to be removed
	stagedOld  = "old-"  // set aside while something takes its place
)

// A home is one user's files.
type home struct {
	// mu is held while the tree changes its names, so that checking conditions
	// and locks and acting on them is one step. Content is read and written
	// without it.
	mu sync.Mutex
}

// home returns that of a user.
func (s *Server) home(user string) *home {
	h, _ := s.homes.LoadOrStore(user, &home{})
	return h.(*home)
}

// openHome opens a user's folder, which is made if there is none. Every path is
// resolved beneath it by [os.Root]: neither dots nor links lead out.
func (s *Server) openHome(user string) (*os.Root, error) {
	base := s.base.Load()
	if base == nil {
		return nil, refuse(http.StatusServiceUnavailable, "The files are not being served at the moment.")
	}
	if err := checkSegment(user); err != nil {
		return nil, err
	}
	root, err := base.OpenRoot(user)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	if err := base.Mkdir(user, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := syncFolder(base, "."); err != nil {
		return nil, err
	}
	return base.OpenRoot(user)
}

// fileInfo is what is known of a file or folder.
type fileInfo struct {
	path     string // below the user's files; "." for the root
	dir      bool
	size     int64
	modified time.Time
	etag     string // quoted; empty for folders
}

// stat returns nil without an error where there is nothing that a client may
// see: no file, or a link, device or pipe.
func stat(root *os.Root, name string) (*fileInfo, error) {
	fi, err := root.Lstat(name)
	if err != nil {
		if isAbsent(err) {
			return nil, nil
		}
		return nil, err
	}
	return infoOf(name, fi), nil
}

// isAbsent reports whether an error of a path means that nothing is there, for
// whatever reason: names that are too long or lead out of the root included.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) ||
		errors.Is(err, syscall.ELOOP) || isEscape(err)
}

// isEscape recognises os.Root's refusal of a link that leads out of it.
func isEscape(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe) && strings.Contains(pe.Err.Error(), "escapes")
}

func infoOf(name string, fi fs.FileInfo) *fileInfo {
	f := &fileInfo{path: name, dir: fi.IsDir(), size: fi.Size(), modified: fi.ModTime()}
	if f.dir {
		return f
	}
	if !fi.Mode().IsRegular() {
		return nil
	}
	f.etag = fmt.Sprintf(`"%x-%x"`, f.modified.UnixNano(), f.size)
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		// Every PUT makes a new inode, so content cannot change within a tick of
		// the clock unnoticed.
		f.etag = fmt.Sprintf(`"%x-%x-%x-%x"`, st.Ino, f.size, f.modified.UnixNano(), st.Ctim.Nano())
	}
	return f
}

// syncFolder makes the names in a folder durable.
func syncFolder(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// A spot is a name in an open folder. Renames between spots cannot be led astray
// by links, because only the last name is left to resolve.
type spot struct {
	dir  *os.File
	name string
}

func openSpot(root *os.Root, name string) (spot, error) {
	d, err := root.Open(path.Dir(name))
	return spot{d, path.Base(name)}, err
}

// rename moves a to b. Flags are those of renameat2(2).
func rename(a, b spot, flags uint) error {
	for {
		err := unix.Renameat2(int(a.dir.Fd()), a.name, int(b.dir.Fd()), b.name, flags)
		if err == unix.EINTR {
			continue
		}
		if err != nil && flags == unix.RENAME_NOREPLACE && noFlags(err) {
			return renameNew(a, b)
		}
		return err
	}
}

// noFlags recognises file systems that cannot do what a flag asks.
func noFlags(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP)
}

// renameNew is RENAME_NOREPLACE where the file system has none; the home's lock
// keeps other requests away.
func renameNew(a, b spot) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(b.dir.Fd()), b.name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return unix.EEXIST
	}
	return unix.Renameat(int(a.dir.Fd()), a.name, int(b.dir.Fd()), b.name)
}

// staging returns a fresh path in the staging folder.
func (s *Server) staging(root *os.Root, prefix string) (string, error) {
	if err := root.Mkdir(stagingName, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return stagingName + "/" + prefix + s.boot + "-" + rand.Text()[:16], nil
}

// sweep tidies what a crash left in the staging folders: half-written and
// deleted things go, what had been set aside comes back under a visible name.
// Things of this process stay.
func (s *Server) sweep(base *os.Root) error {
	users, err := fs.ReadDir(base.FS(), ".")
	if err != nil {
		return err
	}
	for _, u := range users {
		if !u.IsDir() {
			continue
		}
		if err := s.sweepHome(base, u.Name()); err != nil {
			return fmt.Errorf("tidying the files of %s: %w", u.Name(), err)
		}
	}
	return nil
}

func (s *Server) sweepHome(base *os.Root, user string) error {
	root, err := base.OpenRoot(user)
	if err != nil {
		return err
	}
	defer root.Close()
	left, err := fs.ReadDir(root.FS(), stagingName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range left {
		name := stagingName + "/" + e.Name()
		switch {
		case strings.Contains(e.Name(), "-"+s.boot+"-"):
		case strings.HasPrefix(e.Name(), stagedOld):
			back := "recovered-" + strings.TrimPrefix(e.Name(), stagedOld)
			if err := root.Rename(name, back); err != nil {
				return err
			}
			s.log.Warn("files that were being replaced when the power went are kept", "user", user, "name", back)
		default:
			if err := root.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	return nil
}
