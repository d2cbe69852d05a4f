package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/core/users"
)

// setupTries is how many wrong tokens are told apart from throttling per minute,
// by all together. The right one always enters: a neighbour who guesses must not
// keep the owner out, and a token is too long to be guessed at any rate.
const setupTries = 10

// A gate lets one first run through at a time and slows those down who guess.
type gate struct {
	mu    sync.Mutex
	since time.Time // the present minute
	tries int
}

func (a *API) setupRoutes() {
	route(a, Anyone, "GET /api/setup", "Whether this cell waits for its first run", a.setupState, beforeSetup)
	route(a, Anyone, "POST /api/setup", "Set the cell up, once, with the token that pic serve printed", a.setUp, beforeSetup)
}

func (a *API) setupState(context.Context, *struct{}) (*body[wire.SetupState], error) {
	out := &body[wire.SetupState]{}
	if a.needsSetup() {
		s := a.Setup.Suggestion()
		out.Body = wire.SetupState{Needed: true, Suggestion: &s}
	}
	return out, nil
}

func (a *API) needsSetup() bool { return a.Setup != nil && a.Setup.Needed() }

type setUpInput struct {
	Client
	Body wire.Setup
}

func (a *API) setUp(ctx context.Context, in *setUpInput) (*sessionBody, error) {
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	if !a.needsSetup() {
		return nil, fail(http.StatusConflict, "setup", "this cell is set up already; sign in instead")
	}
	if !same(in.Body.Token, a.Setup.Token()) {
		if wait := a.gate.wait(time.Now()); wait > 0 {
			p := fail(http.StatusTooManyRequests, "throttled", "too many wrong setup tokens; wait a minute")
			p.retry = wait
			return nil, p
		}
		a.gate.tries++
		return nil, fail(http.StatusForbidden, "forbidden", "this is not the setup token; it stands in the output of pic serve")
	}
	if err := a.Setup.Complete(context.WithoutCancel(ctx), in.Body); err != nil {
		return nil, err
	}
	p := users.Principal{Name: in.Body.Admin, Display: in.Body.Display, Role: config.Admin}
	return a.open(ctx, p, in.Client)
}

// wait is how long wrong tokens are throttled. Its caller holds mu.
func (g *gate) wait(now time.Time) time.Duration {
	if age := now.Sub(g.since); age < 0 || age >= time.Minute {
		g.since, g.tries = now, 0
	}
	if g.tries < setupTries {
		return 0
	}
	return g.since.Add(time.Minute).Sub(now)
}

// same compares in a time that tells nothing of want.
func same(got, want string) bool {
	if want == "" {
		return false
	}
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}
