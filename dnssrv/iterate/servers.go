package iterate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/upstream"
)

const (
	port = 53
	// firstGuess stands for the round trip of a server never asked.
	firstGuess = 120 * time.Millisecond
	// down is how many failures in a row make a server count as down, and be
	// left alone for a while that doubles with each more.
	down      = 3
	firstRest = 5 * time.Second
	longRest  = 5 * time.Minute
	// unsure is how long it counts that a server answers without EDNS only, when
	// all that is known is that it did not with it.
	unsure = time.Minute
)

// A server is one address, and how it has been doing.
type server struct {
	addr netip.AddrPort
	via  *upstream.Resolver

	mu       sync.Mutex
	rtt      time.Duration // smoothed; 0: unknown
	failures int           // in a row
	broken   time.Time     // the last of them
	lost     time.Time     // when what it did not answer then was asked
	heard    time.Time     // the last answer
	rest     time.Time     // until then it is left alone
	edns     bool          // it has answered with EDNS
	bare     time.Time     // until then EDNS is left out
}

// server returns what is known of a server, which is nothing at first.
func (r *Resolver) server(a netip.AddrPort) *server {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := string(a.Addr().AsSlice()) + string([]byte{byte(a.Port() >> 8), byte(a.Port())})
	if s, ok := r.servers.get(key, time.Now()); ok {
		return s
	}
	s := &server{addr: a}
	if r.opt.Ask == nil {
		s.via = upstream.New(upstream.Address{Proto: upstream.UDP, IP: a}, upstream.Options{Idle: idle, Room: r.room, Dial: r.opt.Dial})
	}
	r.servers.put(key, s)
	return s
}

// An outlook is how promising a server is.
type outlook struct {
	cost    time.Duration // the less, the sooner it is asked
	wait    time.Duration // before another is asked too
	resting bool
	bare    bool
}

func (s *server) outlook(now, revived time.Time) outlook {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := outlook{cost: s.rtt, bare: now.Before(s.bare)}
	if s.rtt == 0 {
		o.cost = firstGuess
	}
	o.wait = min(max(3*o.cost, 200*time.Millisecond), 600*time.Millisecond)
	if s.failures > 0 {
		o.cost += time.Duration(min(s.failures, 10)) * time.Second
	}
	o.resting = s.failures >= down && now.Before(s.rest) && s.broken.After(revived)
	return o
}

// worked notes an answer.
func (s *server) worked(took time.Duration, edns bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures, s.heard = 0, time.Now()
	s.edns = s.edns || edns
	if edns {
		s.bare = time.Time{}
	} else {
		s.bare = time.Now().Add(unsure)
	}
	if s.rtt == 0 {
		s.rtt = took
	} else {
		s.rtt += (took - s.rtt) / 8
	}
}

// broke notes that what was asked at start was not answered. Questions lost at
// about the same time count once, and one lost in a stream of answers not at all.
func (s *server) broke(start time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard.After(start) || start.Sub(s.lost) < firstGuess {
		return
	}
	s.failures++
	s.broken, s.lost = time.Now(), start
	if s.failures >= down {
		s.rest = s.broken.Add(min(firstRest<<min(s.failures-down, 10), longRest))
	}
}

// stripped reports whether the next question goes without EDNS: the server has
// never answered with it, and has not done so twice just now.
func (s *server) stripped(round int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return round >= maxRounds-1 && !s.edns
}

// ask puts the question once. The messages it takes are paid by b.
func (r *Resolver) ask(ctx context.Context, s *server, q query, b *budget, bare bool) (m *dns.Msg, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = upstream.ErrNonsense // a message that breaks the decoder is no answer
		}
	}()
	if r.opt.Ask != nil {
		if !b.spend() {
			return nil, upstream.ErrSpent
		}
		r.sent.Add(1)
		return r.opt.Ask(ctx, s.addr, dns.Question{Name: q.name, Qtype: q.typ, Qclass: dns.ClassINET}, q.do && !bare)
	}
	spend := func() bool {
		if !b.spend() {
			return false
		}
		r.sent.Add(1)
		return true
	}
	var name [256]byte
	n, err := dns.PackDomainName(q.name, name[:], 0, nil, false)
	if err != nil {
		return nil, err
	}
	raw, err := s.via.Ask(ctx, upstream.Question{
		Name: string(name[:n]), Type: q.typ, DO: q.do, Iterative: true, Bare: bare, Spend: spend,
	})
	if err != nil {
		return nil, err
	}
	m = new(dns.Msg)
	return m, m.Unpack(raw)
}

// noRoute reports whether an error says that the host has no way to an address,
// which is not the server's fault. What routers on the way say comes later than
// connecting a UDP socket, and is.
func noRoute(err error) bool {
	call, ok := errors.AsType[*os.SyscallError](err)
	if !ok || call.Syscall != "connect" && call.Syscall != "socket" {
		return false
	}
	if _, tcp := errors.AsType[*net.OpError](err); tcp {
		return false
	}
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// families knows which of IPv4 and IPv6 the host has.
type families struct {
	mu   sync.Mutex
	lost [2]time.Time // until then there is no way
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (f *families) has(a netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !now.Before(f.lost[family(a)])
}

// lose notes that there is no way for now.
func (f *families) lose(a netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost[family(a)] = now.Add(30 * time.Second)
}

// hears knows whether anybody answers at all. While nobody does, it is most
// likely the host's own network that is to blame, and failures of servers do not
// count once it is back.
type hears struct {
	mu      sync.Mutex
	misses  int       // in a row
	first   time.Time // of them
	revived time.Time // when the last silence ended
}

const (
	doubt   = 3 // misses in a row after which it is worth asking others
	silence = 6 // and after which it is not the servers' fault
)

// doubtful reports whether nobody has answered lately.
func (h *hears) doubtful() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.misses >= doubt
}

func (h *hears) note(heard bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !heard:
		if h.misses == 0 {
			h.first = time.Now()
		}
		h.misses++
	default:
		if h.misses >= silence {
			h.revived = time.Now()
		}
		h.misses = 0
	}
}

func (h *hears) since() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first
}

func (h *hears) state() (silent bool, revived time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.misses >= silence, h.revived
}
