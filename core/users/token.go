package users

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pic/core/config"
	"pic/core/state"
	"pic/internal/order"
)

// tokenPrefix lets people and scanners recognise an API token.
const tokenPrefix = "pic_"

const maxTokens = 256 // of the cell

// A Token is what is known of an API token.
type Token struct {
	ID      string
	User    string
	Label   string
	Role    config.Role
	Created time.Time
	Used    time.Time // to the hour; zero: never
}

func tokenKey(secret string) []byte { return []byte("t/" + digest(secret)) }

// errToken tells programs more than people need.
var errToken = fmt.Errorf("%w: the token is not valid", ErrDenied)

// CreateToken makes a token with which a program acts for a user, with the role
// or the user's own, whichever may do less. It is returned this once.
func (d *Directory) CreateToken(ctx context.Context, user, label string, role config.Role) (id, secret string, err error) {
	if err := checkName(user); err != nil {
		return "", "", err
	}
	if err := checkLabel(label); err != nil {
		return "", "", err
	}
	if rank(role) < 0 {
		return "", "", &config.FieldError{Path: "role", Problem: "must be admin, viewer or user"}
	}
	secret = tokenPrefix + newSecret()
	rec := Token{ID: newID(), User: user, Label: label, Role: role, Created: now()}
	err = d.space.Update(ctx, func(w state.Writer) error {
		n := 0
		for range w.Scan([]byte("t/"), nil) {
			n++
		}
		if n >= maxTokens {
			return &config.FieldError{Path: "label", Problem: fmt.Sprintf("there are %d tokens already: delete some that are not used", n)}
		}
		return save(w, tokenKey(secret), rec)
	})
	if err != nil {
		return "", "", err
	}
	return rec.ID, secret, nil
}

// Token returns who is behind an API token, with the role that the token has.
// What is no token, or one of a user who may not enter, is [ErrDenied].
func (d *Directory) Token(ctx context.Context, secret string) (Principal, error) {
	if !strings.HasPrefix(secret, tokenPrefix) || len(secret) > maxSecret {
		return Principal{}, errToken
	}
	key := tokenKey(secret)
	var t Token
	ok := false
	err := d.space.View(func(r state.Reader) (err error) {
		ok, err = load(r, key, &t)
		return err
	})
	if err != nil {
		return Principal{}, err
	}
	p, active := d.active(t.User)
	if !ok || !active {
		return Principal{}, errToken
	}
	d.markUsed(ctx, t.Used, func(w state.Writer, at time.Time) error {
		if ok, err := load(w, key, &t); err != nil || !ok {
			return err
		}
		t.Used = at
		return save(w, key, t)
	})
	if rank(t.Role) < rank(p.Role) {
		p.Role = t.Role
	}
	return p, nil
}

// rank orders roles by what they may do; -1 is none.
func rank(r config.Role) int {
	return slices.Index([]config.Role{config.Member, config.Viewer, config.Admin}, r)
}

// Tokens lists all API tokens, oldest first.
func (d *Directory) Tokens() ([]Token, error) {
	out := []Token{}
	err := d.space.View(func(r state.Reader) error {
		for k := range r.Scan([]byte("t/"), nil) {
			var t Token
			if _, err := load(r, k, &t); err != nil {
				return err
			}
			out = append(out, t)
		}
		return nil
	})
	order.By(out, func(a, b Token) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return out, err
}

// DeleteToken makes a token worthless at once; there being none is no error.
func (d *Directory) DeleteToken(ctx context.Context, id string) error {
	return d.space.Update(ctx, func(w state.Writer) error {
		return deleteIf(w, "t/", func(t Token) bool { return t.ID == id })
	})
}

func deleteTokens(w state.Writer, user string) error {
	return deleteIf(w, "t/", func(t Token) bool { return t.User == user })
}

func deleteIf(w state.Writer, prefix string, is func(Token) bool) error {
	var errs []error
	for k := range w.Scan([]byte(prefix), nil) {
		var t Token
		if ok, err := load(w, k, &t); err == nil && ok && is(t) {
			errs = append(errs, w.Delete(k))
		}
	}
	return errors.Join(errs...)
}
