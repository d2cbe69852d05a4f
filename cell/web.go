package cell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pic/core/config"
	"pic/core/service"
	"pic/internal/listen"
)

// webConfig is what the web server needs of the document.
type webConfig struct {
	UI, API     []listen.Socket
	Mail, Files []listen.Socket // lead to pages of the UI
	UIPort      uint16
	Allow       []netip.Prefix // who may use it
}

func webFrom(d *config.Document) webConfig {
	w := d.Web
	tcp := func(port uint16) []listen.Socket {
		return listen.For("tcp", w.Listen, port, d.Tunnel(), port)
	}
	return webConfig{
		UI:     tcp(w.UIPort),
		API:    listen.For("tcp", []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, w.APIPort, nil, 0),
		Mail:   tcp(w.MailPort),
		Files:  tcp(w.FilesPort),
		UIPort: w.UIPort,
		Allow:  d.Insiders(),
	}
}

// A web serves the UI and the API on their ports, in plain HTTP; the proxy serves
// the same handlers over TLS. Who is outside of network.allow gets a refusal.
type web struct {
	log   *slog.Logger
	set   *listen.Set
	now   atomic.Pointer[webConfig]    // in force
	front atomic.Pointer[http.Handler] // UI and API
	rest  atomic.Pointer[http.Handler] // API alone
	crowd crowd

	mu     sync.Mutex
	server *http.Server
}

func newWeb(log *slog.Logger, pool *listen.Pool) *web {
	return &web{log: log, set: pool.Set()}
}

// show sets what the ports answer from now on.
func (w *web) show(front, rest http.Handler) {
	w.front.Store(&front)
	w.rest.Store(&rest)
}

func (w *web) Check(context.Context, webConfig) error { return nil }

func (w *web) Apply(ctx context.Context, c webConfig) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	want := append(append(append(append([]listen.Socket(nil), c.UI...), c.API...), c.Mail...), c.Files...)
	swap, err := w.set.Open(ctx, want)
	if err != nil {
		return err
	}
	w.now.Store(&c)
	if w.server == nil {
		w.server = w.newServer()
	}
	for _, b := range swap.Added() {
		go w.server.Serve(portListener{b.Listener, &w.crowd, b.Socket}) // ends when the set closes it
	}
	swap.Commit()
	return nil
}

func (w *web) newServer() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(w.serve),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(w.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if p, ok := c.(portConn); ok {
				return context.WithValue(ctx, portKey{}, p.socket)
			}
			return ctx
		},
	}
}

func (w *web) Run(ctx context.Context) error {
	<-ctx.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set.Close()
	if w.server == nil {
		return nil
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := w.server.Shutdown(stop); errors.Is(err, context.DeadlineExceeded) {
		w.server.Close() // event streams do not end by themselves
	}
	w.server = nil
	return nil
}

type portKey struct{}

func (w *web) serve(rw http.ResponseWriter, r *http.Request) {
	c := w.now.Load()
	if !inside(c.Allow, r.RemoteAddr) {
		http.Error(rw, "This page is for the household's own network. Use the VPN, or add your network to network.allow.", http.StatusForbidden)
		return
	}
	port, _ := r.Context().Value(portKey{}).(listen.Socket)
	page := ""
	switch {
	case slices.Contains(c.API, port):
		(*w.rest.Load()).ServeHTTP(rw, r)
		return
	case slices.Contains(c.Mail, port):
		page = "/email"
	case slices.Contains(c.Files, port):
		page = "/files"
	default:
		(*w.front.Load()).ServeHTTP(rw, r)
		return
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(r.Host); err == nil {
		host = name
	}
	http.Redirect(rw, r, "http://"+net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(int(c.UIPort)))+page, http.StatusFound)
}

// inside reports whether a remote address belongs to one of the networks.
func inside(allow []netip.Prefix, remote string) bool {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	ip := a.Addr().Unmap().WithZone("")
	for _, p := range allow {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

func (w *web) Problems() []service.Problem { return nil }

func (w *web) Sockets() []string { return w.set.Sockets() }

func (w *web) Facts() []service.Fact {
	c := w.now.Load()
	if c == nil {
		return nil
	}
	return []service.Fact{{Name: "UI port", Value: fmt.Sprint(c.UIPort)}}
}
