// Package upstream asks one resolver that others run: over UDP, TCP, TLS, HTTPS
// or QUIC.
//
// It promises:
//
//   - An answer is to the question that was put, and whole: every record that its
//     header counts is there. What it says is for the caller to judge.
//   - Over UDP each question has a port to itself, which the kernel picks at
//     random, and which in a rush a few others have after it, a random id, a name in mixed case (0x20) as far as the resolver
//     keeps it, and a cookie (RFC 7873) once the resolver has given one. Replies
//     that do not fit, or are malformed, are ignored; after 32 of them, or one
//     that fits but for case or cookie, the question goes over TCP.
//   - TCP and TLS connections are few, kept and pipelined (RFC 7766). TLS is
//     strict (RFC 8310): the certificate must be for the name or the address that
//     the user wrote. Sessions are resumed. DNS over HTTPS (RFC 8484) and QUIC
//     (RFC 9250) likewise, without 0-RTT.
//   - Encrypted questions are padded to a multiple of 128 bytes (RFC 8467). The
//     client's subnet (RFC 7871) is never sent.
//   - Connections, messages in flight and bytes are bounded. A connection that
//     is idle is closed; one that cannot be made is tried again after a pause
//     that grows.
//
// It does not choose between resolvers, cache answers or try again what a
// resolver has refused.
package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// idleTimeout is how long a connection is kept without questions. Resolvers
	// close theirs after 10 to 30 seconds.
	idleTimeout = 20 * time.Second
	// slow is how long one message may be on its way in.
	slow        = 5 * time.Second
	dialTimeout = 3 * time.Second
	firstPause  = 50 * time.Millisecond // after a connection that could not be made
	longPause   = 5 * time.Second
)

// Options are how a Resolver reaches the network.
type Options struct {
	// Dial connects; nil: by the host's network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Lookup finds the addresses of the resolver's own name.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Roots are who may sign certificates; nil: those of the host.
	Roots *x509.CertPool
	// Idle is how long a connection over TCP or TLS is kept without questions; 0:
	// 20 s.
	Idle time.Duration
	// Room has room for as many of them as may be open, among all resolvers that
	// share it; nil: no limit but that of each.
	Room chan struct{}
}

// A Question is what is asked.
type Question struct {
	Name string // wire format, lower case
	Type uint16
	DO   bool // with signatures
	CD   bool // without checks
	// Iterative asks for what the server itself knows: recursion is not desired.
	Iterative bool
	// Bare leaves out EDNS, for servers that do not answer with it.
	Bare bool
	// Spend is called before each message that is sent; where it returns false
	// none is. nil: no limit.
	Spend func() bool
}

// ErrSpent is the error when a question has cost all it may.
var ErrSpent = errors.New("too many messages for one question")

func (q *Question) spend() error {
	if q.Spend != nil && !q.Spend() {
		return ErrSpent
	}
	return nil
}

// A Resolver is reached by one [Address]. Use [New]. Its methods may be called
// from any goroutine.
type Resolver struct {
	addr Address
	opt  Options
	tls  *tls.Config // nil: not encrypted

	plain  plain
	bank   bank
	stream pool
	https  doh
	quic   doq
	place  place

	ctx    context.Context // of connections
	cancel context.CancelFunc
	wg     sync.WaitGroup
	sent   atomic.Uint64
}

// New returns a resolver that connects once it is asked. Whoever made it closes
// it.
func New(a Address, o Options) *Resolver {
	r := &Resolver{addr: a, opt: o}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if alpn := protocols[a.Proto]; alpn != nil {
		r.tls = r.config(alpn)
	}
	r.stream.r, r.quic.r = r, r
	r.https.open(r)
	return r
}

// Address returns where the resolver is.
func (r *Resolver) Address() Address { return r.addr }

// Sent is how many messages went to the resolver.
func (r *Resolver) Sent() uint64 { return r.sent.Load() }

// Close ends all connections; questions under way fail.
func (r *Resolver) Close() {
	r.cancel()
	r.bank.close()
	r.stream.close()
	r.https.close()
	r.quic.close()
	r.wg.Wait()
}

// Ask puts the question and returns the reply. The reply belongs to the caller.
func (r *Resolver) Ask(ctx context.Context, q Question) ([]byte, error) {
	switch r.addr.Proto {
	case TCP, TLS:
		return r.bare(ctx, q, r.stream.ask)
	case HTTPS:
		return r.bare(ctx, q, r.https.ask)
	case QUIC:
		return r.bare(ctx, q, r.quic.ask)
	}
	return r.udp(ctx, q)
}

// bare asks once more without EDNS where the resolver does not know it
// (RFC 6891 §7).
func (r *Resolver) bare(ctx context.Context, q Question, ask func(context.Context, Question, form) ([]byte, error)) ([]byte, error) {
	f := form{edns: !q.Bare, pad: r.addr.Encrypted()}
	b, err := ask(ctx, q, f)
	if err == nil && f.edns && lacksEDNS(b) {
		f.edns = false
		b, err = ask(ctx, q, f)
	}
	if err == nil && b[2]&flagTC != 0 {
		return nil, errors.New("its answer is cut off where it need not be")
	}
	return b, err
}

// connect makes a connection to one of the resolver's addresses.
func (r *Resolver) connect(ctx context.Context, network string) (net.Conn, error) {
	addrs, err := r.place.addresses(ctx, r)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, a := range addrs {
		c, err := r.dial(ctx, network, a, len(addrs)-i)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		r.place.next(a)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// dial connects to a, leaving time for the others that may be tried after it.
func (r *Resolver) dial(ctx context.Context, network string, a netip.AddrPort, left int) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	if r.opt.Dial != nil {
		return r.opt.Dial(ctx, network, a.String())
	}
	if network == "udp" {
		return dialUDP(a)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, a.String())
}

var protocols = map[Proto][]string{TLS: {"dot"}, HTTPS: {"h2", "http/1.1"}, QUIC: {"doq"}}

// config is how TLS is spoken, strictly.
func (r *Resolver) config(alpn []string) *tls.Config {
	return &tls.Config{
		ServerName: r.addr.Host, RootCAs: r.opt.Roots, MinVersion: tls.VersionTLS12,
		NextProtos: alpn, ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
}

// explain makes of an error that ctx brought about what it means.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("it does not answer: %w", ctx.Err())
	}
	return err
}
