package davsrv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"pic/core/users"
)

// A request is one request of a known user on its way through the server.
type request struct {
	s    *Server
	w    *reply
	r    *http.Request
	user string
	at   target
	cond ifHeader
	gone []string // in the staging folder, to be removed
}

// A reply remembers what was answered. It passes ReadFrom through, so that
// files still leave by sendfile.
type reply struct {
	http.ResponseWriter
	status int
}

func (w *reply) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *reply) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *reply) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return io.Copy(w.ResponseWriter, r)
}

// Unwrap serves [http.ResponseController].
func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Handler serves /dav/ and /.well-known/{caldav,carddav} for whoever else takes
// requests, such as the proxy, which must keep strangers out itself. It may be
// used from the first Apply on.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) serve(rw http.ResponseWriter, r *http.Request) {
	w, start := &reply{ResponseWriter: rw}, time.Now()
	defer func() {
		switch p := recover(); {
		case p == nil:
		case p == http.ErrAbortHandler:
			panic(p)
		default:
			s.log.Error("a request failed in a way that it must not", "method", r.Method, "path", r.URL.Path, "err", p, "stack", string(debug.Stack()))
			if w.status != 0 {
				panic(http.ErrAbortHandler) // half an answer must not look whole
			}
			none, _ := asRefusal(errors.New("panic"))
			none.write(w)
		}
	}()
	err := s.answer(w, r)
	if err != nil {
		s.fail(w, r, err)
	}
	s.log.Debug("request", "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "status", w.status, "dur", time.Since(start))
}

// fail answers with the error, or breaks the connection where an answer had
// begun.
func (s *Server) fail(w *reply, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) || r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody is listening any more
	}
	ref, told := asRefusal(err)
	if !told {
		s.log.Warn("a request could not be done", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	ref.write(w)
}

func (s *Server) answer(w *reply, r *http.Request) error {
	if !s.who.Load().enabled {
		return refuse(http.StatusServiceUnavailable, "Calendars, contacts and files are switched off.")
	}
	switch r.URL.Path {
	case "/", "/.well-known/caldav", "/.well-known/carddav", "/.well-known/caldav/", "/.well-known/carddav/":
		return signpost(w, r)
	}
	if !strings.HasPrefix(r.URL.Path+"/", prefix) {
		return errNoSuchPlace
	}
	user, err := s.authenticate(w.Header(), r)
	if err != nil {
		if asked(err) {
			w.Header().Set("WWW-Authenticate", `Basic realm="Personal Internet Cell", charset="UTF-8"`)
		}
		return err
	}
	at, err := parseTarget(r.URL.EscapedPath())
	if err != nil {
		return err
	}
	if at.owner != "" && at.owner != user {
		return refuse(http.StatusForbidden, "This belongs to somebody else.")
	}
	if at.tree == treeFiles && len(at.rest) > 0 && at.rest[0] == stagingName {
		return errNoSuchPlace
	}
	q := &request{s: s, w: w, r: r, user: user, at: at}
	if q.cond, err = parseIf(strings.Join(r.Header.Values("If"), " ")); err != nil {
		return err
	}
	if !q.cond.holds(r, at, q) {
		return errPrecondition
	}
	return q.dispatch()
}

// signpost shows clients that know only the host's name the way.
func signpost(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	if r.Method == http.MethodOptions && r.URL.Path == "/" { // Windows asks here what kind of server it is
		h.Set("DAV", davFiles)
		h.Set("MS-Author-Via", "DAV")
		h.Set("Allow", "OPTIONS")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	h.Set("Location", prefix)
	w.WriteHeader(http.StatusMovedPermanently)
	return nil
}

func (q *request) dispatch() error {
	files := q.at.tree == treeFiles && q.at.owner != ""
	switch q.r.Method {
	case http.MethodOptions:
		return q.options()
	case "PROPFIND":
		return q.propfind()
	case "PROPPATCH":
		return q.proppatch()
	case "REPORT":
		return q.report()
	case http.MethodGet, http.MethodHead:
		return either(files, q.getFile, q.getObject)
	case http.MethodPut:
		return either(files, q.putFile, q.putObject)
	case http.MethodDelete:
		return either(files, q.deleteFile, q.deleteObject)
	case "MKCOL":
		return either(files, q.makeFolder, q.makeCollection)
	case "COPY":
		return either(files, q.copyFile, q.copyObject)
	case "MOVE":
		return either(files, q.moveFile, q.moveObject)
	case "MKCALENDAR":
		if !files {
			return q.makeCollection()
		}
	case "LOCK":
		if files {
			return q.lock()
		}
	case "UNLOCK":
		if files {
			return q.unlock()
		}
	}
	return q.notAllowed()
}

func either(files bool, a, b func() error) error {
	if files {
		return a()
	}
	return b()
}

// methods are those that mean something in the tree that the request is in.
func (q *request) methods() string {
	switch {
	case q.at.owner == "" || q.at.tree == treePrincipals:
		return "OPTIONS, PROPFIND"
	case q.at.tree == treeFiles:
		return "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"
	case q.at.tree == treeCalendars:
		return "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, MKCALENDAR, COPY, MOVE, PROPFIND, PROPPATCH, REPORT"
	}
	return "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH, REPORT"
}

func (q *request) notAllowed() error {
	q.w.Header().Set("Allow", q.methods())
	return refuse(http.StatusMethodNotAllowed, "This method means nothing at this address.")
}

// What clients are told of the protocols, RFC 4918 §10.1.
const (
	davFiles   = "1, 2, 3"
	davObjects = "1, 3, extended-mkcol, calendar-access, addressbook"
)

func (q *request) options() error {
	h := q.w.Header()
	h.Set("Allow", q.methods())
	h.Set("DAV", davObjects)
	if q.at.tree == treeFiles {
		h.Set("DAV", davFiles)
		h.Set("MS-Author-Via", "DAV") // without it Windows looks for FrontPage
		h.Set("Accept-Ranges", "bytes")
	}
	h.Set("Content-Length", "0")
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// asked reports whether an error asks for credentials.
func asked(err error) bool {
	ref, ok := asRefusal(err)
	return ok && ref.status == http.StatusUnauthorized
}

// authenticate finds out who asks, before anything of the body is read. h gets
// how long to wait, if so.
func (s *Server) authenticate(h http.Header, r *http.Request) (string, error) {
	login, secret, ok := r.BasicAuth()
	if !ok {
		return "", refuse(http.StatusUnauthorized, "Log in with your name and an app password.")
	}
	user, err := s.auth(r.Context(), login, secret, clientAddr(r))
	switch {
	case errors.Is(err, users.ErrThrottled):
		h.Set("Retry-After", strconv.Itoa(int(users.RetryAfter(err).Seconds())+1))
		return "", refuse(http.StatusTooManyRequests, sentence(err))
	case errors.Is(err, users.ErrDenied):
		return "", refuse(http.StatusUnauthorized, sentence(err))
	case err != nil:
		return "", fmt.Errorf("checking the password of %q: %w", login, err)
	case checkSegment(user) != nil || strings.HasPrefix(user, "."):
		return "", refuse(http.StatusForbidden, "This user has no place for files.")
	}
	return user, nil
}

// sentence is the text of an error as one.
func sentence(err error) string {
	s := err.Error()
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// clientAddr is who sent r, the zero Addr where that is unknown.
func clientAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// bodyPause is how long a client may keep silent within a body.
const bodyPause = time.Minute

// body is the request's body, with a deadline that moves on as data comes.
func (q *request) body() io.Reader {
	return &patientReader{q.r.Body, http.NewResponseController(q.w)}
}

type patientReader struct {
	r    io.Reader
	ctrl *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	// Servers that know no deadlines have their own way to end slow requests.
	_ = p.ctrl.SetReadDeadline(time.Now().Add(bodyPause))
	n, err := p.r.Read(b)
	if err != nil {
		_ = p.ctrl.SetReadDeadline(time.Time{}) // or the wait for the next request would end this one
	}
	return n, err
}

// xml reads the request's body as XML of at most limit bytes.
func (q *request) xml(limit int64) (*node, error) {
	if e := q.r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, refuse(http.StatusUnsupportedMediaType, "The body must not be compressed.")
	}
	if q.r.ContentLength > limit {
		return nil, refuse(http.StatusRequestEntityTooLarge, "The XML body is too large.")
	}
	return readXML(q.body(), limit)
}
