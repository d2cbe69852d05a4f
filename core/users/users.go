// Package users knows the people of the cell and checks who somebody is.
//
// Who there is, their roles and groups come from the document; their
// credentials (password, app passwords, sessions, API tokens) are kept here and
// nowhere else. What is kept cannot be turned back into a secret: passwords as
// argon2id (RFC 9106), all other secrets, which are long and random, as SHA-256.
//
// Promises:
//   - A login is alice or alice@domain, for the domains of the cell, without
//     regard to case. Passwords are compared in Unicode's form NFC.
//   - An unknown login takes as long to refuse as a wrong password, and reads
//     the same.
//   - Checking costs bounded memory: two argon2 computations of 19 MiB at a time,
//     and a bounded number who wait for them.
//   - A password that was right is right again for five minutes without being
//     computed, until any credential of that person changes, or the person is
//     disabled or removed. These act at once.
//   - Guessing is slowed down by login and address together, by address, and a
//     little by login alone. Nobody can lock a person out who comes from another
//     address. Sending the same wrong password again is not another guess, and
//     sending none is no guess at all.
//
// What it does not do: second factors and passkeys.
//
// Layout of its key space, values are JSON, HASH is hexadecimal SHA-256:
//
//	p/NAME         the password
//	a/NAME/HASH    an app password
//	s/HASH         a session, by its token
//	t/HASH         an API token
package users

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pic/core/config"
	"pic/core/service"
	"pic/core/state"
)

// ErrDenied says that somebody is not who they say they are. Its text, and that
// of errors that wrap it, is safe to show.
var ErrDenied = errors.New("the name or the password is wrong")

// A Scope is what somebody wants to enter.
type Scope string

const (
	Web  Scope = "web" // the UI and the API; no app password opens it
	Mail Scope = "mail"
	DAV  Scope = "dav"
)

// A Principal is a person who has proved who they are.
type Principal struct {
	Name    string // config.User.Name
	Display string
	Role    config.Role
	Groups  []string
}

// Config is what the directory needs to know. [From] derives it.
type Config struct {
	Users   []User
	Domains []string // that a login may end in, lower case
}

// A User is a person of the document.
type User struct {
	Principal
	Disabled bool
}

// From picks the people out of the document.
func From(d *config.Document) Config {
	c := Config{Domains: []string{strings.ToLower(d.Cell.Domain)}}
	for _, m := range d.Mail.Domains {
		if m = strings.ToLower(m); !slices.Contains(c.Domains, m) {
			c.Domains = append(c.Domains, m)
		}
	}
	for _, u := range d.Users {
		c.Users = append(c.Users, User{Principal{u.Name, u.Display, u.Role, u.Groups}, u.Disabled})
	}
	return c
}

// A Directory is the people and their credentials. Its methods are safe for
// concurrent use. It is a [service.Server]; nobody can enter before the first
// Apply.
type Directory struct {
	space  *state.Space
	log    *slog.Logger
	hasher *hasher
	doors  *doors

	people atomic.Pointer[people]
	applym sync.Mutex
	purge  chan struct{} // asks Run to look for sessions that must end
}

// people is one state of the document. It never changes.
type people struct {
	byName  map[string]User
	domains []string
}

// NewDirectory returns a directory that keeps credentials in space.
func NewDirectory(space *state.Space, log *slog.Logger) *Directory {
	d := &Directory{space: space, log: log, hasher: newHasher(), doors: newDoors(), purge: make(chan struct{}, 1)}
	d.people.Store(&people{})
	return d
}

// Check refuses nobody: the document's own checks say it all.
func (d *Directory) Check(context.Context, Config) error { return nil }

// Apply makes c's people those of the cell. Who is disabled or gone is out at
// once; their credentials stay, see [Directory.Forget].
func (d *Directory) Apply(_ context.Context, c Config) error {
	next := &people{byName: make(map[string]User, len(c.Users)), domains: c.Domains}
	for _, u := range c.Users {
		next.byName[u.Name] = u
	}
	d.applym.Lock()
	defer d.applym.Unlock()
	old := d.people.Swap(next)
	for name := range union(old.byName, next.byName) {
		a, b := old.byName[name], next.byName[name]
		if a.Name != b.Name || a.Disabled != b.Disabled {
			d.doors.changed(name)
		}
	}
	select {
	case d.purge <- struct{}{}:
	default:
	}
	return nil
}

func union(a, b map[string]User) map[string]User {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]User{}
	}
	maps.Copy(out, b)
	return out
}

// Run deletes sessions that are over, until ctx is done.
func (d *Directory) Run(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-d.purge:
		}
		if n, err := d.endOver(ctx, time.Now()); err != nil && ctx.Err() == nil {
			d.log.Warn("ending old sessions", "err", err)
		} else if n > 0 {
			d.log.Debug("ended old sessions", "count", n)
		}
	}
}

// Problems lists none: what is wrong with the state shows elsewhere.
func (d *Directory) Problems() []service.Problem { return nil }

// Sockets lists none.
func (d *Directory) Sockets() []string { return nil }

// Facts tells how many people and sessions there are.
func (d *Directory) Facts() []service.Fact {
	n := 0
	_ = d.space.View(func(r state.Reader) error {
		for range r.Scan([]byte("s/"), nil) {
			n++
		}
		return nil
	})
	return []service.Fact{
		{Name: "people", Value: strconv.Itoa(len(d.people.Load().byName))},
		{Name: "sessions", Value: strconv.Itoa(n)},
	}
}

// active returns the person of that name if they may enter anything.
func (d *Directory) active(name string) (Principal, bool) {
	u, ok := d.people.Load().byName[name]
	if !ok || u.Disabled {
		return Principal{}, false
	}
	p := u.Principal
	p.Groups = slices.Clone(p.Groups)
	return p, true
}

// Resolve returns the name of the user that a login means, whether or not they
// may enter: alice for Alice@oak.home.arpa.
func (d *Directory) Resolve(login string) (name string, ok bool) {
	p := d.people.Load()
	name, ok = p.local(login)
	if ok {
		_, ok = p.byName[name]
	}
	return name, ok
}

// local cuts a domain of the cell off a login and folds its case.
func (p *people) local(login string) (string, bool) {
	if len(login) > maxLogin {
		return "", false
	}
	login = strings.ToLower(strings.TrimSpace(login))
	if i := strings.LastIndexByte(login, '@'); i >= 0 {
		if !slices.Contains(p.domains, login[i+1:]) {
			return "", false
		}
		login = login[:i]
	}
	return login, login != ""
}

// maxLogin bounds a login, maxSecret a password, in bytes.
const (
	maxLogin  = 254
	maxSecret = 1024
)

// checkName refuses what cannot be part of a key.
func checkName(name string) error {
	if name == "" || len(name) > 64 || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q cannot be the name of a user", name)
	}
	return nil
}

// Forget deletes all credentials of a user: password, app passwords, sessions,
// tokens. Call it when a person is removed for good, so that somebody else of
// that name does not inherit them.
func (d *Directory) Forget(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	defer d.doors.changed(name)
	err := d.space.Update(ctx, func(w state.Writer) error {
		if err := w.Delete(passwordKey(name)); err != nil {
			return err
		}
		for k := range w.Scan(appPrefix(name), nil) {
			if err := w.Delete(k); err != nil {
				return err
			}
		}
		if err := deleteTokens(w, name); err != nil {
			return err
		}
		_, err := deleteSessions(w, func(s sessionRecord) bool { return s.User == name })
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting the credentials of %s: %w", name, err)
	}
	return nil
}
