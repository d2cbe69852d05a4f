// Package api is the REST face of the cell: /api/… and /health.
//
// It is a translation layer. Services know no HTTP JSON, this package knows no
// protocol of theirs; what it needs of them it declares as small interfaces in
// [Deps]. huma checks the requests against the types of package wire and makes
// the OpenAPI from them; nothing outside this package knows huma.
//
// # Who may call
//
// Requests over the cell's Unix socket ([ListenSocket]) are the
// administrator's when the peer is root or the user that the process runs as.
// Everywhere else, loopback included, a caller shows a session cookie (with the
// session's token in X-CSRF-Token for every method but GET and HEAD) or a bearer
// token. Each route has one [Rule], which is part of the OpenAPI as x-rule: there
// is no way to add a route without. Callers from outside [config.Document.Insiders]
// are refused, as are host names that are not the cell's (DNS rebinding) and
// requests that a browser sends on behalf of another site. There is no CORS.
//
// # Edits
//
// Whatever edits the document answers with its ETag, honours If-Match (412 when
// somebody else was faster), and with ?dry-run=1 changes nothing and answers
// with the difference that it would make. Wrong values are 422 with document
// paths, a service that refuses is 409 with its name. All failures are
// application/problem+json (RFC 9457).
//
// # Limits
//
// Bodies are at most 1 MiB (most routes: 64 KiB) and 32 levels deep, and must
// arrive within 5 s. Edits have 30 s, event streams end with their session. The
// package keeps nothing on disk.
package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// An API answers requests. Use [New]; it is safe for concurrent use.
type API struct {
	Deps
	huma    huma.API
	mux     *http.ServeMux
	handler http.Handler
	gate    gate
	streams streams
}

// New builds the routes. It does no I/O and starts nothing.
func New(d Deps) *API {
	a := &API{Deps: d, mux: http.NewServeMux()}
	a.huma = humago.New(a.mux, specification())
	a.huma.UseMiddleware(a.authorize)
	a.routes()
	finish(a.huma.OpenAPI())
	a.handler = a.guard(http.HandlerFunc(a.dispatch))
	return a
}

// Handler answers /api/… and /health, on any listener.
func (a *API) Handler() http.Handler { return a.handler }

// routes is the table of contents.
func (a *API) routes() {
	a.authRoutes()
	a.setupRoutes()
	a.statusRoutes()
	a.documentRoutes()
	a.userRoutes()
	a.credentialRoutes()
	a.peerRoutes()
	a.networkRoutes()
	a.routerRoutes()
	a.firewallRoutes()
	a.edgeRoutes()
	a.exitRoutes()
	a.dynamicRoutes()
	a.dnsRoutes()
	a.groupwareRoutes()
	a.mailRoutes()
	a.vaultRoutes()
	a.logRoutes()
	a.eventRoutes()
}
