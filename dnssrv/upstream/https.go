package upstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/wire"
)

const mediaType = "application/dns-message"

// A doh asks over HTTPS (RFC 8484).
type doh struct {
	r         *Resolver
	transport *http.Transport
	url       string
}

func (d *doh) open(r *Resolver) {
	if r.addr.Proto != HTTPS {
		return
	}
	d.r = r
	host := net.JoinHostPort(r.addr.Host, strconv.Itoa(int(r.addr.Port)))
	if r.addr.Port == ports[HTTPS] {
		host = r.addr.Host
		if r.addr.IP.IsValid() && r.addr.IP.Addr().Is6() && r.addr.IP.Addr().String() == host {
			host = "[" + host + "]"
		}
	}
	d.url = r.addr.url(host).String()
	d.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return r.connect(ctx, network)
		},
		TLSClientConfig: r.tls, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
		MaxConnsPerHost: maxStreams, IdleConnTimeout: idleTimeout, DisableCompression: true,
		MaxResponseHeaderBytes: 16 << 10, ResponseHeaderTimeout: slow,
		HTTP2: &http.HTTP2Config{SendPingTimeout: slow, PingTimeout: dialTimeout},
	}
}

func (d *doh) close() {
	if d.transport != nil {
		d.transport.CloseIdleConnections()
	}
}

// ask posts the question with id 0, so that caches on the way know it again
// (RFC 8484 §4.1).
func (d *doh) ask(ctx context.Context, q Question, f form) ([]byte, error) {
	ctx, cancel := d.r.until(ctx)
	defer cancel()
	if err := q.spend(); err != nil {
		return nil, err
	}
	f.zero = true
	sent := q.message(f)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Accept", mediaType)
	req.Header["User-Agent"] = nil // who we are is none of its business
	d.r.sent.Add(1)
	res, err := d.transport.RoundTrip(req) // follows no redirect
	if err != nil {
		return nil, explain(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers with HTTP status %d", res.StatusCode)
	}
	if t := res.Header.Get("Content-Type"); t != mediaType {
		return nil, fmt.Errorf("%w: its answer is %q", ErrNonsense, t)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return nil, explain(ctx, err)
	}
	if len(b) == 1<<16 {
		return nil, fmt.Errorf("%w: its answer is longer than a message can be", ErrNonsense)
	}
	if heads(b, sent) == foreign {
		return nil, fmt.Errorf("%w: its answer is to another question", ErrNonsense)
	}
	if _, err := check(b); err != nil {
		return nil, err
	}
	if age, err := strconv.ParseUint(res.Header.Get("Age"), 10, 31); err == nil {
		older(b, uint32(age))
	}
	return b, nil
}

// older takes the time that b was in a cache on the way from its TTLs
// (RFC 8484 §5.1).
func older(b []byte, seconds uint32) {
	for _, r := range wire.Records(b) {
		if r.Type != dns.TypeOPT {
			binary.BigEndian.PutUint32(b[r.TTLAt:], r.TTL-min(r.TTL, seconds))
		}
	}
}

var errClosed = errors.New("the resolver is closed")

// until returns a context that ends with both, so that closing r ends what is
// under way.
func (r *Resolver) until(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.ctx, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// pauseAfter is how long to wait after so many failures in a row.
func pauseAfter(failures int) time.Duration {
	return min(firstPause<<min(failures, 10), longPause)
}
