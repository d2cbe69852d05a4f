package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits towards upstreams.
const (
	dialTime   = 5 * time.Second
	answerTime = 5 * time.Minute // until the head of an answer; some do long polling
)

// A route forwards requests to its upstream and knows how that went. It lives
// for as long as its Route is in the document.
type route struct {
	Route
	log       *slog.Logger
	proxy     *httputil.ReverseProxy
	transport *http.Transport
	ctx       context.Context // ends what is left when the route is gone
	close     func()

	requests atomic.Int64
	active   atomic.Int64
	last     atomic.Pointer[failure] // nil while the upstream answers
}

// A failure is an upstream that did not answer.
type failure struct {
	err   string
	since time.Time
}

func (s *Server) newRoute(r Route) (*route, error) {
	target, err := r.target()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialTime, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: r.Insecure}, //nolint:gosec // the owner asked for it
		TLSHandshakeTimeout:    dialTime,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  answerTime,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // pass on what the upstream sends
		ReadBufferSize:         16 << 10,
	}
	ctx, cancel := context.WithCancel(context.Background())
	out := &route{
		Route: r, log: s.log, transport: t, ctx: ctx,
		close: func() { cancel(); t.CloseIdleConnections() },
	}
	out.proxy = &httputil.ReverseProxy{
		Transport:  t,
		BufferPool: buffers,
		ErrorLog:   slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			// As it came: the library would drop what it does not understand,
			// such as the semicolons of gitweb, and sort the rest.
			p.Out.URL.RawQuery = p.In.URL.RawQuery
			p.SetURL(target)
			out.dress(p)
		},
		ModifyResponse: out.answered,
		ErrorHandler:   out.failed,
	}
	return out, nil
}

// buffers are what bodies are copied through.
var buffers = &bufferPool{sync.Pool{New: func() any { return new([32 << 10]byte) }}}

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte  { return p.pool.Get().(*[32 << 10]byte)[:] }
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }

// ServeHTTP forwards r, whose client may enter.
func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rt.requests.Add(1)
	rt.active.Add(1)
	defer rt.active.Add(-1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(rt.ctx, cancel)()
	a := &answer{ResponseWriter: w}
	defer func() {
		if err := recover(); err != nil {
			if a.begun {
				// It broke off. What there is of it goes out, so that the client
				// sees that too, and not just a closed connection.
				_ = http.NewResponseController(w).Flush()
			}
			panic(err)
		}
	}()
	rt.proxy.ServeHTTP(a, r.WithContext(ctx))
}

// An answer knows whether its head was written.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	a.begun = a.begun || status >= 200
	a.ResponseWriter.WriteHeader(status)
}

// dress gives the upstream the request with the headers that are ours to give.
// Those of the client were removed by [undress].
func (rt *route) dress(p *httputil.ProxyRequest) {
	p.Out.Host = p.In.Host // servers make links of it
	c := connOf(p.In)
	from := c.peer.Unmap().WithZone("").String()
	proto, port := "https", "443"
	if p.In.TLS == nil {
		proto, port = "http", "80"
	}
	if _, said, err := net.SplitHostPort(p.In.Host); err == nil {
		port = said
	}
	h := p.Out.Header
	h["X-Forwarded-For"] = []string{from}
	h["X-Real-Ip"] = []string{from}
	h["X-Forwarded-Host"] = []string{p.In.Host}
	h["X-Forwarded-Proto"] = []string{proto}
	h["X-Forwarded-Port"] = []string{port}
	if c.peer.Unmap().Is6() {
		from = `"[` + from + `]"`
	}
	h["Forwarded"] = []string{"for=" + from + `;host="` + p.In.Host + `";proto=` + proto} // RFC 7239
}

// answered is told of each answer of the upstream.
func (rt *route) answered(res *http.Response) error {
	res.Header.Del("Alt-Svc") // which would be about its own ports
	if rt.last.Load() != nil && rt.last.Swap(nil) != nil {
		rt.log.Info("upstream answers again", "route", rt.Host, "upstream", rt.Upstream)
	}
	return nil
}

// failed answers in place of the upstream.
func (rt *route) failed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errMidway) || connOf(r).cutShort():
		w.Header().Set("Connection", "close")
		fail(w, r, http.StatusBadRequest, "The request is malformed.")
		return
	case rt.ctx.Err() != nil:
		w.Header().Set("Connection", "close")
		fail(w, r, http.StatusServiceUnavailable, "This page was removed, or the cell is stopping.")
		return
	case errors.Is(err, context.Canceled):
		panic(http.ErrAbortHandler) // the client went away
	}
	f := &failure{err: err.Error(), since: time.Now()}
	if old := rt.last.Load(); old != nil {
		f.since = old.since
	} else {
		rt.log.Warn("upstream does not answer", "route", rt.Host, "upstream", rt.Upstream, "err", err)
	}
	rt.last.Store(f)
	if n := net.Error(nil); errors.As(err, &n) && n.Timeout() && !strings.HasPrefix(f.err, "dial ") {
		fail(w, r, http.StatusGatewayTimeout, "The server behind this name took too long to answer.")
		return
	}
	fail(w, r, http.StatusBadGateway, "The server behind this name does not answer. Its owner may have to start it.")
}
