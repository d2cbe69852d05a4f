// Package ra tells the devices of the LAN how to use IPv6: router advertisements
// (RFC 4861 §6.2) with prefixes (RFC 4862), name servers and search domains (RFC
// 8106) and the MTU. It is for a cell that is the router.
//
// Promises:
//   - No prefix is advertised for longer than it is the household's, and none for
//     more than 45 minutes preferred and 90 valid (RFC 9096, L-16 and L-17), so
//     that devices forget soon what the provider took away without a word.
//   - A prefix that is no longer advertised is withdrawn for an hour and a half
//     after, also when the cell was killed or lost power in between (RFC 9096
//     §3.5): what was advertised is on disk before it is sent.
//   - Without a way to the IPv6 internet the cell does not offer itself as the
//     default router, and at its end it says that it is none any more.
//   - Solicitations are answered at once, but no more often than every three
//     seconds, to all.
//
// Not here: DHCPv6 for the LAN, PREF64, route information, more than one LAN.
package ra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"

	"pic/core/config"
	"pic/core/service"
)

// Config is what the document says. [From] derives it. The zero Config advertises
// nothing.
type Config struct {
	Interface string
	Domain    string // of the cell; devices search lan.<domain> and domain
	DNS       bool   // the cell is their name server
}

// From picks the Config out of the resolved document.
func From(d *config.Document) Config {
	if !config.On(d.Network.Router) {
		return Config{}
	}
	return Config{Interface: d.Network.LAN.Name, Domain: d.Cell.Domain, DNS: config.On(d.DNS.Enabled)}
}

// A Line is what the network is now, besides the document.
type Line struct {
	Prefixes []Prefix
	Uplink   bool // there is a way to the IPv6 internet
	MTU      int  // of that way; 0: not known
}

// A Prefix is a network of the LAN, and the cell's address in it. Zero times are
// without end.
type Prefix struct {
	Net              netip.Prefix // a /64
	Own              netip.Addr
	Preferred, Valid time.Time
}

// A Server advertises. Use [New]. It implements service.Server and
// service.Reporter.
type Server struct {
	log    *slog.Logger
	line   func() Line
	memory *memory
	poked  chan struct{}

	mu    sync.Mutex
	conf  Config
	open  bool
	fault error
	since time.Time // of fault
	sent  uint64
	said  int // prefixes in the last advertisement
}

// New returns a server that advertises nothing until the first Apply. It keeps
// what it advertised in the file path. line tells what the network is now.
func New(log *slog.Logger, path string, line func() Line) *Server {
	return &Server{log: log, line: line, memory: &memory{path: path}, poked: make(chan struct{}, 1)}
}

// Check accepts everything: what is missing may come.
func (s *Server) Check(context.Context, Config) error { return nil }

// Apply makes the server follow c.
func (s *Server) Apply(_ context.Context, c Config) error {
	s.mu.Lock()
	s.conf = c
	s.mu.Unlock()
	s.Changed()
	return nil
}

// Changed says that the line is another than before. It does not block.
func (s *Server) Changed() {
	select {
	case s.poked <- struct{}{}:
	default:
	}
}

const (
	maxInterval = 600 * time.Second // RFC 4861 §6.2.1
	minInterval = 200 * time.Second
	initial     = 16 * time.Second
	minDelay    = 3 * time.Second // between two
	burst       = 3               // after a change
	lifetime    = 3 * maxInterval // of the router and of name servers
	retry       = 2 * time.Second
)

// Run advertises until ctx is done, and then says that the cell is no router.
func (s *Server) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.mu.Lock()
		c := s.conf
		s.mu.Unlock()
		if c.Interface == "" {
			s.status(false, nil)
			select {
			case <-ctx.Done():
			case <-s.poked:
			}
			continue
		}
		err := s.serve(ctx, c)
		s.status(false, err)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
		}
	}
	s.status(false, nil)
	return nil
}

func (s *Server) status(open bool, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil || fault == nil {
		s.since = time.Now()
	}
	s.open, s.fault = open, fault
}

// serve advertises on one interface until ctx is done, the document changes or
// the interface goes.
func (s *Server) serve(ctx context.Context, c Config) error {
	card, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return fmt.Errorf("there is no network card %q on this host", c.Interface)
	}
	conn, _, err := ndp.Listen(card, ndp.LinkLocal)
	if err != nil {
		return fmt.Errorf("advertising on %s: %w", card.Name, err)
	}
	defer conn.Close()
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeRouterSolicitation)
	if err := errors.Join(conn.SetICMPFilter(&only), conn.SetControlMessage(ipv6.FlagHopLimit, true), conn.JoinGroup(allRouters)); err != nil {
		return fmt.Errorf("listening for solicitations on %s: %w", card.Name, err)
	}
	s.status(true, nil)
	solicited := make(chan struct{}, 1)
	gone := make(chan struct{})
	go hear(conn, card, solicited, gone)

	var last Line
	var sent time.Time
	left, next := burst, time.Now()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			s.send(conn, card, c, s.line(), true)
			return nil
		case <-gone:
			return fmt.Errorf("%s has gone", card.Name)
		case <-solicited:
			next = earlier(next, time.Now().Add(rand.N(500*time.Millisecond)))
		case <-s.poked:
			s.mu.Lock()
			now := s.conf
			s.mu.Unlock()
			if now.Interface != c.Interface {
				s.send(conn, card, c, s.line(), true)
				return nil
			}
			if l := s.line(); now != c || !reflect.DeepEqual(l, last) {
				c, left, next = now, burst, time.Now()
			}
		case <-due.C:
			last = s.line()
			if err := s.send(conn, card, c, last, false); err != nil {
				return err
			}
			sent = time.Now()
			left--
			next = sent.Add(minInterval + rand.N(maxInterval-minInterval))
			if left > 0 {
				next = sent.Add(rand.N(initial-minDelay) + minDelay)
			}
		}
		if soonest := sent.Add(minDelay); next.Before(soonest) {
			next = soonest
		}
		due.Reset(time.Until(next))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

var (
	allNodes   = netip.AddrFrom16([16]byte{0xff, 2, 15: 1})
	allRouters = netip.AddrFrom16([16]byte{0xff, 2, 15: 2})
)

// hear tells of solicitations until the socket is closed or the card goes.
func hear(conn *ndp.Conn, card *net.Interface, solicited, gone chan<- struct{}) {
	defer close(gone)
	for {
		m, cm, from, err := conn.ReadFrom()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if _, err := net.InterfaceByIndex(card.Index); err != nil {
				return
			}
			continue // not a message, or the network is down; each is told once
		}
		// RFC 4861 §6.1.1: of this link, from a device or from one that is none yet.
		_, ok := m.(*ndp.RouterSolicitation)
		if !ok || cm == nil || cm.HopLimit != 255 || !from.IsLinkLocalUnicast() && !from.IsUnspecified() && !from.IsGlobalUnicast() {
			continue
		}
		select {
		case solicited <- struct{}{}:
		default:
		}
	}
}

// send advertises once to all. What is advertised is remembered first.
func (s *Server) send(conn *ndp.Conn, card *net.Interface, c Config, l Line, end bool) error {
	now := time.Now()
	stale, err := s.memory.advertise(l.Prefixes, now)
	if err != nil {
		s.log.Warn("advertised prefixes not saved", "err", err)
	}
	m := advertisement(c, l, stale, card, now)
	if end {
		m = farewell(m)
	}
	if m == nil {
		return nil
	}
	if err := conn.WriteTo(m, nil, allNodes); err != nil {
		if _, gone := net.InterfaceByIndex(card.Index); gone != nil {
			return fmt.Errorf("%s has gone", card.Name)
		}
		s.log.Debug("advertisement not sent", "err", err)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	s.said = len(l.Prefixes)
	return nil
}

// Problems lists what is wrong now.
func (s *Server) Problems() []service.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil || time.Since(s.since) < 5*retry { // a card takes a moment to get its address
		return nil
	}
	return []service.Problem{{
		Code: "ra/not-advertising", Severity: service.Failure, Title: "Devices are not told about IPv6", Text: s.fault.Error() + ".",
		Fix: "It is tried again every two seconds; the text says what stands in the way.", Since: s.since,
	}}
}

// Sockets lists what the server listens on.
func (s *Server) Sockets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return nil
	}
	return []string{"icmpv6 on " + s.conf.Interface}
}

// Facts tell what was advertised.
func (s *Server) Facts() []service.Fact {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return nil
	}
	return []service.Fact{
		{Name: "prefixes", Value: fmt.Sprint(s.said)},
		{Name: "advertised", Value: fmt.Sprint(s.sent)},
	}
}
