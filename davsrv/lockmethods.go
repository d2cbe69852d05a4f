package davsrv

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lock answers LOCK (RFC 4918 §9.10): a new lock, or without a body the refresh
// of one.
func (q *request) lock() error {
	root, err := q.xml(maxXMLBody)
	if errors.Is(err, errNoXML) {
		return q.refreshLock()
	}
	if err != nil {
		return err
	}
	l, err := q.readLock(root)
	if err != nil {
		return err
	}
	return q.withHome(func(dir *os.Root) error {
		h := q.s.home(q.user)
		h.mu.Lock()
		defer h.mu.Unlock()
		created, err := q.lockTarget(dir, l)
		if err != nil {
			return err
		}
		all := q.s.locks.of(q.user)
		if len(all) >= maxLocks {
			return refuse(http.StatusInsufficientStorage, "There are too many locks.")
		}
		for _, o := range all {
			if (o.over(l.Path) || l.Infinite && isBelow(o.Path, l.Path)) && !(o.Shared && l.Shared) {
				return &refusal{http.StatusLocked, dav("no-conflicting-lock"), hrefFile(q.user, o.Path, o.Folder), "It is locked already."}
			}
		}
		if created {
			if err := q.touchEmpty(dir, l.Path); err != nil {
				return err
			}
		}
		if err := q.s.locks.save(context.WithoutCancel(q.r.Context()), q.user, append(all, l)); err != nil {
			return err
		}
		q.w.Header().Set("Lock-Token", "<"+l.Token+">")
		status := http.StatusOK
		if created {
			status = http.StatusCreated
		}
		return q.writeLocks(status, []*lock{l})
	})
}

// lockTarget checks what is to be locked and reports whether it must be made.
func (q *request) lockTarget(dir *os.Root, l *lock) (create bool, err error) {
	old, err := stat(dir, l.Path)
	if err != nil {
		return false, err
	}
	if old != nil {
		l.Folder = old.dir
		if q.at.slash && !old.dir {
			return false, errNoObject
		}
		return false, checkConditions(q.r.Header, resourceState{true, old.etag, old.modified})
	}
	if err := parentExists(dir, l.Path); err != nil {
		return false, err
	}
	if q.at.slash {
		return false, refuse(http.StatusConflict, "There is no such folder.")
	}
	return true, q.mayChange(resourceState{}, action{l.Path, adding})
}

// touchEmpty makes the empty file that a LOCK of nothing leaves (RFC 4918 §7.3).
func (q *request) touchEmpty(dir *os.Root, name string) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncFolder(dir, parent(name))
}

// readLock reads a lockinfo (RFC 4918 §14.11).
func (q *request) readLock(root *node) (*lock, error) {
	if root.name != dav("lockinfo") || root.child(dav("locktype")).child(dav("write")) == nil {
		return nil, badXML("it is no lockinfo for a write lock")
	}
	l := &lock{Token: newToken(), User: q.user, Path: q.at.path()}
	switch scope := root.child(dav("lockscope")); {
	case scope.child(dav("exclusive")) != nil:
	case scope.child(dav("shared")) != nil:
		l.Shared = true
	default:
		return nil, badXML("its lockscope is neither exclusive nor shared")
	}
	how, err := q.depth(depthInfinity)
	if err != nil || how == depth1 {
		return nil, orElse(err, refuse(http.StatusBadRequest, "A lock has Depth: 0 or infinity."))
	}
	l.Infinite = how == depthInfinity
	if o := root.child(dav("owner")); o != nil {
		l.Owner = setNode(o).xml
		if len(l.Owner) > maxLockOwner {
			return nil, refuse(http.StatusRequestEntityTooLarge, "The owner of the lock is too long.")
		}
	}
	l.Expires = time.Now().Add(q.timeout())
	return l, nil
}

// timeout reads the Timeout header (RFC 4918 §10.7).
func (q *request) timeout() time.Duration {
	for v := range strings.SplitSeq(q.r.Header.Get("Timeout"), ",") {
		v = strings.TrimSpace(v)
		if strings.EqualFold(v, "Infinite") {
			return maxLockTime
		}
		if len(v) > 7 && strings.EqualFold(v[:7], "Second-") {
			if n, err := strconv.ParseUint(v[7:], 10, 32); err == nil && n > 0 {
				return min(time.Duration(n)*time.Second, maxLockTime)
			}
		}
	}
	return lockTime
}

// refreshLock gives a lock that the If header names a new time.
func (q *request) refreshLock() error {
	tokens, name := q.cond.tokens(), q.at.path()
	h := q.s.home(q.user)
	h.mu.Lock()
	defer h.mu.Unlock()
	all := q.s.locks.of(q.user)
	for i, l := range all {
		if !l.over(name) || !slices.Contains(tokens, l.Token) {
			continue
		}
		renewed := *l
		renewed.Expires = time.Now().Add(q.timeout())
		all[i] = &renewed
		if err := q.s.locks.save(context.WithoutCancel(q.r.Context()), q.user, all); err != nil {
			return err
		}
		return q.writeLocks(http.StatusOK, []*lock{&renewed})
	}
	return violates(http.StatusPreconditionFailed, dav("lock-token-matches-request-uri"), "The request names no lock that is held here.")
}

// unlock answers UNLOCK (RFC 4918 §9.11).
func (q *request) unlock() error {
	token, rest, ok := cutURI(strings.TrimSpace(q.r.Header.Get("Lock-Token")))
	if !ok || rest != "" {
		return refuse(http.StatusBadRequest, "The Lock-Token header is missing or malformed.")
	}
	h := q.s.home(q.user)
	h.mu.Lock()
	defer h.mu.Unlock()
	all, name := q.s.locks.of(q.user), q.at.path()
	i := slices.IndexFunc(all, func(l *lock) bool { return l.Token == token && l.over(name) })
	if i < 0 {
		return violates(http.StatusConflict, dav("lock-token-matches-request-uri"), "There is no such lock here.")
	}
	if err := q.s.locks.save(context.WithoutCancel(q.r.Context()), q.user, slices.Delete(all, i, i+1)); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (q *request) writeLocks(status int, held []*lock) error {
	x := newXMLWriter()
	defer x.free()
	x.start()
	x.openRoot(dav("prop"))
	x.open(dav("lockdiscovery"))
	for _, l := range held {
		x.lock(l)
	}
	x.close(dav("lockdiscovery"))
	x.close(dav("prop"))
	h := q.w.Header()
	h.Set("Content-Type", `application/xml; charset="utf-8"`)
	h.Set("Content-Length", strconv.Itoa(x.buf.Len()))
	q.w.WriteHeader(status)
	_, err := x.buf.WriteTo(q.w)
	return err
}

// lock writes an activelock.
func (x *xmlWriter) lock(l *lock) {
	scope, depth := "exclusive", "0"
	if l.Shared {
		scope = "shared"
	}
	if l.Infinite {
		depth = "infinity"
	}
	x.open(dav("activelock"))
	x.open(dav("locktype"))
	x.empty(dav("write"))
	x.close(dav("locktype"))
	x.open(dav("lockscope"))
	x.empty(dav(scope))
	x.close(dav("lockscope"))
	x.element(dav("depth"), depth)
	x.buf.WriteString(l.Owner)
	x.element(dav("timeout"), "Second-"+strconv.Itoa(max(1, int(time.Until(l.Expires).Seconds()+0.5))))
	x.open(dav("locktoken"))
	x.href(l.Token)
	x.close(dav("locktoken"))
	x.open(dav("lockroot"))
	x.href(hrefFile(l.User, l.Path, l.Folder))
	x.close(dav("lockroot"))
	x.close(dav("activelock"))
}

func writeLockDiscovery(x *xmlWriter, q *request, r *resource) {
	for _, l := range q.s.locks.of(r.owner) {
		if l.over(r.file.path) {
			x.lock(l)
		}
	}
}

func writeSupportedLock(x *xmlWriter, _ *request, _ *resource) {
	for _, scope := range []string{"exclusive", "shared"} {
		x.open(dav("lockentry"))
		x.open(dav("lockscope"))
		x.empty(dav(scope))
		x.close(dav("lockscope"))
		x.open(dav("locktype"))
		x.empty(dav("write"))
		x.close(dav("locktype"))
		x.close(dav("lockentry"))
	}
}
