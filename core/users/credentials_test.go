package users

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"

	"pic/core/config"
	"pic/core/state"
)

func TestPasswordPolicy(t *testing.T) {
	d := directory(t)
	for name, tt := range map[string]struct{ secret, want string }{
		"good":               {"correct horse", ""},
		"eight characters":   {"äöüßéèàç", ""},
		"seven characters":   {"äöüßéèà", "at least 8 characters"},
		"empty":              {"", "at least 8 characters"},
		"too long":           {strings.Repeat("ab", 600), "at most"},
		"not text":           {"abcdefgh\xff", "can be typed"},
		"NUL":                {"abcdefgh\x00", "can be typed"},
		"known to everybody": {"PassWord", "harder to guess"},
		"the name":           {"Alice12345", "harder to guess"},
		"one character":      {"zzzzzzzzzz", "harder to guess"},
	} {
		err := d.SetPassword(t.Context(), "alice", tt.secret)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var field *config.FieldError
		if !errors.As(err, &field) || field.Path != "password" || !strings.Contains(field.Problem, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "a/b", strings.Repeat("a", 65)} {
		if err := d.SetPassword(t.Context(), name, pw); err == nil {
			t.Errorf("the name %q was accepted", name)
		}
	}
}

func TestNothingKeptIsASecret(t *testing.T) {
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
	ses, csrf, err := d.NewSession(ctx, "alice", lan, "test")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	_ = d.space.View(func(r state.Reader) error {
		for k, v := range r.Scan(nil, nil) {
			fmt.Fprintf(&all, "%s %s\n", k, v)
		}
		return nil
	})
	for name, s := range map[string]string{"password": pw, "app password": app, "bare app password": bare(app), "token": tok, "session": ses, "csrf": csrf} {
		if strings.Contains(all.String(), s) {
			t.Errorf("the %s is kept as it is", name)
		}
	}
	if !regexp.MustCompile(`(?m)^p/alice .*\$argon2id\$v=19\$m=64,t=1,p=1\$`).MatchString(all.String()) {
		t.Errorf("kept:\n%s", all.String())
	}
}

func TestHashWithOldCostsIsRenewed(t *testing.T) {
	d := directory(t)
	d.hasher.params = params{memory: 128, time: 2, threads: 1}
	if err := auth(t, d, "alice", pw, Web, lan); err != nil {
		t.Fatal(err)
	}
	var rec passwordRecord
	_ = d.space.View(func(r state.Reader) error { _, err := load(r, passwordKey("alice"), &rec); return err })
	if !strings.Contains(rec.Hash, "m=128,t=2,p=1") {
		t.Errorf("kept %s", rec.Hash)
	}
	d.doors.changed("alice") // so that it is computed again
	if err := auth(t, d, "alice", pw, Web, lan); err != nil {
		t.Error(err)
	}
}

func TestAppPasswordsOpenTheirScopes(t *testing.T) {
	d := directory(t)
	ctx := t.Context()
	id, mail, err := d.CreateAppPassword(ctx, "alice", "phone", []Scope{Mail, Mail})
	if err != nil {
		t.Fatal(err)
	}
	_, both, err := d.CreateAppPassword(ctx, "alice", "laptop", []Scope{DAV, Mail})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		login, secret string
		scope         Scope
		want          error
	}{
		"mail":              {"alice", mail, Mail, nil},
		"with spaces":       {"alice", strings.ToUpper(strings.ReplaceAll(mail, "-", " ")), Mail, nil},
		"not for DAV":       {"alice", mail, DAV, ErrDenied},
		"not for the web":   {"alice", mail, Web, ErrDenied},
		"both for DAV":      {"alice@oak.home.arpa", both, DAV, nil},
		"both not for web":  {"alice", both, Web, ErrDenied},
		"of another person": {"bob", mail, Mail, ErrDenied},
	} {
		if err := auth(t, d, tt.login, tt.secret, tt.scope, netip.Addr{}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	list, err := d.AppPasswords("alice")
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, a := range list {
		if a.Used.IsZero() || a.Created.IsZero() || a.ID == "" {
			t.Errorf("%+v", a)
		}
	}
	if err := d.DeleteAppPassword(ctx, "alice", id); err != nil {
		t.Fatal(err)
	}
	if err := auth(t, d, "alice", mail, Mail, lan); !errors.Is(err, ErrDenied) {
		t.Errorf("deleted: %v", err)
	}
	if err := auth(t, d, "alice", both, Mail, lan); err != nil {
		t.Errorf("the other one: %v", err)
	}
	if list, _ := d.AppPasswords("bob"); len(list) != 0 {
		t.Errorf("bob has %v", list)
	}
}

func TestCredentialsThatCannotBe(t *testing.T) {
	d := directory(t)
	ctx := t.Context()
	for name, err := range map[string]error{
		"no label":     second(d.CreateAppPassword(ctx, "alice", "", []Scope{Mail})),
		"no scope":     second(d.CreateAppPassword(ctx, "alice", "x", nil)),
		"scope web":    second(d.CreateAppPassword(ctx, "alice", "x", []Scope{Web})),
		"long label":   second(d.CreateToken(ctx, "alice", strings.Repeat("x", 101), config.Admin)),
		"unknown role": second(d.CreateToken(ctx, "alice", "x", "root")),
	} {
		var field *config.FieldError
		if !errors.As(err, &field) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range maxAppPasswords {
		if _, _, err := d.CreateAppPassword(ctx, "bob", "x", []Scope{Mail}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.CreateAppPassword(ctx, "bob", "x", []Scope{Mail}); err == nil {
		t.Error("there is no bound on app passwords")
	}
}

func second(_, _ string, err error) error { return err }

func TestTokenNeverDoesMoreThanItsUser(t *testing.T) {
	d := directory(t)
	ctx := t.Context()
	for name, tt := range map[string]struct {
		user string
		role config.Role
		want config.Role // empty: denied
	}{
		"own role":        {"alice", config.Admin, config.Admin},
		"lower":           {"alice", config.Viewer, config.Viewer},
		"lowest":          {"alice", config.Member, config.Member},
		"higher":          {"bob", config.Admin, config.Member},
		"of the disabled": {"carl", config.Viewer, ""},
		"of nobody":       {"mallory", config.Admin, ""},
	} {
		_, secret, err := d.CreateToken(ctx, tt.user, name, tt.role)
		if err != nil || !strings.HasPrefix(secret, "pic_") {
			t.Fatal(secret, err)
		}
		p, err := d.Token(ctx, secret)
		if p.Role != tt.want || (tt.want == "") != errors.Is(err, ErrDenied) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	all, err := d.Tokens()
	if err != nil || len(all) != 6 {
		t.Fatal(all, err)
	}
	for _, tok := range all {
		if err := d.DeleteToken(ctx, tok.ID); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "pic_", "pic_nonsense", "nonsense", pw} {
		if _, err := d.Token(ctx, s); !errors.Is(err, ErrDenied) {
			t.Errorf("Token(%q): %v", s, err)
		}
	}
	if all, _ := d.Tokens(); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
}

// Whatever happens at the same time, a password works once SetPassword has
// returned, and the one before does not.
func TestChangeOfPasswordIsSharp(t *testing.T) {
	d := directory(t)
	d.doors.pairs.free, d.doors.sources.free, d.doors.logins.free = 1<<30, 1<<30, 1<<30
	ctx := t.Context()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = d.Authenticate(ctx, "alice", pw, Mail, lan)
					_, _ = d.Authenticate(ctx, "alice", "another one", Mail, lan)
					_ = d.Apply(ctx, house())
				}
			}
		})
	}
	old, next := pw, "another one"
	for range 25 {
		if err := d.SetPassword(ctx, "alice", next); err != nil {
			t.Fatal(err)
		}
		if err := auth(t, d, "alice", next, Mail, lan); err != nil {
			t.Fatalf("the new one: %v", err)
		}
		if err := auth(t, d, "alice", old, Mail, lan); err == nil {
			t.Fatal("the old one still works")
		}
		old, next = next, old
	}
	close(stop)
	wg.Wait()
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(standard, make([]byte, saltLen), make([]byte, sumLen)))
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$c2FsdHNhbHQ$c3Vt")
	f.Fuzz(func(t *testing.T, s string) {
		p, salt, sum, err := decode(s)
		if err != nil {
			return
		}
		if p.memory > maxMemory || p.time > maxTime || p.threads > maxThreads || len(sum) != sumLen {
			t.Fatalf("%q asks for %+v", s, p)
		}
		p2, salt2, sum2, err := decode(encode(p, salt, sum))
		if err != nil || p2 != p || string(salt2) != string(salt) || string(sum2) != string(sum) {
			t.Fatalf("%q does not come back", s)
		}
	})
}

func BenchmarkPassword(b *testing.B) {
	h := newHasher()
	for b.Loop() {
		if _, err := h.hash(b.Context(), pw); err != nil {
			b.Fatal(err)
		}
	}
}
