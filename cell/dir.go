package cell

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A dir is the data folder of a cell. Its layout is that of docs/architecture.md.
type dir struct {
	path string
	lock *os.File
}

// ErrBusy reports that another process works on the data folder.
var ErrBusy = errors.New("another pic works on this data folder; stop it first")

// openDir makes the data folder where needed and locks it for this process.
func openDir(path string) (*dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	for _, p := range []string{path, filepath.Join(path, "run"), filepath.Join(path, "journal")} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			return nil, fmt.Errorf("data folder: %w; choose another one with --data, or start pic as a user who may write there", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(path, "run", "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", path, ErrBusy)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return &dir{path, lock}, nil
}

// at returns the path of something in the folder.
func (d *dir) at(elem ...string) string { return filepath.Join(append([]string{d.path}, elem...)...) }

// close lets another process in.
func (d *dir) close() { d.lock.Close() }
