package cell

import (
	"net/http"
	"strings"

	"pic/internal/h2"
)

// faces puts together what a browser or a DAV client may ask one host for.
type faces struct {
	dav http.Handler
	dns h2.Quick
	ui  http.Handler
	all http.Handler
}

// front answers for the UI's port and for the cell's own host names: the API,
// DAV, and the UI for everything else.
func (f *faces) front(rest http.Handler) http.Handler {
	f.all = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p := r.URL.Path; {
		case strings.HasPrefix(p, "/api/"), p == "/health":
			rest.ServeHTTP(w, r)
		case strings.HasPrefix(p, "/dav/"), p == "/dav", strings.HasPrefix(p, "/.well-known/ca"), davMethod(r.Method):
			f.dav.ServeHTTP(w, r)
		default:
			f.ui.ServeHTTP(w, r)
		}
	})
	return f.all
}

// davMethod reports whether a method is one that only DAV clients use: some ask
// the root of a host first.
func davMethod(m string) bool {
	switch m {
	case "PROPFIND", "REPORT", "OPTIONS":
		return true
	}
	return false
}

// pages returns what the proxy serves at the label of a service: the download of
// the root certificate at ca, the household's page everywhere else. At the
// domain, dns and home, the last of which is for those who come by address, DNS
// over HTTPS is served too.
func (f *faces) pages(authority http.Handler) func(label string) http.Handler {
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.all.ServeHTTP(w, r) })
	return func(label string) http.Handler {
		switch label {
		case "ca":
			return authority
		case "", "dns", "home":
			return resolver{f.dns, front}
		}
		return front
	}
}

// A resolver is a page where DNS over HTTPS is served too, by the quick way where
// the client lets it.
type resolver struct {
	h2.Quick
	page http.Handler
}

func (s resolver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Wants([]byte(r.URL.Path)) {
		s.Quick.ServeHTTP(w, r)
		return
	}
	s.page.ServeHTTP(w, r)
}
