package api

import (
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"pic/core/config"
)

const requestTime = 30 * time.Second

// NewServer returns a server for h with the limits that the API expects. Set
// its BaseContext or ErrorLog as needed; serve [ListenSocket] with it, too.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       requestTime,
		WriteTimeout:      2 * requestTime, // event streams and downloads extend it as they go
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnContext:       ConnContext,
	}
}

// guard is what every request passes first.
func (a *API) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &answer{ResponseWriter: rw}
		defer a.survive(w, r)
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		if _, local := peerOf(r.Context()); !local {
			if p := a.outsider(r); p != nil {
				writeProblem(w, p)
				return
			}
			if err := cross.Check(r); err != nil {
				writeProblem(w, fail(http.StatusForbidden, "forbidden", "another site made your browser send this; open the cell's own page"))
				return
			}
		}
		// The body is limited by the route. It is not wrapped here: net/http must
		// see that it was closed unread, or it takes the rest for a request.
		next.ServeHTTP(w, r)
	})
}

// An answer remembers whether it has begun.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (w *answer) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *answer) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// survive turns a panic of a handler into an answer, or where that has begun
// into the end of the connection.
func (a *API) survive(w *answer, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v != http.ErrAbortHandler {
		a.Log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "err", v, "stack", string(debug.Stack()))
	}
	if w.begun || v == http.ErrAbortHandler {
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, fail(http.StatusInternalServerError, "internal", "the cell could not do this; the reason is in its log"))
}

// outsider says why r may not talk to the cell at all, nil where it may.
func (a *API) outsider(r *http.Request) *problem {
	if a.Store == nil {
		return nil // before setup there are no names, and the token guards all there is
	}
	doc := a.Store.Resolved()
	if !inside(doc, remote(r)) {
		return fail(http.StatusForbidden, "forbidden", "your address is not among network.allow")
	}
	if !a.ours(doc, r.Host) {
		return fail(http.StatusMisdirectedRequest, "forbidden",
			"this is not a name of the cell; use its address, localhost or home."+doc.Cell.Domain)
	}
	return nil
}

func inside(doc *config.Document, from netip.Addr) bool {
	if from.IsLoopback() {
		return true
	}
	for _, p := range doc.Insiders() {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// ours reports whether host, as a browser sends it, is the cell. Addresses are:
// no foreign page can have one as its name.
func (a *API) ours(doc *config.Document, host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if addr, _, _ := strings.Cut(host, "%"); isAddr(addr) {
		return true
	}
	switch host {
	case "localhost", doc.Cell.Name, doc.Cell.Domain:
		return true
	}
	if strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, "."+doc.Cell.Domain) {
		return true
	}
	name := strings.ToLower(a.Hostname)
	return name != "" && (host == name || host == name+".local")
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}
