package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"pic/internal/atomicfile"
)

const (
	maxPause    = 7 * 24 * time.Hour
	maxPauseDoc = 64 << 10 // bytes of the file that keeps pauses
)

// Pause stops filtering for a while, seven days at most, for the clients of a
// group or with "" for everybody; rewrites stay. No time, or less, ends a pause.
// Where the Engine has a folder, pauses outlive the process: once Pause returns
// nil it is on disk. On an error all is as before.
func (e *Engine) Pause(d time.Duration, name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if name != "" && !slices.ContainsFunc(e.c.groups, func(g group) bool { return g.name == name }) {
		return fmt.Errorf("there is no group %q in dns.filter.groups", name)
	}
	next := maps.Clone(e.pauses)
	delete(next, name)
	if d > 0 {
		next[name] = e.now().Add(min(d, maxPause))
	}
	switch err := e.savePauses(next); {
	case errors.Is(err, atomicfile.ErrUnsynced):
		e.log.Warn("keeping pauses", "err", err)
	case err != nil:
		return fmt.Errorf("keeping the pause on disk: %w", err)
	}
	e.pauses = next
	e.publish()
	nudge(e.tick)
	return nil
}

// Paused returns until when what is paused: groups, or "" for everybody.
func (e *Engine) Paused() map[string]time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return ongoing(e.pauses, e.now())
}

// ongoing are the pauses that are not over.
func ongoing(all map[string]time.Time, now time.Time) map[string]time.Time {
	out := map[string]time.Time{}
	for g, until := range all {
		if now.Before(until) {
			out[g] = until
		}
	}
	return out
}

func (e *Engine) pauseFile() string { return filepath.Join(e.opt.Dir, "pauses.json") }

func (e *Engine) savePauses(all map[string]time.Time) error {
	if e.opt.Dir == "" {
		return nil
	}
	b, err := json.Marshal(ongoing(all, e.now()))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(e.opt.Dir, 0o700); err != nil {
		return err
	}
	return atomicfile.Write(e.store.fs, e.pauseFile(), b, 0o600)
}

// recallPauses reads the pauses of a process before, once. What cannot be read
// is no pause. The caller holds mu.
func (e *Engine) recallPauses() {
	if e.recalled || e.opt.Dir == "" {
		return
	}
	e.recalled = true
	if err := atomicfile.Sweep(e.opt.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.log.Warn("clearing up after writes that were cut short", "err", err)
	}
	all, err := loadPauses(e.pauseFile(), e.now())
	if err != nil {
		e.log.Warn("pauses of before are not known any more", "err", err)
	}
	for g, until := range all {
		if _, newer := e.pauses[g]; !newer {
			e.pauses[g] = until
		}
	}
}

// loadPauses reads the file of pauses; none is no error. No pause is longer than
// one can be, wherever the clock was when it was made.
func loadPauses(path string, now time.Time) (map[string]time.Time, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPauseDoc+1))
	if err == nil && len(b) > maxPauseDoc {
		err = errors.New("the file is too long")
	}
	var all map[string]time.Time
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	for g, until := range all {
		if until.Sub(now) > maxPause {
			all[g] = now.Add(maxPause)
		}
	}
	return ongoing(all, now), nil
}
