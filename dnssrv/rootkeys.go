package dnssrv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"pic/core/service"
	"pic/dnssrv/validate"
	"pic/internal/atomicfile"
)

const maxRootKeys = 256 << 10 // bytes of the file

// A rootKeys follows the keys of the root (RFC 5011), so that a cell that is not
// updated for years still knows them. What it knows is on disk before it counts.
type rootKeys struct {
	path     string // empty: nothing is kept, so nothing is followed
	log      *slog.Logger
	fetch    validate.Fetch
	builtin  []*dns.DS
	credible time.Time // a clock before it is wrong

	mu     sync.Mutex
	opened bool
	state  validate.Followed
	lost   error // the state is not on disk
	since  time.Time
}

func newRootKeys(dir string, log *slog.Logger, fetch validate.Fetch) *rootKeys {
	k := &rootKeys{log: log, fetch: fetch, builtin: validate.Root(), credible: released}
	if dir != "" {
		k.path = filepath.Join(dir, "anchors", "root.json")
	}
	return k
}

// anchors are the trust anchors of the root.
func (k *rootKeys) anchors() []*dns.DS {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Anchors(k.builtin)
}

// open reads what is on disk, once. What cannot be read is found out anew, from
// the anchors that the program comes with.
func (k *rootKeys) open() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.opened || k.path == "" {
		return
	}
	k.opened = true
	_ = atomicfile.Sweep(filepath.Dir(k.path)) // there may be no folder yet
	state, err := loadRootKeys(k.path)
	if err != nil {
		k.log.Warn("the keys of the root are found out anew", "err", err)
		return
	}
	k.state = state
}

// loadRootKeys reads a file of them; none is no error.
func loadRootKeys(path string) (f validate.Followed, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxRootKeys+1))
	if err == nil && len(b) > maxRootKeys {
		err = errors.New("it is too long")
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		return validate.Followed{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return f, nil
}

func saveRootKeys(path string, f validate.Followed) error {
	b, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, b, 0o600)
}

// refresh looks at the keys of the root if it is time to, and reports whether
// others are trusted now.
func (k *rootKeys) refresh(ctx context.Context) (changed bool) {
	now := time.Now()
	k.mu.Lock()
	old := k.state
	k.mu.Unlock()
	// A Next that is far off was made by a clock that was ahead.
	if k.path == "" || now.Before(k.credible) || now.Before(old.Next) && old.Next.Sub(now) < 16*24*time.Hour {
		return false
	}
	m, err := k.fetch(ctx, ".", dns.TypeDNSKEY)
	if err != nil {
		if ctx.Err() == nil {
			k.put(old.Missed(now))
		}
		return false
	}
	next, err := old.Observe(now, ".", k.builtin, m)
	if err != nil {
		k.log.Warn("the keys of the root are not proven", "err", err)
		k.put(next)
		return false
	}
	if err := saveRootKeys(k.path, next); err != nil && !errors.Is(err, atomicfile.ErrUnsynced) {
		k.log.Error("the keys of the root are not kept", "err", err)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.lost == nil {
			k.since = now
		}
		k.lost, k.state.Next = err, now.Add(retryEvery)
		return false
	}
	k.tell(old, next)
	k.put(next)
	k.mu.Lock()
	k.lost = nil
	k.mu.Unlock()
	return !sameAnchors(old.Anchors(k.builtin), next.Anchors(k.builtin))
}

func (k *rootKeys) put(f validate.Followed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state = f
}

// tell logs what became of keys.
func (k *rootKeys) tell(old, next validate.Followed) {
	before := map[string]validate.KeyState{}
	for _, key := range old.Keys {
		before[key.Record] = key.State
	}
	for _, key := range next.Keys {
		if before[key.Record] != key.State {
			k.log.Info("key of the root", "tag", key.Tag(), "state", string(key.State), "before", string(before[key.Record]))
		}
	}
}

func sameAnchors(a, b []*dns.DS) bool {
	text := func(all []*dns.DS) (out string) {
		for _, ds := range all {
			out += ds.String() + "\n"
		}
		return out
	}
	return text(a) == text(b)
}

// fact says which keys are known, and how well.
func (k *rootKeys) fact() service.Fact {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for i := range k.state.Keys {
		key := &k.state.Keys[i]
		if key.State != validate.Removed {
			all = append(all, fmt.Sprintf("%d %s", key.Tag(), key.State))
		}
	}
	if len(all) == 0 {
		all = []string{"as the program knows them"}
	}
	return service.Fact{Name: "keys of the root", Value: strings.Join(all, ", ")}
}

// problems says why the keys of the root are no help.
func (k *rootKeys) problems() []service.Problem {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []service.Problem
	if len(k.state.Anchors(k.builtin)) == 0 {
		out = append(out, service.Problem{
			Code:     "dns/root-keys",
			Title:    "Answers from outside are not checked by DNSSEC",
			Text:     "All keys of the root that the cell knew have been revoked.",
			Fix:      "Update the cell, which then knows the new ones, or write them into dns.anchors as https://www.iana.org/dnssec/files has them.",
			Severity: service.Failure,
			Since:    k.state.Seen,
		})
	}
	if k.lost != nil {
		out = append(out, service.Problem{
			Code:     "dns/root-keys-lost",
			Title:    "New keys of the root cannot be noted",
			Text:     "So they do not count: " + k.lost.Error(),
			Fix:      "Make room on the disk, or see that the cell may write to its folder.",
			Severity: service.Warning,
			Since:    k.since,
		})
	}
	return out
}
