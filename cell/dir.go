package cell

import (
	"errors"
	"fmt"
	"io/fs"
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
			return nil, unwritable(err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(path, "run", "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unwritable(err)
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

func unwritable(err error) error {
	return fmt.Errorf("data folder: %w; choose another one with --data, or start pic as a user who may write there", err)
}

// settled reports whether the cell is set up. It refuses a folder whose document
// is gone, so that no first run writes a new cell over an old one. A first
// revision alone is what a first run leaves that was killed.
func (d *dir) settled() (bool, error) {
	document := d.at("config.json")
	_, err := os.Stat(document)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	entries, err := os.ReadDir(d.at("revisions"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, e := range entries { // in the order of their names
		if e.Name() > "000001.json" && filepath.Ext(e.Name()) == ".json" {
			return false, fmt.Errorf("%s is gone, while revisions of it are there: put it back from a backup, "+
				"or make it anew of what stands under \"document\" in the last file of %s", document, d.at("revisions"))
		}
	}
	return false, nil
}

// at returns the path of something in the folder.
func (d *dir) at(elem ...string) string { return filepath.Join(append([]string{d.path}, elem...)...) }

// close lets another process in.
func (d *dir) close() { d.lock.Close() }
