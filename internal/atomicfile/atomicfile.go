// Package atomicfile writes whole files so that a reader, or a start after
// power loss, finds the old content or the new, never a mixture.
//
// The content goes to a temporary file in the same folder, which is synced,
// renamed over the old one, and made durable by a sync of the folder.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"pic/internal/faultfs"
)

// ErrUnsynced says that the new content is in place and readable, but that the
// folder could not be synced: power loss may bring the old content back.
var ErrUnsynced = errors.New("the file is replaced, but power loss could undo it")

// suffix marks temporary files, so that [Sweep] finds them.
const suffix = ".pic-tmp"

// WriteFile replaces the content of path on the host's file system and gives it
// the mode perm, whatever the umask. It returns once the content is durable.
// On any error but [ErrUnsynced] the old content is untouched.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return Write(faultfs.OS, path, data, perm)
}

// Write is [WriteFile] on any file system.
func Write(fsys faultfs.FS, path string, data []byte, perm fs.FileMode) error {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	tmp := filepath.Join(dir, "."+base+"."+rand.Text()[:12]+suffix)
	if err := create(fsys, tmp, data, perm); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, path); err != nil {
		_ = fsys.Remove(tmp) // Sweep gets it if this fails too
		return err
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsynced, err)
	}
	return nil
}

// create writes a new file and syncs it; on error there is none.
func create(fsys faultfs.FS, path string, data []byte, perm fs.FileMode) error {
	f, err := fsys.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = fsys.Remove(path)
	}
	return err
}

// Sweep removes what writes that were cut short left in dir. Call it when
// nobody writes there, such as at start.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), suffix) {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
