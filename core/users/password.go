package users

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"pic/core/config"
	"pic/core/state"
	"pic/internal/order"
)

// minPassword is in characters.
const minPassword = 8

// common are passwords that every guesser tries first and that are long enough.
var common = []string{
	"password", "password1", "passw0rd", "12345678", "123456789", "1234567890", "11111111", "00000000",
	"qwertyui", "qwertyuiop", "qwerty123", "iloveyou", "sunshine", "princess", "football", "baseball",
	"superman", "trustno1", "letmein1", "welcome1", "admin123", "administrator", "changeme", "raspberry",
}

// CheckPassword says in one sentence why a password is not good enough for the
// user of that name, or returns nil.
func (d *Directory) CheckPassword(name, secret string) error {
	low := strings.ToLower(secret)
	first, _ := utf8.DecodeRuneInString(secret)
	switch {
	case utf8.RuneCountInString(secret) < minPassword:
		return fmt.Errorf("choose a password of at least %d characters", minPassword)
	case len(secret) > maxSecret:
		return fmt.Errorf("choose a password of at most %d bytes", maxSecret)
	case !utf8.ValidString(secret) || strings.ContainsRune(secret, 0):
		return errors.New("choose a password of characters that can be typed")
	case slices.Contains(common, low), name != "" && strings.Trim(low, "0123456789!") == strings.ToLower(name),
		strings.Trim(secret, string(first)) == "":
		return errors.New("choose a password that is harder to guess: this is one of the first that everybody tries")
	}
	return nil
}

// SetPassword gives a user a password, the first or another, and ends all their
// sessions. App passwords and tokens stay. A password that is not good enough is
// a [config.FieldError] of the field password.
func (d *Directory) SetPassword(ctx context.Context, name, secret string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := d.CheckPassword(name, secret); err != nil {
		return &config.FieldError{Path: "password", Problem: err.Error()}
	}
	hash, err := d.hasher.hash(ctx, secret)
	if err != nil {
		return err
	}
	defer d.doors.changed(name)
	return d.space.Update(ctx, func(w state.Writer) error {
		if _, err := deleteSessions(w, func(s sessionRecord) bool { return s.User == name }); err != nil {
			return err
		}
		return save(w, passwordKey(name), passwordRecord{hash, now()})
	})
}

// HasPassword reports whether a user has an account password.
func (d *Directory) HasPassword(name string) bool {
	has := false
	_ = d.space.View(func(r state.Reader) error {
		has = r.Get(passwordKey(name)) != nil
		return nil
	})
	return has
}

// An AppPassword is what is known of one.
type AppPassword struct {
	ID      string
	Label   string
	Scopes  []Scope
	Created time.Time
	Used    time.Time // to the hour; zero: never
}

const (
	maxAppPasswords = 64 // of one user
	maxLabel        = 100
	usedStep        = time.Hour // how exactly it is kept when something was used
)

func appPrefix(user string) []byte { return []byte("a/" + user + "/") }

func appKey(user, secret string) []byte { return append(appPrefix(user), digest(bare(secret))...) }

// bare undoes what people and programs do to an app password when they copy it.
func bare(secret string) string {
	return strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(secret))
}

// CreateAppPassword makes a password for one program, which opens the scopes and
// nothing else. It is returned this once.
func (d *Directory) CreateAppPassword(ctx context.Context, user, label string, scopes []Scope) (id, secret string, err error) {
	if err := checkName(user); err != nil {
		return "", "", err
	}
	if err := checkLabel(label); err != nil {
		return "", "", err
	}
	if len(scopes) == 0 {
		return "", "", &config.FieldError{Path: "scopes", Problem: "name at least one service that the app password opens"}
	}
	for _, s := range scopes {
		if s != Mail && s != DAV {
			return "", "", &config.FieldError{Path: "scopes", Problem: fmt.Sprintf("an app password cannot open %q: only mail and dav", s)}
		}
	}
	scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	secret = newAppPassword()
	rec := AppPassword{ID: newID(), Label: label, Scopes: scopes, Created: now()}
	err = d.space.Update(ctx, func(w state.Writer) error {
		n := 0
		for range w.Scan(appPrefix(user), nil) {
			n++
		}
		if n >= maxAppPasswords {
			return &config.FieldError{Path: "label", Problem: fmt.Sprintf("there are %d app passwords already: delete some that are not used", n)}
		}
		return save(w, appKey(user, secret), rec)
	})
	if err != nil {
		return "", "", err
	}
	d.doors.changed(user)
	return rec.ID, secret, nil
}

// AppPasswords lists a user's app passwords, oldest first.
func (d *Directory) AppPasswords(user string) ([]AppPassword, error) {
	out := []AppPassword{}
	err := d.space.View(func(r state.Reader) error {
		for k := range r.Scan(appPrefix(user), nil) {
			var a AppPassword
			if _, err := load(r, k, &a); err != nil {
				return err
			}
			out = append(out, a)
		}
		return nil
	})
	order.By(out, func(a, b AppPassword) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return out, err
}

// DeleteAppPassword makes an app password worthless at once; there being none is
// no error.
func (d *Directory) DeleteAppPassword(ctx context.Context, user, id string) error {
	defer d.doors.changed(user)
	return d.space.Update(ctx, func(w state.Writer) error {
		for k := range w.Scan(appPrefix(user), nil) {
			var a AppPassword
			if _, err := load(w, k, &a); err != nil {
				return err
			}
			if a.ID == id {
				return w.Delete(k)
			}
		}
		return nil
	})
}

// isAppPassword reports whether secret is an app password of user for scope.
func (d *Directory) isAppPassword(ctx context.Context, user, secret string, scope Scope) (bool, error) {
	if scope == Web {
		return false, nil
	}
	key := appKey(user, secret)
	var a AppPassword
	ok := false
	err := d.space.View(func(r state.Reader) (err error) {
		ok, err = load(r, key, &a)
		return err
	})
	if err != nil || !ok || !slices.Contains(a.Scopes, scope) {
		return false, err
	}
	d.markUsed(ctx, a.Used, func(w state.Writer, at time.Time) error {
		if ok, err := load(w, key, &a); err != nil || !ok {
			return err
		}
		a.Used = at
		return save(w, key, a)
	})
	return true, nil
}

// markUsed notes that a credential was used, if that was long ago. That it fails
// keeps nobody out.
func (d *Directory) markUsed(ctx context.Context, last time.Time, mark func(state.Writer, time.Time) error) {
	at := now()
	if gone := at.Sub(last); gone >= 0 && gone < usedStep {
		return
	}
	if err := d.space.Update(ctx, func(w state.Writer) error { return mark(w, at) }); err != nil {
		d.log.Warn("noting the use of a credential", "err", err)
	}
}

func checkLabel(label string) error {
	if label == "" || utf8.RuneCountInString(label) > maxLabel || !utf8.ValidString(label) {
		return &config.FieldError{Path: "label", Problem: fmt.Sprintf("give it a name of 1 to %d characters", maxLabel)}
	}
	return nil
}

// now is what is kept of the present: seconds, UTC.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// newAppPassword makes 80 random bits that are easy to type on a phone.
func newAppPassword() string {
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789" // 32, without l, o, 0, 1
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	var s strings.Builder
	for i, c := range b {
		if i > 0 && i%4 == 0 {
			s.WriteByte('-')
		}
		s.WriteByte(alphabet[c%32])
	}
	return s.String()
}

// newSecret makes 260 random bits.
func newSecret() string { return strings.ToLower(rand.Text() + rand.Text()) }

// newID makes an id, which is no secret.
func newID() string { return strings.ToLower(rand.Text()[:16]) }
