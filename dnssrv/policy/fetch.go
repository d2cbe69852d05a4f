package policy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fetchTime  = 10 * time.Minute // for a whole list over a slow line
	headerTime = 30 * time.Second
	dialTime   = 10 * time.Second
	redirects  = 5
)

// A fetcher gets lists from where the document says.
type fetcher struct {
	client *http.Client
}

// newFetcher returns one that asks resolve where hosts are; nil is the host's
// own resolver, which may well be this cell.
func newFetcher(resolve func(ctx context.Context, host string) ([]netip.Addr, error)) *fetcher {
	dialer := &net.Dialer{Timeout: dialTime}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, dialer, resolve, network, address)
		},
		ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTime, ResponseHeaderTimeout: headerTime,
		MaxIdleConns: 4, IdleConnTimeout: dialTime, MaxResponseHeaderBytes: 64 << 10,
	}
	return &fetcher{&http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) > redirects:
			return errors.New("the server redirects in circles")
		case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
			return errors.New("the server redirects to where nothing is encrypted")
		}
		if j, ok := r.Context().Value(journeyKey{}).(*journey); ok {
			j.redirected.Store(true)
		}
		return nil
	}}}
}

// A journey is where the fetching of one list has led so far. A server of the
// Internet shall not have the cell ask what only it, or the household, can reach.
type journey struct {
	redirected atomic.Bool
	outside    atomic.Bool // it began on the Internet
}

type journeyKey struct{}

// may reports why the journey must not go to a.
func (j *journey) may(a netip.Addr) error {
	switch outside := public(a); {
	case outside && !j.redirected.Load():
		j.outside.Store(true)
	case !outside && j.redirected.Load() && j.outside.Load():
		return fmt.Errorf("the server redirects to %s, which is not on the Internet", a)
	}
	return nil
}

// public reports whether a is an address of the Internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// shared is what providers use within (RFC 6598), and VPNs.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// dial connects to one of the addresses of a host.
func dial(ctx context.Context, d *net.Dialer, resolve func(context.Context, string) ([]netip.Addr, error), network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if j, ok := ctx.Value(journeyKey{}).(*journey); ok {
		held := *d
		held.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return j.may(to.Addr())
		}
		d = &held
	}
	if _, err := netip.ParseAddr(host); err == nil || resolve == nil {
		return d.DialContext(ctx, network, address)
	}
	addrs, err := resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("finding %s: it has no address", host)
	}
	for _, a := range addrs {
		var c net.Conn
		if c, err = d.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// A fetched is a list on its way.
type fetched struct {
	origin
	body io.ReadCloser // nil: the copy is still what the list is
}

// fetch gets a list unless the copy have, if there is one, is still what it is.
func (f *fetcher) fetch(ctx context.Context, at string, have origin) (fetched, error) {
	if strings.HasPrefix(at, "/") {
		return fetchFile(at, have)
	}
	ctx = context.WithValue(ctx, journeyKey{}, new(journey))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return fetched{}, err
	}
	req.Header.Set("User-Agent", "pic-dns")
	if have.ETag != "" {
		req.Header.Set("If-None-Match", have.ETag)
	}
	if have.Modified != "" {
		req.Header.Set("If-Modified-Since", have.Modified)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return fetched{}, inWords(err)
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && have.URL != "":
		resp.Body.Close()
		return fetched{origin: have}, nil
	case resp.StatusCode != http.StatusOK:
		resp.Body.Close()
		return fetched{}, fmt.Errorf("the server answers %q", resp.Status)
	}
	now := origin{URL: at, ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified"), Changed: time.Now()}
	return fetched{now, resp.Body}, nil
}

// inWords says what is wrong without what the reader has before them, which is
// the address, and without what only programmers know.
func inWords(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file on the cell")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("the cell may not read this file")
	}
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && op.Addr != nil {
		why := op.Err
		var sys *os.SyscallError
		if errors.As(why, &sys) {
			why = sys.Err
		}
		return fmt.Errorf("%s cannot be reached: %w", op.Addr, why)
	}
	return err
}

// fetchFile gets a list from a file of this machine.
func fetchFile(path string, have origin) (fetched, error) {
	// Whoever may write there could put a pipe in its place, which waits.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fetched{}, inWords(err)
	}
	kept := false
	defer func() {
		if !kept {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return fetched{}, err
	}
	if !info.Mode().IsRegular() {
		return fetched{}, fmt.Errorf("%s is not a file", path)
	}
	now := origin{URL: path, Modified: fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size()), Changed: time.Now()}
	if now.Modified == have.Modified {
		return fetched{origin: have}, nil
	}
	kept = true
	return fetched{now, f}, nil
}
