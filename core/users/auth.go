package users

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"pic/core/state"
)

// errNothing is no failed guess.
var errNothing = fmt.Errorf("%w: none was sent", ErrDenied)

// Authenticate checks a login and a password, or an app password for Mail and
// DAV, of somebody at the address from, which is not valid for the host itself.
// The error is safe to show; it wraps [ErrDenied] or [ErrThrottled], or is that
// of ctx, or of the disk. A login or secret that is empty is denied and counts
// for nothing.
func (d *Directory) Authenticate(ctx context.Context, login, secret string, scope Scope, from netip.Addr) (Principal, error) {
	if login == "" || secret == "" {
		return Principal{}, errNothing
	}
	if len(login) > maxLogin || len(secret) > maxSecret {
		return Principal{}, ErrDenied
	}
	name, ok := d.people.Load().local(login)
	if !ok {
		name = "@" + strings.ToLower(login) // nobody's, and counted all the same
	}
	t := &try{
		name:   name,
		secret: d.doors.mark("secret", name, string(scope), secret),
		who:    pair{d.doors.mark("login", name), sourceOf(from)},
	}
	for {
		known, wait, hold, err := d.doors.enter(t, time.Now())
		right := false
		switch {
		case err != nil:
			return Principal{}, err
		case known != nil:
			right = known.right
		case wait != nil:
			select {
			case <-wait.landed:
				continue
			case <-ctx.Done():
				return Principal{}, ctx.Err()
			}
		default:
			if right, err = d.check(ctx, t, secret, scope, hold); err != nil {
				return Principal{}, err
			}
			if !d.doors.stands(name, t.version) {
				continue // the password was changed meanwhile
			}
		}
		if p, ok := d.active(name); right && ok {
			return p, nil
		}
		return Principal{}, ErrDenied
	}
}

// check finds out whether a guess is right, after holding it up.
func (d *Directory) check(ctx context.Context, t *try, secret string, scope Scope, hold time.Duration) (right bool, err error) {
	done := false
	defer func() { d.doors.leave(t, hold, done, right, time.Now()) }()
	if err := sleep(ctx, hold); err != nil {
		return false, err
	}
	if right, err = d.isAppPassword(ctx, t.name, secret, scope); err == nil && !right {
		right, err = d.isPassword(ctx, t.name, secret)
	}
	if err != nil {
		return false, err
	}
	_, ok := d.active(t.name)
	right, done = right && ok, true
	return right, nil
}

// passwordRecord is what is kept of a password.
type passwordRecord struct {
	Hash    string    `json:"hash"`
	Changed time.Time `json:"changed"`
}

func passwordKey(name string) []byte { return []byte("p/" + name) }

// isPassword reports whether secret is the account password of name. It takes
// equally long for every name.
func (d *Directory) isPassword(ctx context.Context, name, secret string) (bool, error) {
	var rec passwordRecord
	if err := d.space.View(func(r state.Reader) error {
		_, err := load(r, passwordKey(name), &rec)
		return err
	}); err != nil {
		return false, err
	}
	ok, stale, err := d.hasher.verify(ctx, secret, rec.Hash)
	if err == nil && ok && stale {
		d.rehash(ctx, name, secret, rec.Hash)
	}
	return ok, err
}

// rehash keeps a right password with today's costs. If that fails the old hash
// stays, which is as good.
func (d *Directory) rehash(ctx context.Context, name, secret, old string) {
	hash, err := d.hasher.hash(ctx, secret)
	if err == nil {
		err = d.space.Update(ctx, func(w state.Writer) error {
			var rec passwordRecord
			if ok, err := load(w, passwordKey(name), &rec); err != nil || !ok || rec.Hash != old {
				return err // changed meanwhile
			}
			rec.Hash = hash
			return save(w, passwordKey(name), rec)
		})
	}
	if err != nil {
		d.log.Warn("renewing the hash of a password", "user", name, "err", err)
	}
}

// load reads the JSON at key into v, and reports whether there is any.
func load(r state.Reader, key []byte, v any) (bool, error) {
	b := r.Get(key)
	if b == nil {
		return false, nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, errors.New("what is kept of the credentials is damaged") // never quote it
	}
	return true, nil
}

func save(w state.Writer, key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Put(key, b)
}
