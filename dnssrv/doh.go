package dnssrv

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/h2"
)

const (
	dohPath = "/dns-query"
	dohType = "application/dns-message"
)

// A dohError is why a request is no query, and its status.
type dohError struct {
	status int
	text   string
}

func (e *dohError) Error() string { return e.text }

var (
	errDoHPath   = &dohError{http.StatusNotFound, "DNS is at /dns-query, or /dns-query/NAME for a device called NAME."}
	errDoHMethod = &dohError{http.StatusMethodNotAllowed, "DNS is asked with GET or POST."}
	errDoHType   = &dohError{http.StatusUnsupportedMediaType, "The content type of a query is " + dohType + "."}
	errDoHAccept = &dohError{http.StatusNotAcceptable, "Answers are " + dohType + " only."}
	errDoHQuery  = &dohError{http.StatusBadRequest, "The parameter dns must hold one query in base64url without padding (RFC 8484)."}
	errDoHBody   = &dohError{http.StatusBadRequest, "The body did not come whole."}
	errDoHNone   = &dohError{http.StatusBadRequest, "That is not a DNS query."}
	errDoHSize   = &dohError{http.StatusRequestEntityTooLarge, "A query of more than 4096 bytes is none."}
	errDoHLong   = &dohError{http.StatusRequestURITooLong, "A query of more than 4096 bytes is none."}
	errDoHBusy   = &dohError{http.StatusServiceUnavailable, "Too many questions of yours are waiting; try again in a second."}
	errDoHRate   = &dohError{http.StatusTooManyRequests, "That is more questions a second than one client may ask here."}
	errDoHOff    = &dohError{http.StatusServiceUnavailable, "The name server is not running."}
)

// DoH returns the handler of DNS over HTTPS (RFC 8484) for the path /dns-query
// and all below it. Who asks is decided by the address of the connection, in
// [http.Request.RemoteAddr]; who may ask, as over all other transports. What the
// path or the host say of the client is only a name for its rules.
//
// It answers 404 unless the document has DNS over HTTPS on. Its quick way answers
// alike.
func (s *Server) DoH() h2.Quick { return doh{s} }

type doh struct{ *Server }

func (s doh) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := s.table.Load()
	if !t.overHTTPS() || r.TLS == nil {
		http.NotFound(w, r)
		return
	}
	c := client{from: peerOf(r), to: reachedAt(r), proto: overHTTPS}
	b, id, err := asked(w, r)
	if err == nil {
		if id == "" {
			id = t.says(bareHost(r.Host))
		}
		c.id = id
		err = s.reply(w, r, b, c)
	}
	if err != nil {
		decline(w, err)
	}
}

// overHTTPS reports whether DNS over HTTPS is on.
func (t *table) overHTTPS() bool { return config.On(t.conf.DNS.HTTPS) && len(t.conf.Sockets) > 0 }

// decline tells the client why it gets no answer.
func decline(w http.ResponseWriter, err error) {
	e := (*dohError)(nil)
	if !errors.As(err, &e) {
		return // it has gone
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if e == errDoHMethod {
		h.Set("Allow", "GET, POST")
	}
	if e.status == http.StatusServiceUnavailable || e == errDoHRate {
		h.Set("Retry-After", "1")
	}
	http.Error(w, e.text, e.status)
}

// reply answers the query b.
func (s doh) reply(w http.ResponseWriter, r *http.Request, b []byte, c client) error {
	run := s.running.Load()
	if run == nil {
		return errDoHOff
	}
	s.count.over[overHTTPS].Add(1)
	if s.admit(c.from, time.Now()) != pass {
		if err := s.hold(r.Context(), c.from); err != nil {
			return err
		}
	}
	c.seen = sightings.Get().(*sighting)
	defer sightings.Put(c.seen)
	out, err := s.fully(r.Context(), *run, b, c)
	if err != nil {
		return err
	}
	h := w.Header()
	// All three in one piece of memory; as they are spelled, the map is asked once.
	values := [...]string{dohType, strconv.Itoa(len(out)), freshness(out)}
	h["Content-Type"] = values[0:1:1]
	h["Content-Length"] = values[1:2:2]
	h["Cache-Control"] = values[2:3:3]
	_, err = w.Write(out)
	return err
}

// hold has a client wait that asks too much.
func (s doh) hold(ctx context.Context, from addr) error {
	ctx, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	if !s.pace(ctx, from) {
		return errDoHRate
	}
	return nil
}

// fully returns the answer to b, however long it takes. It is good until
// c.seen is used again.
func (s doh) fully(ctx, run context.Context, b []byte, c client) ([]byte, error) {
	out, later := s.answer(run, b, c)
	if later != nil {
		return s.fetched(ctx, c, later)
	}
	if out == nil {
		return nil, errDoHNone
	}
	return out, nil
}

// fetched returns what later returns, once c may wait for one more answer.
func (s doh) fetched(ctx context.Context, c client, later func() []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	out := s.await(ctx, c, later)
	if out == nil {
		return nil, errDoHBusy
	}
	return out, nil
}

// asked takes the query out of a request, and what the client calls itself.
func asked(w http.ResponseWriter, r *http.Request) (b []byte, id string, err error) {
	id, ok := idOf(r.URL.Path)
	if !ok {
		return nil, "", errDoHPath
	}
	if !accepts(r.Header["Accept"]) {
		return nil, "", errDoHAccept
	}
	switch r.Method {
	case http.MethodGet:
		b, err = inQuery(r.URL.RawQuery)
	case http.MethodPost:
		b, err = inBody(w, r)
	default:
		err = errDoHMethod
	}
	return b, id, err
}

// idOf returns what a client calls itself in a path, and whether that is one of
// ours.
func idOf(path string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(path, dohPath)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	id = strings.ToLower(strings.Trim(rest, "/"))
	return id, id == "" || isLabel(id)
}

// inQuery reads the parameter dns of a GET.
func inQuery(raw string) ([]byte, error) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		value, ok := strings.CutPrefix(pair, "dns=")
		if !ok {
			continue
		}
		if len(value) > base64.RawURLEncoding.EncodedLen(maxQuery) {
			return nil, errDoHLong
		}
		b, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil || len(b) == 0 {
			return nil, errDoHQuery
		}
		return b, nil
	}
	return nil, errDoHQuery
}

// inBody reads the body of a POST.
func inBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if !isQuery(r.Header.Get("Content-Type")) {
		return nil, errDoHType
	}
	if r.ContentLength > maxQuery {
		return nil, errDoHSize
	}
	if r.ProtoMajor > 1 { // HTTP/1 has its own time for bodies
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(slow))
	}
	if n := r.ContentLength; n >= 0 { // as browsers send it; the body is never longer
		b := make([]byte, n)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return nil, errDoHBody
		}
		return b, nil
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxQuery+1))
	switch {
	case err != nil:
		return nil, errDoHBody
	case len(b) > maxQuery:
		return nil, errDoHSize
	}
	return b, nil
}

// isQuery reports whether a content type is that of a query.
func isQuery(kind string) bool {
	kind, _, _ = strings.Cut(kind, ";")
	return strings.EqualFold(strings.TrimSpace(kind), dohType)
}

// accepts reports whether a client takes DNS messages. One that does not say
// does.
func accepts(headers []string) bool {
	for _, h := range headers {
		if h == dohType {
			return true
		}
		for kind := range strings.SplitSeq(h, ",") {
			kind, _, _ = strings.Cut(kind, ";")
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case dohType, "application/*", "*/*":
				return true
			}
		}
	}
	return len(headers) == 0
}

// freshness is how long an answer may be kept by the client, and by it alone:
// answers depend on who asks (RFC 8484 §5.1).
func freshness(b []byte) string {
	ttl, ok := leastTTL(b)
	if !ok || ttl == 0 {
		return neverKept
	}
	return keptFor + strconv.FormatUint(uint64(ttl), 10)
}

const (
	neverKept = "no-store"
	keptFor   = "private, max-age="
)

// leastTTL returns the least TTL of the answer section, or where that is empty,
// how long it may be remembered that there is nothing (RFC 2308 §5).
func leastTTL(b []byte) (ttl uint32, ok bool) {
	off := headerLen
	if binary.BigEndian.Uint16(b[4:]) == 1 {
		if off = plainName(b, off); off < 0 {
			return 0, false
		}
		off += 4
	}
	answers, authority := int(binary.BigEndian.Uint16(b[6:])), int(binary.BigEndian.Uint16(b[8:]))
	for i := range answers + authority {
		rr, whole := skim(b, off)
		if !whole {
			return 0, false
		}
		switch {
		case i < answers:
			if !ok || rr.ttl < ttl {
				ttl, ok = rr.ttl, true
			}
		case answers == 0 && rr.typ == dns.TypeSOA && rr.end-rr.ttlAt > 10:
			return min(rr.ttl, binary.BigEndian.Uint32(b[rr.end-4:])), true
		}
		off = rr.end
	}
	return ttl, ok
}

// peerOf is the address at the other end of the connection.
func peerOf(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// reachedAt is the address of the cell that the client came to.
func reachedAt(r *http.Request) netip.Addr {
	a, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return addrOf(a)
}

func bareHost(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}
