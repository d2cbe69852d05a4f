package users

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSessionsEnd(t *testing.T) {
	live := func(t *testing.T, d *Directory, token string) bool {
		t.Helper()
		p, s, err := d.Session(t.Context(), token)
		if err != nil && !errors.Is(err, ErrDenied) {
			t.Error(err)
		}
		return err == nil && p.Name == s.User
	}
	for name, tt := range map[string]struct {
		live func(*testing.T, *Directory, string) error
		want bool
	}{
		"not at once":     {func(*testing.T, *Directory, string) error { return nil }, true},
		"idle, not yet":   {func(*testing.T, *Directory, string) error { time.Sleep(sessionIdle - time.Minute); return nil }, true},
		"idle":            {func(*testing.T, *Directory, string) error { time.Sleep(sessionIdle); return nil }, false},
		"in use, not yet": {keepUsing(sessionLife - time.Hour), true},
		"in use, at last": {keepUsing(sessionLife), false},
		"signed out": {func(t *testing.T, d *Directory, tok string) error {
			return d.EndSession(t.Context(), tok)
		}, false},
		"signed out everywhere": {func(t *testing.T, d *Directory, _ string) error {
			return d.EndSessions(t.Context(), "alice")
		}, false},
		"ended from a list": {func(t *testing.T, d *Directory, _ string) error {
			list, err := d.Sessions("alice")
			if err != nil || len(list) != 1 || list[0].CSRF != "" {
				t.Errorf("%v, %v", list, err)
			}
			return d.EndSessionID(t.Context(), "alice", list[0].ID)
		}, false},
		"another person's list": {func(t *testing.T, d *Directory, _ string) error {
			list, _ := d.Sessions("alice")
			return d.EndSessionID(t.Context(), "bob", list[0].ID)
		}, true},
		"new password": {func(t *testing.T, d *Directory, _ string) error {
			return d.SetPassword(t.Context(), "alice", "another one")
		}, false},
		"other's password": {func(t *testing.T, d *Directory, _ string) error {
			return d.SetPassword(t.Context(), "bob", "another one")
		}, true},
		"disabled": {func(t *testing.T, d *Directory, _ string) error {
			c := house()
			c.Users[0].Disabled = true
			return d.Apply(t.Context(), c)
		}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := directory(t)
			token, csrf, err := d.NewSession(t.Context(), "alice", lan, "Firefox")
			if err != nil {
				t.Fatal(err)
			}
			if _, s, err := d.Session(t.Context(), token); err != nil || s.CSRF != csrf || s.Agent != "Firefox" || s.From != lan {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
			if err := tt.live(t, d, token); err != nil {
				t.Fatal(err)
			}
			if got := live(t, d, token); got != tt.want {
				t.Errorf("%s: live is %v", name, got)
			}
		})
	}
}

// keepUsing sends a request every day.
func keepUsing(total time.Duration) func(*testing.T, *Directory, string) error {
	return func(t *testing.T, d *Directory, token string) error {
		for start := time.Now(); time.Since(start) < total; {
			time.Sleep(min(24*time.Hour, total-time.Since(start)))
			if time.Since(start) < total {
				if _, _, err := d.Session(t.Context(), token); err != nil {
					return fmt.Errorf("after %v: %w", time.Since(start), err)
				}
			}
		}
		return nil
	}
}

func TestSessionsAreBoundedAndSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := directory(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := d.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		var tokens []string
		for range maxSessions + 5 {
			token, _, err := d.NewSession(ctx, "alice", lan, strings.Repeat("ü", 10000))
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, token)
			time.Sleep(time.Minute)
		}
		if list, _ := d.Sessions("alice"); len(list) != maxSessions {
			t.Errorf("%d sessions", len(list))
		}
		if _, _, err := d.Session(ctx, tokens[0]); !errors.Is(err, ErrDenied) {
			t.Errorf("the oldest: %v", err)
		}
		if _, _, err := d.Session(ctx, tokens[len(tokens)-1]); err != nil {
			t.Errorf("the newest: %v", err)
		}
		time.Sleep(sessionIdle + time.Hour)
		synctest.Wait()
		if got := d.Facts()[1].Value; got != "0" {
			t.Errorf("%s sessions are kept after all expired", got)
		}
		// Who is disabled and then not any more must sign in again.
		token, _, err := d.NewSession(ctx, "alice", lan, "")
		if err != nil {
			t.Fatal(err)
		}
		c := house()
		c.Users[0].Disabled = true
		_ = d.Apply(ctx, c)
		synctest.Wait()
		_ = d.Apply(ctx, house())
		if _, _, err := d.Session(ctx, token); !errors.Is(err, ErrDenied) {
			t.Errorf("after being disabled: %v", err)
		}
		if _, _, err := d.NewSession(ctx, "carl", lan, ""); !errors.Is(err, ErrDenied) {
			t.Errorf("a session for the disabled: %v", err)
		}
		cancel()
		wg.Wait()
	})
}
