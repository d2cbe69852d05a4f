package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"pic/internal/atomicfile"
	"pic/internal/faultfs"
)

// kept is how many revisions stay on disk.
const kept = 100

// A disk is the folder that a document lives in:
//
//	config.json            the document in force
//	revisions/000123.json  each of the last revisions, with its history entry
//	pending.json           while a change waits for its confirmation
//
// Order of writes: revision, pending, config.json. The last is the commit;
// whatever a crash leaves of the others is put right at the next start.
type disk struct {
	dir string
	fs  faultfs.FS
}

// A stored is a file in revisions/.
type stored struct {
	Revision
	Document json.RawMessage `json:"document"`
}

func (k disk) config() string  { return filepath.Join(k.dir, "config.json") }
func (k disk) pending() string { return filepath.Join(k.dir, "pending.json") }
func (k disk) folder() string  { return filepath.Join(k.dir, "revisions") }

func (k disk) revision(n int64) string {
	return filepath.Join(k.folder(), fmt.Sprintf("%06d.json", n))
}

func (k disk) exists() bool {
	_, err := os.Stat(k.config())
	return err == nil
}

// save writes d. committed says whether it is the document in force from now
// on; err may be set then too, when only durability is in doubt.
func (k disk) save(d *Document, rev Revision, p *Pending) (committed bool, err error) {
	if err := os.MkdirAll(k.folder(), 0o700); err != nil {
		return false, err
	}
	whole, err := encode(d)
	if err != nil {
		return false, err
	}
	entry, err := encode(stored{rev, whole})
	if err != nil {
		return false, err
	}
	if p == nil && k.armed(rev.Number) {
		// Left by a change of this number that was not saved: the next start
		// would take it for this one. That of the revision before must stay until
		// this one is saved, or a crash now would make it final.
		if err := k.disarm(); err != nil {
			return false, err
		}
	}
	if err := atomicfile.Write(k.fs, k.revision(rev.Number), entry, 0o600); err != nil {
		return false, err
	}
	if p != nil {
		armed, err := encode(p)
		if err != nil {
			return false, err
		}
		if err := atomicfile.Write(k.fs, k.pending(), armed, 0o600); err != nil {
			return false, err
		}
	}
	err = atomicfile.Write(k.fs, k.config(), whole, 0o600)
	if err != nil && !errors.Is(err, atomicfile.ErrUnsynced) {
		return false, err
	}
	k.prune(rev.Number)
	return true, err
}

// armed reports whether the pending change on disk is revision n, or cannot be
// read.
func (k disk) armed(n int64) bool {
	data, err := os.ReadFile(k.pending())
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	var p Pending
	return json.Unmarshal(data, &p) != nil || p.Revision == n
}

// disarm forgets the pending change, durably.
func (k disk) disarm() error {
	if _, err := os.Stat(k.pending()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := k.fs.Remove(k.pending()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return k.fs.SyncDir(k.dir)
}

// prune removes revisions that are too old. What cannot be removed waits for
// the next change.
func (k disk) prune(newest int64) {
	for _, n := range k.numbers() {
		if n <= newest-kept {
			_ = k.fs.Remove(k.revision(n))
		}
	}
}

// numbers lists the revisions on disk, oldest first.
func (k disk) numbers() []int64 {
	entries, _ := os.ReadDir(k.folder()) // no folder: no revisions
	var out []int64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if n, err := strconv.ParseInt(name, 10, 64); ok && err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// boot reads the document in force and puts right what a crash left behind.
func (k disk) boot() (*Document, error) {
	d, err := k.read()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{k.dir, k.folder()} {
		if err := atomicfile.Sweep(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for _, n := range k.numbers() {
		if n > d.Revision {
			if err := k.fs.Remove(k.revision(n)); err != nil {
				return nil, err
			}
		}
	}
	return k.revertArmed(d)
}

// accepted reports whether d is what a change once made, not what somebody wrote
// by hand.
func (k disk) accepted(d *Document) bool {
	saved, err := k.document(d.Revision)
	return err == nil && reflect.DeepEqual(saved, d)
}

// revertArmed goes back to the document before d if d still waited for its
// confirmation when the process ended.
func (k disk) revertArmed(d *Document) (*Document, error) {
	data, err := os.ReadFile(k.pending())
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	} else if err != nil {
		return nil, err
	}
	var p Pending
	if err := json.Unmarshal(data, &p); err != nil || p.Revision != d.Revision {
		return d, k.disarm() // of a change that never became current
	}
	base, err := k.document(p.Base)
	if err != nil {
		return nil, fmt.Errorf("reverting the unconfirmed revision %d: %w", p.Revision, err)
	}
	base.Schema, base.Revision = Schema, d.Revision+1
	rev := Revision{
		Number: base.Revision, Time: time.Now(), Actor: "cell",
		Reason: "the cell restarted before the change was confirmed", Diff: Diff(d, base),
	}
	// The commit first: with pending.json still there, a crash in between
	// reverts again from the start.
	whole, err := encode(base)
	if err != nil {
		return nil, err
	}
	entry, err := encode(stored{rev, whole})
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(k.fs, k.revision(rev.Number), entry, 0o600); err != nil {
		return nil, err
	}
	if err := atomicfile.Write(k.fs, k.config(), whole, 0o600); err != nil && !errors.Is(err, atomicfile.ErrUnsynced) {
		return nil, err
	}
	_ = k.disarm() // at the next start it is of a revision that is not current
	return base, nil
}

func (k disk) read() (*Document, error) {
	data, err := os.ReadFile(k.config())
	if err != nil {
		return nil, err
	}
	d, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", k.config(), err)
	}
	return d, nil
}

func (k disk) load(n int64) (stored, error) {
	var s stored
	data, err := os.ReadFile(k.revision(n))
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("revision %d: %w", n, ErrNoRevision)
	} else if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("reading revision %d: %w", n, err)
	}
	return s, nil
}

func (k disk) document(n int64) (*Document, error) {
	s, err := k.load(n)
	if err != nil {
		return nil, err
	}
	d, err := Parse(s.Document)
	if err != nil {
		return nil, fmt.Errorf("reading revision %d: %w", n, err)
	}
	return d, nil
}

func (k disk) history(n int) ([]Revision, error) {
	all := k.numbers()
	slices.Reverse(all)
	if len(all) > n {
		all = all[:n]
	}
	out := make([]Revision, 0, len(all))
	for _, n := range all {
		s, err := k.load(n)
		if errors.Is(err, ErrNoRevision) {
			continue // pruned meanwhile
		} else if err != nil {
			return nil, err
		}
		out = append(out, s.Revision)
	}
	return out, nil
}

// largest is how many bytes a document may have: a hundred of them are kept, each
// with what it changed.
const largest = 4 << 20

func small(d *Document) error {
	b, err := json.Marshal(d)
	if err == nil && len(b) > largest {
		err = &FieldError{"", fmt.Sprintf("the whole document would have %d bytes; %d are allowed", len(b), largest)}
	}
	return err
}

func encode(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}
