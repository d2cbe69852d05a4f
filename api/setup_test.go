package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"pic/api/wire"
	"pic/core/config"
)

// A firstRun is a cell that was never set up.
type firstRun struct {
	done bool
	fail error
	got  wire.Setup
}

func (f *firstRun) Needed() bool  { return !f.done }
func (f *firstRun) Token() string { return "sesame" }

func (f *firstRun) Suggestion() wire.Suggestion {
	return wire.Suggestion{Name: "pi", Domain: "pi.home.arpa", Mode: config.Trial}
}

func (f *firstRun) Complete(_ context.Context, s wire.Setup) error {
	if f.fail != nil {
		return f.fail
	}
	f.done, f.got = true, s
	return nil
}

func newFirstRun(t *testing.T) (*household, *firstRun) {
	h, f := newHousehold(t), &firstRun{}
	api := New(Deps{Log: slog.New(slog.DiscardHandler), Users: h.deps.Users, Setup: f})
	server := httptest.NewServer(api.Handler())
	t.Cleanup(server.Close)
	return &household{t: t, deps: h.deps, api: api, server: server}, f
}

const firstAnswers = `{"token":%q,"name":"oak","admin":"alice","password":"correct horse battery"}`

func TestSetupWorksOnce(t *testing.T) {
	h, f := newFirstRun(t)
	var state wire.SetupState
	h.stranger().do("GET", "/api/setup", nil).want(t, 200, &state)
	if !state.Needed || state.Suggestion.Name != "pi" {
		t.Errorf("state %+v", state)
	}
	for _, path := range []string{"/api/status", "/api/config", "/api/users", "/api/events"} {
		if e := h.stranger().do("GET", path, nil).problem(t, 503); e.Code != "setup" {
			t.Errorf("%s: %+v", path, e)
		}
	}
	h.stranger().do("GET", "/health", nil).want(t, 503, nil)

	h.stranger().do("POST", "/api/setup", fmt.Sprintf(firstAnswers, "wrong")).problem(t, 403)
	h.stranger().do("POST", "/api/setup", fmt.Sprintf(firstAnswers, "")).problem(t, 403)
	h.stranger().do("POST", "/api/setup", `{"token":"sesame","name":"oak","admin":"alice"}`).problem(t, 422)
	if f.done {
		t.Fatal("set up without the token")
	}
	f.fail = errors.Join(&config.FieldError{Path: "cell.name", Problem: "must be a label"})
	if e := h.stranger().do("POST", "/api/setup", fmt.Sprintf(firstAnswers, "sesame")).problem(t, 422); e.Errors[0].Path != "cell.name" {
		t.Errorf("problem %+v", e)
	}
	f.fail = nil
	var s wire.Session
	got := h.stranger().do("POST", "/api/setup", fmt.Sprintf(firstAnswers, "sesame"))
	got.want(t, 200, &s)
	if s.User != "alice" || s.Role != config.Admin || len(got.Cookies()) != 1 {
		t.Errorf("session %s, cookies %v", got.body, got.Cookies())
	}
	if f.got.Name != "oak" {
		t.Errorf("the cell got %+v", f.got)
	}
	e := h.stranger().do("POST", "/api/setup", fmt.Sprintf(firstAnswers, "sesame")).problem(t, 409)
	if e.Code != "setup" {
		t.Errorf("problem %+v", e)
	}
}

func TestGuessingTheSetupTokenIsThrottledAndKeepsNobodyOut(t *testing.T) {
	h, f := newFirstRun(t)
	for range setupTries {
		h.stranger().do("POST", "/api/setup", fmt.Sprintf(firstAnswers, "guess")).problem(t, 403)
	}
	got := h.stranger().do("POST", "/api/setup", fmt.Sprintf(firstAnswers, "guess"))
	got.problem(t, http.StatusTooManyRequests)
	if got.Header.Get("Retry-After") == "" || f.done {
		t.Errorf("headers %v, done %v", got.Header, f.done)
	}
	h.stranger().do("POST", "/api/setup", fmt.Sprintf(firstAnswers, "sesame")).want(t, 200, nil)
}

func TestACellThatIsSetUpHasNoSetup(t *testing.T) {
	h := newHousehold(t)
	var state wire.SetupState
	h.stranger().do("GET", "/api/setup", nil).want(t, 200, &state)
	if state.Needed {
		t.Error("it offers a first run")
	}
	h.stranger().do("POST", "/api/setup", fmt.Sprintf(firstAnswers, "")).problem(t, 409)
}
