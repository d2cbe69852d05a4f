package api

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"pic/api/wire"
	"pic/core/config"
)

func TestAUserComesAndGoesWhole(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var out wire.UserOutcome
	alice.do("POST", "/api/users", wire.NewUser{Name: "dora", Display: "Dora", Role: "viewer", Password: password}).want(t, 200, &out)
	if out.User.Name != "dora" || out.User.Role != config.Viewer || out.Revision != 2 {
		t.Errorf("outcome %+v", out)
	}
	var s wire.Session
	h.stranger().do("POST", "/api/auth/login", wire.Login{Login: "dora@oak.home.arpa", Password: password}).want(t, 200, &s)
	if s.User != "dora" || s.Role != config.Viewer || s.CSRF == "" {
		t.Errorf("session %+v", s)
	}
	alice.do("PUT", "/api/users/dora", `{"role":"user","disabled":true}`).want(t, 200, &out)
	if out.User.Role != config.Member || out.User.Display != "Dora" || !out.User.Disabled {
		t.Errorf("what was left out did not stay: %+v", out.User)
	}
	h.stranger().do("POST", "/api/auth/login", wire.Login{Login: "dora", Password: password}).problem(t, 401)

	alice.do("POST", "/api/peers", `{"name":"doras-phone","owner":"dora"}`).want(t, 200, nil)
	alice.do("PUT", "/api/config/value", `{"path":"mail.aliases","value":[{"name":"info","to":["dora"]},{"name":"all","to":["alice","dora"]}]}`).want(t, 200, nil)
	alice.do("DELETE", "/api/users/dora", nil).want(t, 200, nil)
	doc := h.deps.Store.Current()
	if doc.User("dora") != nil || doc.Peer("doras-phone") != nil || len(doc.Mail.Aliases) != 1 || len(doc.Mail.Aliases[0].To) != 1 {
		t.Errorf("something of dora is left: %+v", doc)
	}
	// Whoever gets the name later does not get the password.
	_, err := h.deps.Store.Change(t.Context(), config.Change{Edit: func(d *config.Document) error {
		d.Users = append(d.Users, config.User{Name: "dora"})
		return nil
	}})
	must(t, err)
	h.stranger().do("POST", "/api/auth/login", wire.Login{Login: "dora", Password: password}).problem(t, 401)
}

func TestNobodyIsAddedHalfway(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	e := alice.do("POST", "/api/users", wire.NewUser{Name: "dora", Password: "short"}).problem(t, 422)
	if e.Errors[0].Path != "password" {
		t.Errorf("errors %+v", e.Errors)
	}
	e = alice.do("POST", "/api/users", wire.NewUser{Name: "bob", Password: password}).problem(t, 422)
	if e.Errors[0].Path != "name" {
		t.Errorf("errors %+v", e.Errors)
	}
	alice.do("POST", "/api/users", wire.NewUser{Name: "No Name", Password: password}).problem(t, 422)
	if doc := h.deps.Store.Current(); doc.Revision != 1 || len(doc.Users) != 4 {
		t.Errorf("the document changed: %+v", doc.Users)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("DELETE", "/api/users/alice", nil).problem(t, 422)
	alice.do("PUT", "/api/users/alice", `{"role":"user"}`).problem(t, 422)
	alice.do("PUT", "/api/users/alice", `{"disabled":true}`).problem(t, 422)
}

func TestUsersSeeThemselvesOnly(t *testing.T) {
	h := newHousehold(t)
	for who, want := range map[string]int{"alice": 4, "vera": 4, "bob": 1} {
		var all []wire.User
		h.as(who).do("GET", "/api/users", nil).want(t, 200, &all)
		if len(all) != want {
			t.Errorf("%s sees %+v", who, all)
		}
	}
	var health wire.Health
	h.as("bob").do("GET", "/api/status", nil).want(t, 200, &health)
	if len(health.Services) != 0 || health.Cell.Domain != "oak.home.arpa" {
		t.Errorf("bob sees %+v", health)
	}
}

func TestOnesOwnPasswordNeedsTheOldOne(t *testing.T) {
	h := newHousehold(t)
	must(t, h.deps.Users.SetPassword(t.Context(), "bob", password))
	const path, next = "/api/users/bob/password", "another long passphrase"
	h.as("bob").do("PUT", path, wire.NewPassword{Password: next}).problem(t, 422)
	e := h.as("bob").do("PUT", path, wire.NewPassword{Password: next, Current: "guess"}).problem(t, 422)
	if e.Errors[0].Path != "current" {
		t.Errorf("errors %+v", e.Errors)
	}
	h.as("bob").do("PUT", path, wire.NewPassword{Password: next, Current: password}).want(t, 204, nil)
	h.stranger().do("POST", "/api/auth/login", wire.Login{Login: "bob", Password: next}).want(t, 200, nil)
	h.as("alice").do("PUT", path, wire.NewPassword{Password: password}).want(t, 204, nil)
	h.stranger().do("POST", "/api/auth/login", wire.Login{Login: "bob", Password: password}).want(t, 200, nil)
	h.as("alice").do("PUT", path, wire.NewPassword{Password: "x"}).problem(t, 422)
	h.as("alice").do("PUT", "/api/users/nobody/password", wire.NewPassword{Password: password}).problem(t, 404)
}

func TestLoginSetsASafeCookie(t *testing.T) {
	h := newHousehold(t)
	must(t, h.deps.Users.SetPassword(t.Context(), "alice", password))
	got := h.stranger().do("POST", "/api/auth/login", wire.Login{Login: "alice", Password: password})
	got.want(t, 200, nil)
	i := slices.IndexFunc(got.Cookies(), func(c *http.Cookie) bool { return c.Name == SessionCookie })
	if i < 0 {
		t.Fatalf("no cookie in %v", got.Header)
	}
	c := got.Cookies()[i]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure {
		t.Errorf("cookie %+v", c)
	}
	var s wire.Session
	a := &agent{h: h, session: c.Value}
	a.do("GET", "/api/auth/session", nil).want(t, 200, &s)
	a.do("POST", "/api/auth/logout", nil).problem(t, 403)
	a.csrf = s.CSRF
	a.do("POST", "/api/auth/logout", nil).want(t, 204, nil)
	a.do("GET", "/api/auth/session", nil).problem(t, 401)
}

func TestGuessingPasswordsIsThrottled(t *testing.T) {
	h := newHousehold(t)
	must(t, h.deps.Users.SetPassword(t.Context(), "bob", password))
	for i := range 100 {
		got := h.stranger().do("POST", "/api/auth/login", wire.Login{Login: "bob", Password: fmt.Sprint("guess ", i)})
		if got.StatusCode == http.StatusTooManyRequests {
			if got.Header.Get("Retry-After") == "" {
				t.Error("nobody is told when to come back")
			}
			if e := got.problem(t, 429); e.Code != "throttled" {
				t.Errorf("problem %+v", e)
			}
			return
		}
		got.problem(t, 401)
	}
	t.Error("a hundred guesses were answered")
}

func TestTokensNeverHaveMoreRightsThanTheirUser(t *testing.T) {
	h := newHousehold(t)
	var out wire.Issued
	h.as("bob").do("POST", "/api/tokens", `{"label":"script","role":"admin"}`).problem(t, 422)
	h.as("bob").do("POST", "/api/tokens", `{"label":"script","user":"alice"}`).problem(t, 403)
	h.as("alice").do("POST", "/api/tokens", `{"label":"script","user":"bob","role":"admin"}`).problem(t, 422)
	h.as("bob").do("POST", "/api/tokens", `{"label":"script"}`).want(t, 201, &out)
	bot := &agent{h: h, bearer: out.Secret}
	var s wire.Session
	bot.do("GET", "/api/auth/session", nil).want(t, 200, &s)
	if s.User != "bob" || s.Role != config.Member {
		t.Errorf("the token is %+v", s)
	}
	bot.do("GET", "/api/config", nil).problem(t, 403)
	bot.do("POST", "/api/auth/logout", nil).problem(t, 409)

	// Nor does it open other doors.
	bot.do("POST", "/api/users/bob/app-passwords", `{"label":"mail","scopes":["mail"]}`).problem(t, 403)

	// A token with fewer rights cannot make one with more.
	h.as("alice").do("POST", "/api/tokens", `{"label":"reader","role":"viewer"}`).want(t, 201, &out)
	reader := &agent{h: h, bearer: out.Secret}
	reader.do("POST", "/api/tokens", `{"label":"more","role":"admin"}`).problem(t, 422)

	var all []wire.Token
	h.as("alice").do("GET", "/api/tokens", nil).want(t, 200, &all)
	if len(all) != 2 {
		t.Fatalf("tokens %+v", all)
	}
	h.as("carl").do("GET", "/api/tokens", nil).want(t, 200, &all)
	if len(all) != 0 {
		t.Errorf("carl sees %+v", all)
	}
	h.as("alice").do("GET", "/api/tokens", nil).want(t, 200, &all)
	h.as("carl").do("DELETE", "/api/tokens/"+all[0].ID, nil).problem(t, 404)
	for _, tok := range all {
		h.as("alice").do("DELETE", "/api/tokens/"+tok.ID, nil).want(t, 204, nil)
	}
	bot.do("GET", "/api/auth/session", nil).problem(t, 401)
}

func TestAppPasswordsAreShownOnce(t *testing.T) {
	h := newHousehold(t)
	bob := h.as("bob")
	var out wire.Issued
	bob.do("POST", "/api/users/bob/app-passwords", `{"label":"phone","scopes":["mail","dav"]}`).want(t, 201, &out)
	var all []wire.AppPassword
	got := bob.do("GET", "/api/users/bob/app-passwords", nil)
	got.want(t, 200, &all)
	if len(all) != 1 || all[0].Label != "phone" || len(all[0].Scopes) != 2 || out.Secret == "" {
		t.Errorf("app passwords %s", got.body)
	}
	bob.do("POST", "/api/users/bob/app-passwords", `{"label":"x","scopes":["web"]}`).problem(t, 422)
	bob.do("POST", "/api/users/bob/app-passwords", `{"label":"x","scopes":[]}`).problem(t, 422)
	bob.do("DELETE", "/api/users/bob/app-passwords/"+out.ID, nil).want(t, 204, nil)
	bob.do("DELETE", "/api/users/bob/app-passwords/"+out.ID, nil).problem(t, 404)
}
