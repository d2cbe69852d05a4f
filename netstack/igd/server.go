package igd

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"pic/internal/order"
)

// A Mapping is a port of the WAN that a device has opened for itself.
type Mapping struct {
	Client   netip.Addr
	Protocol uint8 // TCP or UDP
	Internal uint16
	External uint16
	Until    time.Time
	nonce    Nonce
	pcp      bool
}

// A Gate puts mappings in force. Its methods are called one at a time.
type Gate interface {
	// Open lets in what comes to the external port, until Close. A mapping that is
	// open already is renewed.
	Open(Mapping) error
	Close(Mapping)
}

// Terms say who may map what.
type Terms struct {
	Allow    []netip.Prefix // who may ask
	Most     int            // mappings of one device
	External netip.Addr     // of the WAN; without one nothing is mapped
	// Taken reports whether a port of the WAN is another's: a port forward's or a
	// service's.
	Taken func(protocol uint8, port uint16) bool
}

const (
	leastLife = 2 * time.Minute // RFC 6887 §15
	mostLife  = 24 * time.Hour
	lowest    = 1024 // ports below are not for devices
	mostAll   = 4096

	mostAsked  = 10 // requests of one device in a second
	mostAsking = 50 // devices in a second
	tries      = 64 // to find a port that is free
)

// A Server answers NAT-PMP and PCP. Use [NewServer].
type Server struct {
	log   *slog.Logger
	gate  Gate
	start time.Time

	mu    sync.Mutex
	terms Terms
	open  map[place]*Mapping // by external port
	asked map[netip.Addr]int // requests of each device in this second
	began time.Time          // of the second
	socks map[net.PacketConn]bool
}

// A place is a port of the WAN.
type place struct {
	protocol uint8
	port     uint16
}

// NewServer returns a server that refuses everybody until the first Set.
func NewServer(log *slog.Logger, gate Gate) *Server {
	return &Server{log: log, gate: gate, start: time.Now(), open: map[place]*Mapping{}, asked: map[netip.Addr]int{}, socks: map[net.PacketConn]bool{}}
}

// Set makes t the terms. Mappings that they do not allow end at once; where the
// external address has changed, devices are told.
func (s *Server) Set(t Terms) {
	s.mu.Lock()
	moved := s.terms.External != t.External
	s.terms = t
	for at, m := range s.open {
		if !t.External.IsValid() || !within(m.Client, t.Allow) || t.taken(m.Protocol, m.External) {
			s.end(at)
		}
	}
	socks := make([]net.PacketConn, 0, len(s.socks))
	for c := range s.socks {
		socks = append(socks, c)
	}
	s.mu.Unlock()
	if moved {
		for _, c := range socks {
			s.announce(c)
		}
	}
}

func (t Terms) taken(protocol uint8, port uint16) bool {
	return t.Taken != nil && t.Taken(protocol, port)
}

// Mappings lists what is open, by port.
func (s *Server) Mappings() []Mapping {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Mapping, 0, len(s.open))
	for _, m := range s.open {
		out = append(out, *m)
	}
	order.By(out, func(a, b Mapping) int {
		return (int(a.Protocol)-int(b.Protocol))<<16 + int(a.External) - int(b.External)
	})
	return out
}

// Run ends mappings whose time is over, and all when ctx is done.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.expire(time.Time{})
			return
		case now := <-tick.C:
			s.expire(now)
		}
	}
}

// expire ends what is over at that time; all, if it is zero.
func (s *Server) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, m := range s.open {
		if now.IsZero() || !now.Before(m.Until) {
			s.end(at)
		}
	}
}

func (s *Server) end(at place) {
	s.gate.Close(*s.open[at])
	delete(s.open, at)
}

// Serve answers on c, a UDP socket on port 5351 of an address in the LAN, until c
// is closed. Devices are told that the gateway is here.
func (s *Server) Serve(c net.PacketConn) error {
	s.mu.Lock()
	s.socks[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.socks, c)
		s.mu.Unlock()
	}()
	s.announce(c)
	buf := make([]byte, maxPCP+1)
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			s.log.Debug("reading a request for a port", "err", err)
			continue
		}
		if a, ok := from.(*net.UDPAddr); ok {
			if out := s.calmly(a.AddrPort(), buf[:n]); out != nil {
				_, _ = c.WriteTo(out, from)
			}
		}
	}
}

// announce tells the LAN of the external address (RFC 6886 §3.2.1, RFC 6887
// §14.1).
func (s *Server) announce(c net.PacketConn) {
	s.mu.Lock()
	epoch, ext := s.epoch(time.Now()), s.terms.External
	s.mu.Unlock()
	if !ext.Is4() {
		return
	}
	all := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 1), Port: announcePort}
	_, _ = c.WriteTo(pmpReply{op: opAddress, epoch: epoch, address: ext}.bytes(), all)
	_, _ = c.WriteTo(pcpMessage{op: opAnnounce, answer: true, epoch: epoch}.bytes(), all)
}

func (s *Server) calmly(from netip.AddrPort, b []byte) (out []byte) {
	defer func() {
		if err := recover(); err != nil {
			s.log.Error("a request for a port failed", "addr", from, "err", err, "stack", string(debug.Stack()))
		}
	}()
	return s.answer(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), b, time.Now())
}

// epoch counts the seconds since the server knows of mappings (RFC 6886 §3.6).
func (s *Server) epoch(now time.Time) uint32 { return uint32(now.Sub(s.start) / time.Second) }

// answer answers one request; nil where nothing must be said.
func (s *Server) answer(from netip.AddrPort, b []byte, now time.Time) []byte {
	if len(b) < 2 || b[1]&response != 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.patient(from.Addr(), now) {
		return nil // it asks again (RFC 6886 §3.1, RFC 6887 §8.1.1)
	}
	switch b[0] {
	case versionPMP:
		return s.answerPMP(from.Addr(), b, now)
	case versionPCP:
		return s.answerPCP(from.Addr(), b, now)
	}
	return refusal(b[1], unsuppVersion, s.epoch(now)) // RFC 6887 §9
}

// patient reports whether a device does not ask more often than one that behaves:
// each wish makes the packet filter anew.
func (s *Server) patient(from netip.Addr, now time.Time) bool {
	if now.Sub(s.began) >= time.Second {
		s.began = now
		clear(s.asked)
	}
	if len(s.asked) >= mostAsking && s.asked[from] == 0 {
		return false
	}
	s.asked[from]++
	return s.asked[from] <= mostAsked
}

func (s *Server) answerPCP(from netip.Addr, b []byte, now time.Time) []byte {
	r, err := readPCP(b)
	out := r
	out.answer, out.epoch, out.options = true, s.epoch(now), nil
	fail := func(code byte) []byte {
		out.result, out.life = code, 30 // seconds until it is worth asking again
		return out.bytes()
	}
	switch {
	case len(b) < headPCP:
		return nil
	case err != nil:
		return refusal(b[1], malformed, out.epoch)
	case r.client != from:
		return fail(addressMismatch)
	case r.op == opAnnounce:
		out.life = 0
		return out.bytes()
	case r.op != opMap:
		return fail(unsuppOpcode)
	case !within(from, s.terms.Allow):
		return fail(notAuthorized)
	}
	for _, o := range r.options {
		switch {
		case o.code == optThirdParty: // nobody maps for others
			return fail(notAuthorized)
		case o.code < 128 && o.code != optPreferFailure:
			return fail(unsuppOption)
		}
	}
	switch {
	case r.protocol != TCP && r.protocol != UDP:
		return fail(unsuppProtocol)
	case !s.terms.External.Is4() || !from.Is4():
		return fail(netFailure)
	case r.internal == 0:
		return fail(unsuppProtocol)
	}
	if have := s.of(from, r.protocol, r.internal); have != nil && (!have.pcp || have.nonce != r.nonce) {
		return fail(notAuthorized) // RFC 6887 §11.3
	} else if r.life == 0 {
		if have != nil {
			s.end(place{have.Protocol, have.External})
		}
		out.life = 0
		return out.bytes()
	}
	strict := slices.ContainsFunc(r.options, func(o option) bool { return o.code == optPreferFailure })
	m, code := s.grant(Mapping{
		Client: from, Protocol: r.protocol, Internal: r.internal, External: r.external, nonce: r.nonce, pcp: true,
	}, r.life, strict, now)
	if code != granted {
		return fail(code.pcp())
	}
	out.external, out.address, out.life, out.result = m.External, s.terms.External, seconds(m.Until.Sub(now)), success
	if strict {
		out.options = []option{{code: optPreferFailure}}
	}
	return out.bytes()
}

// refusal is an answer to what cannot be echoed: a head alone.
func refusal(op, code byte, epoch uint32) []byte {
	b := pcpMessage{op: opAnnounce, answer: true, result: code, life: 30, epoch: epoch}.bytes()
	b[1] = op | response
	return b
}

func seconds(d time.Duration) uint32 { return uint32(max(d, 0) / time.Second) }

func (s *Server) of(client netip.Addr, protocol uint8, internal uint16) *Mapping {
	for _, m := range s.open {
		if m.Client == client && m.Protocol == protocol && m.Internal == internal {
			return m
		}
	}
	return nil
}

// A grade is how a wish came out.
type grade int

const (
	granted grade = iota
	tooMany
	notThat // port
	failed
)

func (g grade) pmp() uint16 {
	return [...]uint16{success, outOfResources, outOfResources, networkFailed}[g]
}

func (g grade) pcp() byte { return [...]byte{success, exQuota, cannotExternal, netFailure}[g] }

// grant opens a port for m, that which it names if it may have it. With strict,
// it is that one or none.
func (s *Server) grant(m Mapping, life uint32, strict bool, now time.Time) (Mapping, grade) {
	if m.Internal == 0 {
		return m, failed
	}
	have := s.of(m.Client, m.Protocol, m.Internal)
	switch {
	case have != nil && strict && have.External != m.External:
		return m, notThat
	case have != nil:
		m.External = have.External
	default:
		own := 0
		for _, o := range s.open {
			if o.Client == m.Client {
				own++
			}
		}
		if own >= s.terms.Most || len(s.open) >= mostAll {
			return Mapping{}, tooMany
		}
		for try := 0; !s.free(m); try++ {
			if strict || try == tries {
				return Mapping{}, notThat
			}
			m.External = uint16(lowest + rand.IntN(1<<16-lowest))
		}
	}
	m.Until = now.Add(min(max(time.Duration(life)*time.Second, leastLife), mostLife))
	if err := s.gate.Open(m); err != nil {
		s.log.Warn("opening a port for a device", "addr", m.Client, "port", m.External, "err", err)
		return Mapping{}, failed
	}
	s.open[place{m.Protocol, m.External}] = &m
	return m, granted
}

func (s *Server) free(m Mapping) bool {
	return m.External >= lowest && s.open[place{m.Protocol, m.External}] == nil && !s.terms.taken(m.Protocol, m.External)
}

func within(a netip.Addr, nets []netip.Prefix) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
}
