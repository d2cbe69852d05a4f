package api

import (
	"context"
	"net/http"
	"net/netip"

	"pic/api/wire"
	"pic/core/event"
	"pic/core/users"
)

func (a *API) authRoutes() {
	route(a, SignedIn, "GET /api/auth/session", "Who is signed in", a.session)
	route(a, Anyone, "POST /api/auth/login", "Sign in and get a session cookie", a.login)
	route(a, SignedIn, "POST /api/auth/logout", "Sign out", a.logout)
}

// Client is what a request tells of the program that sends it.
type Client struct {
	UserAgent string `header:"User-Agent" hidden:"true"`
	From      netip.Addr
	TLS       bool
}

func (c *Client) sent(r *http.Request) { c.From, c.TLS = remote(r), r.TLS != nil }

type sessionBody struct {
	Cookie http.Cookie `header:"Set-Cookie"`
	Body   wire.Session
}

func (a *API) session(ctx context.Context, _ *struct{}) (*body[wire.Session], error) {
	c := callerOf(ctx)
	return &body[wire.Session]{sessionOf(c.Principal, c.csrf)}, nil
}

func sessionOf(p users.Principal, csrf string) wire.Session {
	return wire.Session{User: p.Name, Display: p.Display, Role: p.Role, CSRF: csrf}
}

type loginInput struct {
	Client
	Body wire.Login
}

func (a *API) login(ctx context.Context, in *loginInput) (*sessionBody, error) {
	p, err := a.Users.Authenticate(ctx, in.Body.Login, in.Body.Password, users.Web, in.From)
	if err != nil {
		// Not the login: people type their password there by mistake.
		a.Log.Info("sign-in refused", "from", in.From, "err", err)
		return nil, err
	}
	out, err := a.open(ctx, p, in.Client)
	if err == nil {
		a.Events.Append(event.Event{
			Kind: "session.opened", Unit: "api", Actor: p.Name, Subject: p.Name, Text: p.Name + " signed in",
			Attrs: map[string]string{"from": in.From.String()},
		})
	}
	return out, err
}

// open starts a session for p and answers with its cookie.
func (a *API) open(ctx context.Context, p users.Principal, from Client) (*sessionBody, error) {
	token, csrf, err := a.Users.NewSession(ctx, p.Name, from.From, from.UserAgent)
	if err != nil {
		return nil, err
	}
	return &sessionBody{
		Cookie: http.Cookie{
			Name: SessionCookie, Value: token, Path: "/",
			HttpOnly: true, Secure: from.TLS, SameSite: http.SameSiteStrictMode,
		},
		Body: sessionOf(p, csrf),
	}, nil
}

type goodbye struct {
	Cookie http.Cookie `header:"Set-Cookie"`
}

func (a *API) logout(ctx context.Context, _ *struct{}) (*goodbye, error) {
	c := callerOf(ctx)
	if c.session == "" {
		return nil, fail(http.StatusConflict, "conflict", "only a browser session can be signed out; delete the token instead")
	}
	if err := a.Users.EndSession(ctx, c.session); err != nil {
		return nil, err
	}
	return &goodbye{http.Cookie{Name: SessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode}}, nil
}

// tell puts something that the caller did into the timeline.
func (a *API) tell(ctx context.Context, kind, subject, text string) {
	e := event.Event{Kind: kind, Severity: event.Info, Unit: "api", Subject: subject, Text: text}
	if c := callerOf(ctx); c != nil {
		e.Actor = c.Name
	}
	a.Events.Append(e)
}
