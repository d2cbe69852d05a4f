package api

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pic/core/config"
	"pic/core/users"
)

// A Rule says who may call a route.
type Rule string

const (
	Anyone   Rule = "anyone"   // without signing in
	SignedIn Rule = "signedin" // every role; the handler shows and changes only what is the caller's own
	Self     Rule = "self"     // the user named in the path, and administrators
	Viewers  Rule = "viewers"  // administrators and viewers
	Admins   Rule = "admins"
)

// Rules lists all there are.
func Rules() []Rule { return []Rule{Anyone, SignedIn, Self, Viewers, Admins} }

// Names that a client must know.
const (
	SessionCookie = "pic_session"
	CSRFHeader    = "X-CSRF-Token"
)

// A caller is who sent a request.
type caller struct {
	users.Principal
	session string // its token, where the caller came with the cookie
	csrf    string
	from    netip.Addr
	token   bool // came with a bearer token
	local   bool // came over the socket
}

func (c *caller) admin() bool  { return c.Role == config.Admin }
func (c *caller) viewer() bool { return c.Role == config.Admin || c.Role == config.Viewer }

// may reports whether c may call a route with this rule, where name is the user
// that the path names.
func (r Rule) may(c *caller, name string) bool {
	switch r {
	case Anyone:
		return true
	case SignedIn:
		return c != nil
	case Self:
		return c != nil && (c.admin() || c.Name == name)
	case Viewers:
		return c != nil && c.viewer()
	case Admins:
		return c != nil && c.admin()
	}
	return false
}

type callerKey struct{}

// callerOf returns who sent the request, nil where nobody signed in.
func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// authorize finds out who calls and lets them through where the rule of the
// route says so.
func (a *API) authorize(hc huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(hc)
	rule := hc.Operation().Metadata["rule"].(Rule)
	if a.Store == nil {
		if hc.Operation().Metadata["before setup"] == nil {
			a.refuse(hc, errNotSetUp)
			return
		}
		next(hc)
		return
	}
	c, err := a.identify(r)
	if err != nil && rule != Anyone {
		a.refuse(hc, err)
		return
	}
	if !rule.may(c, hc.Param("name")) {
		if c == nil {
			a.refuse(hc, errSignedOut)
		} else {
			a.refuse(hc, errForbidden)
		}
		return
	}
	next(huma.WithValue(hc, callerKey{}, c))
}

// identify finds out who sent r. No credentials are no error; wrong ones are.
func (a *API) identify(r *http.Request) (*caller, error) {
	from := remote(r)
	if p, ok := peerOf(r.Context()); ok {
		if name, ok := p.admin(); ok {
			return &caller{Principal: users.Principal{Name: name, Role: config.Admin}, local: true}, nil
		}
	}
	if h := r.Header.Get("Authorization"); h != "" {
		secret, ok := strings.CutPrefix(h, "Bearer ")
		if !ok {
			return nil, errScheme
		}
		p, err := a.Users.Token(r.Context(), strings.TrimSpace(secret))
		if err != nil {
			return nil, err
		}
		return &caller{Principal: p, from: from, token: true}, nil
	}
	cookie, err := r.Cookie(SessionCookie)
	if err != nil || cookie.Value == "" {
		return nil, nil
	}
	p, s, err := a.Users.Session(r.Context(), cookie.Value)
	if err != nil {
		return nil, errSignedOut
	}
	if !safe(r.Method) && subtle.ConstantTimeCompare([]byte(r.Header.Get(CSRFHeader)), []byte(s.CSRF)) != 1 {
		return nil, errCSRF
	}
	return &caller{Principal: p, session: cookie.Value, csrf: s.CSRF, from: from}, nil
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead
}

// remote is the address that r came from, not valid for the socket.
func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
