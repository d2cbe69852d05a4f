// Package router makes the host a household's router: it gets the WAN's
// addresses from the provider, gives the LAN its own, and lets the kernel route
// between them.
//
// Promises:
//   - The WAN follows the provider: DHCP (package dhcp4), IPv6 by router
//     advertisements, which the kernel takes, and by DHCPv6 with prefix delegation
//     (package dhcp6), or what the document says. Of each delegated prefix the
//     first /64 is the LAN's, with ::1 in it as the cell's address; the rest is
//     unreachable, so that packets to it do not run in circles (RFC 7084, WPD-5).
//   - Leases are kept on disk. A start after kill -9 finds the addresses in place
//     and asks to keep them; the address does not change on the way.
//   - Whatever is set on the host is written down before, so that stop, or the
//     next start, or [Cleanup], takes exactly that away and puts back what was
//     there. Addresses and routes of others are left alone; our routes have the
//     protocol number 112.
//   - What is missing, such as a card that is not plugged in, is a problem, not an
//     end: everything else works, and it is looked for every few seconds.
//   - The line claims nothing of the household's: not by the address that it gives,
//     nor by routes, prefixes and advertisements. What lies in the LAN, the VPN or
//     beyond a link is not followed, and a problem says so.
//   - A lease is given back when the document no longer asks for it, not when the
//     cell merely stops (RFC 9096, WPD-9).
//
// Not done here: the firewall and address translation (packages policy and fw),
// advertisements to the LAN (dhcpsrv/ra), PPPoE, more than one WAN.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"pic/core/config"
	"pic/netstack/router/dhcp4"
	"pic/netstack/router/dhcp6"
	"pic/netstack/shape"
)

// Config is what the router needs to know. [From] derives it. The zero Config is
// a host that does not route.
type Config struct {
	LAN     LAN
	WAN     WAN
	Shaping shape.Config
	Homes   []Home // which the line cannot claim
}

// A LAN is the card, or the bridge of cards, towards the household.
type LAN struct {
	Name     string
	Bridge   []string // cards; none: Name is a card
	Address  netip.Prefix
	Address6 netip.Prefix
}

// A WAN is the card towards the provider.
type WAN struct {
	Name              string
	DHCP              bool // else static
	Address, Address6 netip.Prefix
	Gateway, Gateway6 netip.Addr
	Delegation        bool
}

// From picks the router's Config out of the resolved document.
func From(d *config.Document) Config {
	n := &d.Network
	if !config.On(n.Router) {
		return Config{}
	}
	return Config{
		LAN: LAN{Name: n.LAN.Name, Bridge: n.Bridge, Address: n.LAN.Address, Address6: n.LAN.Address6},
		WAN: WAN{
			Name: n.WAN.Name, DHCP: n.WAN.Method == config.WANDHCP, Address: n.WAN.Address, Address6: n.WAN.Address6,
			Gateway: n.WAN.Gateway, Gateway6: n.WAN.Gateway6, Delegation: config.On(n.WAN.Delegation),
		},
		Shaping: shape.Config{WAN: n.WAN.Name, LAN: n.LAN.Name, Up: n.Shaping.Up, Down: n.Shaping.Down, Queue: n.Shaping.Queue},
		Homes:   homesOf(d),
	}
}

// on reports whether there is anything to do.
func (c Config) on() bool { return c.LAN.Name != "" && c.WAN.Name != "" }

// A Server is the router. Use [New]. It implements service.Server and
// service.Reporter.
type Server struct {
	log    *slog.Logger
	dir    string
	kernel *kernel
	shaper *shape.Shaper
	plug   struct{ four, six chan struct{} } // the WAN's cable was plugged in

	apply sync.Mutex // held by Apply, and while Run takes all down
	stop  context.CancelFunc
	wg    sync.WaitGroup // of the clients

	mu        sync.Mutex // guards what follows
	conf      Config
	four      *dhcp4.Lease // in force
	six       *dhcp6.Lease // in force
	state4    dhcp4.State
	state6    dhcp6.State
	ra        advert
	strays    []netip.Prefix // that advertisements claimed
	strayed   time.Time      // when they did last
	trouble   troubles
	listeners []func()
	shown     shown // what listeners were told last
	clean     bool  // nothing of ours is on the host
}

// New returns a router that does nothing until the first Apply. It keeps leases,
// and the list of what it set on the host, in the folder dir.
func New(log *slog.Logger, dir string) *Server {
	s := &Server{log: log, dir: dir, kernel: newKernel(filepath.Join(dir, madeFile)), shaper: shape.New(log)}
	s.plug.four, s.plug.six = make(chan struct{}, 1), make(chan struct{}, 1)
	return s
}

// Check reports why c could not be applied: a card that nobody has heard of. One
// that is being followed may be unplugged just now.
func (s *Server) Check(_ context.Context, c Config) error {
	s.mu.Lock()
	old := s.conf
	s.mu.Unlock()
	cards := slices.Concat([]string{c.WAN.Name}, c.LAN.Bridge)
	if len(c.LAN.Bridge) == 0 {
		cards = append(cards, c.LAN.Name)
	}
	known := slices.Concat([]string{"", old.WAN.Name, old.LAN.Name}, old.LAN.Bridge)
	for _, card := range cards {
		if slices.Contains(known, card) {
			continue
		}
		if _, err := linkNamed(card); err != nil {
			return err
		}
	}
	return nil
}

// Apply makes the host route as c says. What depends on the provider follows by
// itself.
func (s *Server) Apply(ctx context.Context, c Config) error {
	s.apply.Lock()
	defer s.apply.Unlock()
	s.mu.Lock()
	old := s.conf
	same := reflect.DeepEqual(old.WAN, c.WAN) && s.stop != nil
	s.mu.Unlock()
	if !same {
		s.halt(c.WAN)
	}
	s.mu.Lock()
	s.conf = c
	if !reflect.DeepEqual(old.Homes, c.Homes) {
		s.strays, s.strayed = nil, time.Time{}
	}
	if !same {
		s.recall(c)
	}
	err := s.settle()
	if err != nil && !isMissing(err) {
		s.conf = old
		if back := s.settle(); back != nil && !isMissing(back) {
			s.log.Error("former network not restored", "err", back)
		}
		c = old
	} else {
		err = nil
	}
	s.mu.Unlock()
	if c.on() && s.stop == nil {
		s.begin(c)
	}
	s.tell()
	return err
}

// begin starts the clients of the WAN. The caller holds apply.
func (s *Server) begin(c Config) {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	if c.WAN.DHCP {
		s.wg.Go(func() { s.keep(ctx, codeNoLease, func() error { return s.run4(ctx, c) }) })
	}
	if !c.WAN.Address6.IsValid() && hasIPv6() {
		s.wg.Go(func() { s.keep(ctx, codeNoRA, func() error { return s.listenRA(ctx, c) }) })
	}
	if c.WAN.Delegation && hasIPv6() {
		s.wg.Go(func() { s.keep(ctx, codeNoPrefix, func() error { return s.run6(ctx, c) }) })
	}
}

// halt ends the clients. If the WAN is to be another than next, they give their
// leases back first.
func (s *Server) halt(next WAN) {
	if s.stop == nil {
		return
	}
	s.mu.Lock()
	s.conf.WAN = next // tells the clients whether to release
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
	s.stop = nil
}

// pauseAfter is how long to wait before what failed is tried again.
const pauseAfter = 2 * time.Second

// keep runs a client of the WAN again and again until ctx ends.
func (s *Server) keep(ctx context.Context, code string, run func() error) {
	for ctx.Err() == nil {
		err := guarded(run)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		if isMissing(err) {
			s.trouble.set(missing(err))
		} else if err != nil {
			s.trouble.set(clientFailed(code, err))
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(pauseAfter):
		}
	}
}

// guarded turns a panic over something that a server sent into an error.
func guarded(run func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("a defect made it stop: %v", v)
		}
	}()
	return run()
}

// Run watches over what Apply has set up until ctx is done, and then puts the
// host back to what it was.
func (s *Server) Run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() { s.watch(ctx, changed) })
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-changed:
		case <-tick.C:
		}
		s.again()
	}
	wg.Wait()

	s.apply.Lock()
	defer s.apply.Unlock()
	s.mu.Lock()
	wan := s.conf.WAN
	s.mu.Unlock()
	s.halt(wan)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conf, s.four, s.six, s.ra = Config{}, nil, nil, advert{}
	s.trouble = troubles{}
	return s.settle()
}

// every is how often it is looked whether the host is as it should be, besides
// each change that the kernel tells of.
const every = 5 * time.Second

// again sets right what others changed.
func (s *Server) again() {
	s.mu.Lock()
	if err := s.settle(); err != nil && !isMissing(err) {
		s.log.Warn("network not as it should be", "err", err)
	}
	s.mu.Unlock()
	s.tell()
}

// settle brings the host to what the document and the leases say. The caller
// holds mu.
func (s *Server) settle() error {
	if !s.conf.on() {
		if s.clean || !s.kernel.record.exists() {
			return nil // a server never sets anything
		}
		err := errors.Join(s.shaper.Remove(), s.kernel.apply(plan{}))
		s.clean = err == nil
		return err
	}
	s.clean = false
	now := time.Now()
	p := s.conf.plan(s.four, s.six, now)
	strays, stray := s.kernel.dropStrays(s.conf, p)
	if len(strays) > 0 {
		s.strays, s.strayed = strays, now
	}
	if now.Sub(s.strayed) < strayFor {
		p.set("ipv6/conf/"+sysName(s.conf.WAN.Name)+"/accept_ra_pinfo", "0")
	} else {
		s.strays = nil
	}
	err := s.kernel.apply(p)
	if stray != nil && !isMissing(stray) {
		err = errors.Join(err, stray)
	}
	s.trouble.clear(codeNoCard, codeDrift)
	switch {
	case err != nil && isMissing(err):
		s.trouble.set(missing(err))
	case err != nil:
		s.trouble.set(drifted(err))
	}
	s.trouble.put(codeForeign, s.kernel.foreignDefault(s.conf.WAN.Name).problem())
	s.trouble.put(codeShape, s.shape())
	s.trouble.put(codeShort, shortPrefix(s.six))
	s.trouble.put(codeClash, s.conf.clash(s.four, s.six, s.strays))
	return err
}
