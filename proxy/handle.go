package proxy

import (
	"bufio"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

const (
	maxHeaderBytes = 64 << 10
	maxURI         = 16 << 10
	maxFields      = 250
)

// ServeHTTP answers every request of every connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	if r.TLS == nil {
		r.TLS = connOf(r).tls
	}
	if s.log.Enabled(r.Context(), slog.LevelDebug) {
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		w = rec
		begin, path := time.Now(), r.URL.Path // without the query, which may hold secrets
		defer func() {
			s.log.Debug("answered", "addr", connOf(r).peer, "host", r.Host, "method", r.Method, "path", path,
				"status", rec.status, "bytes", rec.bytes, "dur", time.Since(begin))
		}()
	}
	if r.ProtoMajor == 1 && r.Header["Upgrade"] != nil {
		w = &last{w}
		defer w.Header().Set("Connection", "close") // where nobody wrote anything
	}
	peer := connOf(r).peer
	if !s.load.enter(peer) {
		w.Header().Set("Retry-After", "5")
		s.refuse(w, r, http.StatusServiceUnavailable, "Too many requests are under way; try again in a few seconds.")
		return
	}
	defer s.load.leave(peer)
	t := s.table.Load()
	switch {
	case t.conf.Domain == "":
		w.Header().Set("Connection", "close")
		fail(w, r, http.StatusServiceUnavailable, "The cell is not set up yet, or is stopping.")
		return
	case r.Method == http.MethodConnect:
		s.refuse(w, r, http.StatusMethodNotAllowed, "This is no proxy to the internet.")
		return
	case len(r.RequestURI) > maxURI:
		s.refuse(w, r, http.StatusRequestURITooLong, "The address is too long.")
		return
	case fields(r.Header) > maxFields:
		s.refuse(w, r, http.StatusRequestHeaderFieldsTooLarge, "The request has too many headers.")
		return
	}
	t.advertise(w, r)
	p, host := t.site(r.Host)
	if p == nil {
		if len(host) > 253 {
			host = "that was asked for"
		}
		s.refuse(w, r, http.StatusNotFound, "Nothing is served under the name "+host+".")
		return
	}
	if !t.admits(p.access, peer) {
		s.refuse(w, r, http.StatusForbidden, forbidden[p.access])
		return
	}
	if r.TLS == nil {
		s.plain(w, r, t, p, host)
		return
	}
	if t.misdirected(r.TLS.ServerName, p, host) {
		s.refuse(w, r, http.StatusMisdirectedRequest, "The name differs from that of the connection.")
		return
	}
	s.serve(w, r, p)
}

// misdirected reports whether a request to p, by the name host, came over a
// connection to a name that has other access.
func (t *table) misdirected(sni string, p *site, host string) bool {
	if sni == "" || hostname(sni) == host {
		return false
	}
	q, _ := t.site(sni)
	return q == nil || q.access != p.access
}

// serve lets p answer r, whose client may enter.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, p *site) {
	undress(r.Header)
	if p.route != nil {
		p.route.ServeHTTP(w, r)
		return
	}
	defer func() {
		err := recover()
		if err == nil {
			return
		}
		if e, ok := err.(error); !ok || !errors.Is(e, http.ErrAbortHandler) {
			s.log.Error("a page failed", "host", r.Host, "path", r.URL.Path, "err", err, "stack", string(debug.Stack()))
		}
		panic(http.ErrAbortHandler) // the client must not take half for the whole
	}()
	p.own.ServeHTTP(w, r)
}

// plain answers without TLS: with the root certificate, or a redirect.
func (s *Server) plain(w http.ResponseWriter, r *http.Request, t *table, p *site, host string) {
	path := r.URL.Path
	switch {
	case p.label == "ca" && (path == "/" || path == "/root.pem" || path == "/root.crt"):
		s.serve(w, r, p)
		return
	case strings.HasPrefix(path, "/.well-known/acme-challenge/"):
		fail(w, r, http.StatusNotFound, "There is no such challenge.")
		return
	}
	to := host
	if strings.Contains(to, ":") {
		to = "[" + to + "]"
	}
	if port := t.securePort(r); port != 443 {
		to += ":" + strconv.Itoa(int(port))
	}
	uri := r.URL.RequestURI()
	if !strings.HasPrefix(uri, "/") {
		uri = "/"
	}
	http.Redirect(w, r, "https://"+to+uri, http.StatusPermanentRedirect)
}

// securePort is where the client of a plain request finds https: beside the
// port that it came to. In the tunnel that is the standard one, and behind a
// router that maps port 80 to ours, the client sees the standard one too.
func (t *table) securePort(r *http.Request) uint16 {
	_, port, err := net.SplitHostPort(r.Host)
	if said := err == nil && port != "80"; connOf(r).tunnel || !said && t.conf.HTTPPort != 80 {
		return 443
	}
	return t.conf.HTTPSPort
}

// refuse answers with an error that the client has brought about.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	s.refused.Add(1)
	s.log.Debug("refused", "addr", connOf(r).peer, "host", r.Host, "status", status)
	fail(w, r, status, why)
}

func fields(h http.Header) int {
	n := 0
	for _, v := range h {
		n += len(v)
	}
	return n
}

// A last is a response after which the connection ends unless it switched
// protocols, for the scanner no longer looks at it.
type last struct{ http.ResponseWriter }

func (w *last) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *last) WriteHeader(status int) {
	if status >= 200 {
		w.Header().Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *last) Write(b []byte) (int, error) {
	w.Header().Set("Connection", "close") // too late, and without effect, after WriteHeader
	return w.ResponseWriter.Write(b)
}

func (w *last) Flush() {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack serves handlers that look for an [http.Hijacker] themselves.
func (w *last) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// A recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Flush serves handlers that look for an [http.Flusher] themselves.
func (w *recorder) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Hijack serves handlers that look for an [http.Hijacker] themselves.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
