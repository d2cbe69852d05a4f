package users

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pic/core/config"
	"pic/core/state"
)

var (
	lan  = netip.MustParseAddr("192.168.1.7")
	evil = netip.MustParseAddr("203.0.113.9")
)

const pw = "correct horse"

func house() Config {
	return Config{
		Domains: []string{"oak.home.arpa", "example.org"},
		Users: []User{
			{Principal{"alice", "Alice", config.Admin, []string{"family"}}, false},
			{Principal{"bob", "Bob", config.Member, nil}, false},
			{Principal{"carl", "Carl", config.Viewer, nil}, true},
		},
	}
}

// directory returns one with the people of the house, whose passwords are pw,
// and cheap hashes.
func directory(t *testing.T) *Directory {
	t.Helper()
	db, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d := NewDirectory(db.Space("users"), slog.New(slog.DiscardHandler))
	d.hasher.params = params{memory: 64, time: 1, threads: 1}
	if err := d.Apply(t.Context(), house()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob", "carl"} {
		if err := d.SetPassword(t.Context(), name, pw); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func auth(t *testing.T, d *Directory, login, secret string, scope Scope, from netip.Addr) error {
	t.Helper()
	p, err := d.Authenticate(t.Context(), login, secret, scope, from)
	if (err == nil) != (p.Name != "") {
		t.Errorf("Authenticate(%q) = %v, %v", login, p, err)
	}
	return err
}

// occupy takes all slots, so that nothing can be computed until it is undone.
func occupy(d *Directory) (release func()) {
	for range slots {
		d.hasher.slots <- struct{}{}
	}
	return func() {
		for range slots {
			<-d.hasher.slots
		}
	}
}

func TestFromTakesPeopleAndDomains(t *testing.T) {
	doc := &config.Document{Cell: config.Cell{Name: "oak", Domain: "Oak.home.arpa"}}
	doc.Mail.Domains = []string{"oak.home.arpa", "example.org"}
	doc.Users = []config.User{{Name: "alice", Display: "Alice", Role: config.Admin, Groups: []string{"g"}}, {Name: "bob", Disabled: true}}
	c := From(config.Resolve(doc, config.Env{}))
	if !slices.Equal(c.Domains, []string{"oak.home.arpa", "example.org"}) {
		t.Errorf("domains %v", c.Domains)
	}
	if len(c.Users) != 2 || c.Users[0].Role != config.Admin || c.Users[1].Role != config.Member || !c.Users[1].Disabled {
		t.Errorf("users %+v", c.Users)
	}
}

func TestWhoMayEnter(t *testing.T) {
	d := directory(t)
	for name, tt := range map[string]struct {
		login, secret string
		want          error
	}{
		"name":             {"alice", pw, nil},
		"upper case":       {" ALICE ", pw, nil},
		"mail address":     {"alice@oak.home.arpa", pw, nil},
		"second domain":    {"Alice@Example.org", pw, nil},
		"foreign domain":   {"alice@example.com", pw, ErrDenied},
		"empty domain":     {"alice@", pw, ErrDenied},
		"only a domain":    {"@oak.home.arpa", pw, ErrDenied},
		"wrong password":   {"alice", "wrong horse", ErrDenied},
		"case of password": {"alice", "Correct horse", ErrDenied},
		"unknown":          {"mallory", pw, ErrDenied},
		"disabled":         {"carl", pw, ErrDenied},
		"no login":         {"", pw, ErrDenied},
		"no password":      {"alice", "", ErrDenied},
		"huge login":       {strings.Repeat("a", 1000), pw, ErrDenied},
		"huge password":    {"alice", strings.Repeat("a", 10000), ErrDenied},
		"key of another":   {"alice/x", pw, ErrDenied},
	} {
		err := auth(t, d, tt.login, tt.secret, Web, netip.Addr{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), tt.secret) && tt.secret != "" {
			t.Errorf("%s: the error tells the password", name)
		}
	}
	p, err := d.Authenticate(t.Context(), "alice", pw, DAV, lan)
	if err != nil || p.Display != "Alice" || p.Role != config.Admin || !slices.Equal(p.Groups, []string{"family"}) {
		t.Errorf("Authenticate = %+v, %v", p, err)
	}
	p.Groups[0] = "changed"
	if p, _ := d.Authenticate(t.Context(), "alice", pw, DAV, lan); p.Groups[0] != "family" {
		t.Error("callers share groups")
	}
	if name, ok := d.Resolve("Carl@oak.home.arpa"); name != "carl" || !ok {
		t.Errorf("Resolve = %q, %v", name, ok)
	}
	if _, ok := d.Resolve("mallory"); ok {
		t.Error("Resolve knows mallory")
	}
}

func TestNobodyEntersBeforeApply(t *testing.T) {
	db, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d := NewDirectory(db.Space("users"), slog.New(slog.DiscardHandler))
	if err := d.SetPassword(t.Context(), "alice", pw); err != nil {
		t.Fatal(err)
	}
	if err := auth(t, d, "alice", pw, Web, lan); !errors.Is(err, ErrDenied) {
		t.Errorf("before Apply: %v", err)
	}
	if err := d.Apply(t.Context(), house()); err != nil {
		t.Fatal(err)
	}
	if err := auth(t, d, "alice", pw, Web, lan); err != nil {
		t.Errorf("after Apply: %v", err) // with the costs of the real thing
	}
}

func TestPasswordFormsOfOneKeyAreTheSame(t *testing.T) {
	d := directory(t)
	if err := d.SetPassword(t.Context(), "alice", "Schlu\u0308ssel1"); err != nil { // u and diaeresis
		t.Fatal(err)
	}
	if err := auth(t, d, "alice", "Schl\u00fcssel1", Mail, lan); err != nil { // ü
		t.Error(err)
	}
}

// What was right is right again without being computed, until it changes.
func TestVerifiedCredentialsAreRememberedUntilTheyChange(t *testing.T) {
	without := func(c Config, name string) Config {
		c.Users = slices.DeleteFunc(c.Users, func(u User) bool { return u.Name == name })
		return c
	}
	for name, tt := range map[string]struct {
		change func(*Directory) error
		still  bool
	}{
		"nothing":       {func(*Directory) error { return nil }, true},
		"other person":  {func(d *Directory) error { return d.SetPassword(context.Background(), "bob", "another one") }, true},
		"same document": {func(d *Directory) error { return d.Apply(context.Background(), house()) }, true},
		"new password":  {func(d *Directory) error { return d.SetPassword(context.Background(), "alice", "another one") }, false},
		"disabled": {func(d *Directory) error {
			c := house()
			c.Users[0].Disabled = true
			return d.Apply(context.Background(), c)
		}, false},
		"removed":   {func(d *Directory) error { return d.Apply(context.Background(), without(house(), "alice")) }, false},
		"forgotten": {func(d *Directory) error { return d.Forget(context.Background(), "alice") }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := directory(t)
			if err := auth(t, d, "alice", pw, Mail, lan); err != nil {
				t.Fatal(err)
			}
			if err := tt.change(d); err != nil {
				t.Fatal(err)
			}
			release := occupy(d)
			ctx, cancel := context.WithCancel(t.Context())
			var err error
			computed := false
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, err = d.Authenticate(ctx, "alice", pw, Mail, lan)
			}()
			synctest.Wait()
			select {
			case <-done:
			default:
				computed = true
			}
			release()
			<-done
			cancel()
			if (err == nil) != tt.still || computed == tt.still {
				t.Errorf("%s: %v, computed again %v", name, err, computed)
			}
		})
	}
}

func TestForgottenPersonLeavesNothing(t *testing.T) {
	d := directory(t)
	ctx := t.Context()
	_, app, err := d.CreateAppPassword(ctx, "alice", "phone", []Scope{Mail})
	if err != nil {
		t.Fatal(err)
	}
	_, tok, err := d.CreateToken(ctx, "alice", "script", config.Admin)
	if err != nil {
		t.Fatal(err)
	}
	ses, _, err := d.NewSession(ctx, "alice", lan, "test")
	if err != nil {
		t.Fatal(err)
	}
	bob, _, err := d.NewSession(ctx, "bob", lan, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Forget(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if d.HasPassword("alice") || !d.HasPassword("bob") {
		t.Error("HasPassword is wrong")
	}
	for name, err := range map[string]error{
		"password":     auth(t, d, "alice", pw, Mail, lan),
		"app password": auth(t, d, "alice", app, Mail, lan),
		"token":        func() error { _, err := d.Token(ctx, tok); return err }(),
		"session":      func() error { _, _, err := d.Session(ctx, ses); return err }(),
	} {
		if !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := d.Session(ctx, bob); err != nil {
		t.Errorf("somebody else's session: %v", err)
	}
}

func TestFactsCount(t *testing.T) {
	d := directory(t)
	if _, _, err := d.NewSession(t.Context(), "alice", lan, ""); err != nil {
		t.Fatal(err)
	}
	f := d.Facts()
	if len(f) != 2 || f[0].Value != "3" || f[1].Value != "1" {
		t.Errorf("Facts = %v", f)
	}
}
