package dnssrv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/upstream"
	"pic/internal/order"
)

const (
	// firstGuess stands for the round trip of an upstream never asked.
	firstGuess = 100 * time.Millisecond
	maxBackoff = 30 * time.Second
	// down is how many failures in a row make an upstream count as down.
	down = 3
)

// A remote is a resolver that others run, and how it has been doing.
type remote struct {
	addr   upstream.Address
	label  string // addr in words, made once
	tunnel bool
	via    *upstream.Resolver

	mu       sync.Mutex
	rtt      time.Duration // smoothed; 0: unknown
	failures int           // in a row
	asked    uint64
	failed   uint64
	last     error
	answered time.Time // the last answer
	broken   time.Time // the last failure that counted
	since    time.Time // the first of the failures in a row
	retry    time.Time // while it fails: not before the others until then
}

// UpstreamStatus is how an upstream resolver has been doing.
type UpstreamStatus struct {
	Address  string        `json:"address"`
	For      string        `json:"for,omitempty"` // the domain that it is asked about; empty: all others
	Up       bool          `json:"up"`
	RTT      time.Duration `json:"rtt"`   // smoothed; 0: unknown
	Asked    uint64        `json:"asked"` // questions, however many messages each took
	Failed   uint64        `json:"failed"`
	Sent     uint64        `json:"sent"`            // messages
	Error    string        `json:"error,omitempty"` // the last, while it is not up
	Answered time.Time     `json:"answered,omitzero"`
}

func (u *remote) status() UpstreamStatus {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := UpstreamStatus{
		Address: u.addr.String(), Up: u.failures < down, RTT: u.rtt,
		Asked: u.asked, Failed: u.failed, Answered: u.answered,
	}
	if u.via != nil {
		s.Sent = u.via.Sent()
	}
	if !s.Up {
		s.Error = u.last.Error()
	}
	return s
}

// failingSince is when the failures began, while it fails.
func (u *remote) failingSince() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.since
}

// score orders upstreams: the less, the sooner it is asked.
func (u *remote) score(now time.Time) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.rtt
	if s == 0 {
		s = firstGuess
	}
	if u.failures > 0 && now.Before(u.retry) {
		s += time.Hour * time.Duration(min(u.failures, 100))
	}
	return s
}

// patience is how long it is worth waiting before somebody else is asked too.
func (u *remote) patience() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.rtt == 0 {
		return 400 * time.Millisecond
	}
	return min(max(4*u.rtt, 150*time.Millisecond), 600*time.Millisecond)
}

// worked notes an answer, and reports whether it ends failures. The time that it
// took counts unless it is 0.
func (u *remote) worked(rtt time.Duration) (again bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	again = u.failures > 0
	u.asked++
	u.failures = 0
	u.answered = time.Now()
	switch {
	case rtt == 0:
	case u.rtt == 0:
		u.rtt = rtt
	default:
		u.rtt += (rtt - u.rtt) / 8
	}
	return again
}

// broke notes that what was asked at start has failed. Tries of one question
// fail together and count once, and one lost in a stream of answers not at all.
func (u *remote) broke(start time.Time, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.asked++
	u.failed++
	if u.answered.After(start) || now.Sub(u.broken) < firstGuess {
		return
	}
	if u.failures == 0 {
		u.since = now
	}
	u.failures++
	u.last, u.broken = err, now
	u.retry = now.Add(min(time.Second<<min(u.failures, 10), maxBackoff))
}

// An upstreamError is an answer of an upstream that is no answer.
type upstreamError struct {
	rcode int
	ede   *ede
}

func (e *upstreamError) Error() string { return "it answered " + rcodeName(e.rcode) }

// errNonsense marks answers that are about the question and mean nothing.
var errNonsense = upstream.ErrNonsense

// ask puts the question to the upstream and returns its answer: NOERROR or
// NXDOMAIN, of the right question, whole. leaves tells the names that it is not
// asked about. again is true where that ends failures.
func (u *remote) ask(ctx context.Context, q question, m manner) (a *answer, again bool, err error) {
	start, limit := time.Now(), u.patience()
	b, err := u.via.Ask(ctx, upstream.Question{Name: string(q.name), Type: q.typ, DO: q.do, CD: q.cd, Spend: m.spend})
	took := time.Since(start)
	if err == nil {
		a, err = read(q, b, m)
	}
	var no *upstreamError
	switch {
	case err == nil:
		a.from = u.label
		again = u.worked(took)
	case errors.As(err, &no) && no.rcode == dns.RcodeServerFailure:
		again = u.worked(0) // it is well; the zone asked about is not
	case errors.Is(ctx.Err(), context.Canceled) && took < limit, errors.Is(err, upstream.ErrSpent):
		// Another was quicker, which says nothing about this one.
	default:
		u.broke(start, err)
	}
	return a, again, err
}

// A manner is how a question is asked, besides what it is.
type manner struct {
	spend  func() bool     // before each message: whether it may be sent
	leaves func(name) bool // tells the names that this upstream is not asked about; nil: none
	guard  *guard          // of private addresses; nil: none
}

// read makes an answer of an upstream's reply.
func read(q question, b []byte, m manner) (*answer, error) {
	switch code := rcodeOf(b); code {
	case dns.RcodeSuccess, dns.RcodeNameError:
	default:
		e := &upstreamError{rcode: code}
		full := new(dns.Msg)
		if full.Unpack(b) == nil {
			e.ede = reason(full)
		}
		return nil, e
	}
	if laden(b) {
		return nil, &upstreamError{rcode: dns.RcodeServerFailure, ede: edeLaden}
	}
	if a := glance(q, b, m); a != nil {
		return a, nil
	}
	full := new(dns.Msg)
	if err := full.Unpack(b); err != nil {
		return nil, fmt.Errorf("%w: %w", errNonsense, err)
	}
	a, err := m.digest(q, full)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNonsense, err)
	}
	return a, nil
}

// system are the resolvers of the host, but for the cell itself: the last
// resort for finding upstreams that have but a name.
func system(itself func(netip.AddrPort) bool) []upstream.Address {
	c, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var out []upstream.Address
	for _, s := range c.Servers {
		a, err := netip.ParseAddr(s)
		if at := netip.AddrPortFrom(a, port); err == nil && !itself(at) {
			out = append(out, upstream.Address{Proto: upstream.UDP, IP: at})
		}
	}
	return out
}

// lookup finds the addresses of a resolver's own name by the resolvers that are
// known by address.
func (f *forwarder) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	n, err := parseName(host)
	if err != nil {
		return nil, err
	}
	r := f.routing.Load()
	if r.root.iter != nil {
		return f.addressesOf(ctx, n)
	}
	var known []*upstream.Resolver
	for _, u := range r.root.ups {
		if u.addr.IP.IsValid() {
			known = append(known, u.via)
		}
	}
	if len(known) == 0 {
		for _, a := range system(r.care.itself) {
			via := upstream.New(a, upstream.Options{})
			defer via.Close()
			known = append(known, via)
		}
	}
	err = errors.New("no resolver is known by its address")
	for _, via := range known {
		var out []netip.Addr
		if out, err = addressesBy(ctx, via, n); len(out) > 0 {
			return out, nil
		}
	}
	return nil, err
}

// addressesOf finds out the addresses of n as if a client had asked.
func (f *forwarder) addressesOf(ctx context.Context, n name) ([]netip.Addr, error) {
	var out []netip.Addr
	var errs []error
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, err := f.fetch(ctx, n.String(), typ)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, addressesIn(m.Answer)...)
	}
	if len(out) == 0 {
		return nil, errors.Join(append(errs, errors.New("it has no address"))...)
	}
	return out, nil
}

// addressesBy asks one resolver for the addresses of n.
func addressesBy(ctx context.Context, via *upstream.Resolver, n name) ([]netip.Addr, error) {
	type result struct {
		addrs []netip.Addr
		err   error
	}
	results := make(chan result, 2)
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		go func() {
			var r result
			defer func() { results <- r }()
			b, err := via.Ask(ctx, upstream.Question{Name: string(n), Type: typ})
			if err != nil {
				r.err = err
				return
			}
			m := new(dns.Msg)
			if r.err = m.Unpack(b); r.err == nil {
				r.addrs = addressesIn(m.Answer)
			}
		}()
	}
	one, two := <-results, <-results
	out := slices.Concat(one.addrs, two.addrs)
	order.Stable(out, func(a, b netip.Addr) int { // IPv4 first: fewer homes have it broken
		return a.BitLen() - b.BitLen()
	})
	if len(out) == 0 {
		return nil, errors.Join(errors.New("it has no address"), one.err, two.err)
	}
	return out, nil
}

func addressesIn(rrs []dns.RR) []netip.Addr {
	var out []netip.Addr
	for _, rr := range rrs {
		var ip netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			ip, _ = netip.AddrFromSlice(rr.A.To4())
		case *dns.AAAA:
			ip, _ = netip.AddrFromSlice(rr.AAAA)
		}
		if ip.IsValid() {
			out = append(out, ip)
		}
	}
	return out
}
