package davsrv

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"pic/core/state"
)

// Bounds of locks.
const (
	maxLocks     = 100 // of one user
	maxLockOwner = 1 << 10
	maxLockTime  = time.Hour
	lockTime     = 30 * time.Minute // where the client does not say
)

// A lock is a write lock on a file or folder (RFC 4918 §6, §7). Nobody changes
// one once it is in the table; a refresh puts another in its place.
type lock struct {
	Token    string    `json:"token"`
	User     string    `json:"user"`
	Path     string    `json:"path"` // below the user's files
	Infinite bool      `json:"infinite,omitempty"`
	Shared   bool      `json:"shared,omitempty"`
	Folder   bool      `json:"folder,omitempty"`
	Owner    string    `json:"owner,omitempty"` // XML that stands by itself
	Expires  time.Time `json:"expires"`
}

// over reports whether the lock protects what is at name.
func (l *lock) over(name string) bool {
	return l.Path == name || l.Infinite && isBelow(name, l.Path)
}

// isBelow reports whether name lies within the folder dir.
func isBelow(name, dir string) bool {
	if dir == "." {
		return name != "."
	}
	return strings.HasPrefix(name, dir+"/")
}

// locks is the table of all locks. It is kept in memory and in the state, so
// that locks outlive a restart. It is safe for concurrent use.
type locks struct {
	space *state.Space

	mu     sync.Mutex
	byUser map[string][]*lock
}

// load reads the table from the state.
func (t *locks) load() error {
	byUser := make(map[string][]*lock)
	err := t.space.View(func(r state.Reader) error {
		for _, v := range r.Scan([]byte{keyLock}, nil) {
			l := new(lock)
			if err := json.Unmarshal(v, l); err != nil {
				return fmt.Errorf("reading locks: %w", err)
			}
			byUser[l.User] = append(byUser[l.User], l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byUser = byUser
	return nil
}

// of returns a user's locks that have not expired.
func (t *locks) of(user string) []*lock {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(t.byUser[user]), func(l *lock) bool { return now.After(l.Expires) })
}

// covers reports whether a lock with the token protects what is at name.
func (t *locks) covers(user, name, token string) bool {
	return slices.ContainsFunc(t.of(user), func(l *lock) bool { return l.Token == token && l.over(name) })
}

// save makes changed the user's locks, durably first.
func (t *locks) save(ctx context.Context, user string, changed []*lock) error {
	t.mu.Lock()
	old := t.byUser[user]
	t.mu.Unlock()
	err := t.space.Update(ctx, func(w state.Writer) error {
		for _, l := range old {
			if slices.Contains(changed, l) {
				continue
			}
			if err := w.Delete(append([]byte{keyLock}, l.Token...)); err != nil {
				return err
			}
		}
		for _, l := range changed {
			if slices.Contains(old, l) {
				continue
			}
			v, err := json.Marshal(l)
			if err != nil {
				return err
			}
			if err := w.Put(append([]byte{keyLock}, l.Token...), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byUser[user] = changed
	return nil
}

// drop ends the locks at a path and below, which no longer exists.
func (t *locks) drop(ctx context.Context, user, name string) error {
	all := t.of(user)
	left := slices.DeleteFunc(slices.Clone(all), func(l *lock) bool { return l.Path == name || isBelow(l.Path, name) })
	if len(left) == len(all) {
		return nil
	}
	return t.save(ctx, user, left)
}

func newToken() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// An action is what a request is about to do to a name.
type action struct {
	path string
	how  changing
}

type changing int

const (
	modifying changing = iota // content or properties
	adding                    // a name that is not there
	removing                  // the name and all below it
)

func modifies(t target) action { return action{t.path(), modifying} }
func adds(t target) action     { return action{t.path(), adding} }
func removes(t target) action  { return action{t.path(), removing} }

// touches reports whether the lock protects against the action (RFC 4918 §7).
func (l *lock) touches(a action) bool {
	if l.over(a.path) {
		return true
	}
	switch a.how {
	case removing:
		return l.Path == path.Dir(a.path) || isBelow(l.Path, a.path)
	case adding:
		return l.Path == path.Dir(a.path)
	}
	return false
}

// mayChange refuses what conditions, the If header or locks forbid. st is the
// state of what the request names. It must be called under the home's lock to
// be sure, and may be called before to be quick.
func (q *request) mayChange(st resourceState, actions ...action) error {
	if err := checkConditions(q.r.Header, st); err != nil {
		return err
	}
	if !q.cond.holds(q.r, q.at, q) {
		return errPrecondition
	}
	return q.unlocked(actions...)
}

// unlocked refuses actions against locks whose tokens the request lacks. Of the
// shared locks on one path the token of one is enough.
func (q *request) unlocked(actions ...action) error {
	held := q.s.locks.of(q.user)
	if len(held) == 0 {
		return nil
	}
	tokens := q.cond.tokens()
	for _, l := range held {
		if !slices.ContainsFunc(actions, l.touches) || slices.Contains(tokens, l.Token) {
			continue
		}
		if l.Shared && slices.ContainsFunc(held, func(o *lock) bool {
			return o.Shared && o.Path == l.Path && slices.Contains(tokens, o.Token)
		}) {
			continue
		}
		return &refusal{http.StatusLocked, dav("lock-token-submitted"), hrefFile(q.user, l.Path, l.Folder), "It is locked; send the lock's token."}
	}
	return nil
}
