package netstack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"pic/netstack/wgdev"
)

// Run watches over what Apply has set up until ctx is done, and then takes it
// all down. A tunnel that breaks is made again; if that fails, Run returns the
// error, for the supervisor to start it over.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	moved := make(chan struct{}, 1)
	wg.Go(func() { watchAddresses(ctx, s.log, moved) })
	led := make(chan struct{}, 1)
	wg.Go(func() { watchWays(ctx, s.log, led) })
	touched := make(chan struct{}, 1)
	wg.Go(func() {
		if err := s.firewall.Watch(ctx, func() { poke(touched) }); err != nil {
			s.log.Debug("changes of the packet filter are not watched", "err", err)
		}
	})

	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var broken error
	for ctx.Err() == nil && broken == nil {
		select {
		case <-ctx.Done():
		case <-moved:
			s.again(ctx, "addresses changed")
			s.host.tell()
		case <-led:
			if s.otherWay() {
				s.again(ctx, "the way out has another MTU")
			}
		case <-touched:
			s.again(ctx, "firewall changed by another program")
		case t := <-tick.C:
			if taken := s.ports.retry(); len(taken) > 0 {
				s.trouble.set(portsTaken(taken))
			} else {
				s.trouble.clear(codePorts)
			}
			s.pastDue(t)
			s.turn(t)
			if s.exits.Look(t) {
				s.again(ctx, "an exit came up or went down")
			}
			s.tellExits(t)
			if s.trouble.due(t) {
				s.again(ctx, "trying again")
			}
			if s.compare(t); s.compared == t && s.stopped() {
				s.again(ctx, "the kernel forwards no more")
			}
			if s.broken() != nil {
				s.again(ctx, "the tunnel has broken")
				broken = s.broken()
			}
		}
	}
	cancel(nil)
	wg.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if broken != nil && s.conf.Rules.Router {
		// The line is still up, and a filter that is gone lets everything in.
		if t := s.tunnel.Load(); t != nil {
			s.closeTunnel(t)
		}
	} else {
		err = s.move(Config{})
	}
	s.conf, s.passing = Config{}, passing{}
	s.trouble.clear()
	return errors.Join(broken, err)
}

// again applies the present Config once more because the world has changed.
func (s *Server) again(ctx context.Context, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conf.Mode == Off && !s.conf.Rules.Router {
		return
	}
	s.log.Debug("applying again", "why", why)
	if err := s.move(s.conf); err != nil {
		s.log.Warn("network not as it should be", "why", why, "err", err)
		s.trouble.set(drifted(err))
		return
	}
	s.trouble.clear(codeDrift, codeUndo)
}

// compare tells of what `wg set` has changed. It stays until the network is next
// applied: whoever does such a thing may be looking for a fault.
func (s *Server) compare(now time.Time) {
	if now.Sub(s.compared) < 5*time.Second {
		return
	}
	s.compared = now
	var changed []string
	if t := s.tunnel.Load(); t != nil {
		changed = t.dev.Drift()
	}
	if len(changed) == 0 {
		s.trouble.clear(codeTouched)
		return
	}
	s.trouble.set(touched(changed))
}

// stopped reports whether another program, or a router that is none any more, has
// taken the kernel's leave to forward.
func (s *Server) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.filters || !s.conf.routes() || s.conf.Rules.Router {
		return false
	}
	off := func(name string) bool {
		b, err := os.ReadFile(sysNet + name)
		return err == nil && strings.TrimSpace(string(b)) == "0"
	}
	return off("ipv4/ip_forward") || s.conf.has6() && wgdev.HasIPv6() && off("ipv6/conf/all/forwarding")
}

func (s *Server) broken() error {
	if t := s.tunnel.Load(); t != nil && !t.alive() {
		return fmt.Errorf("the interface %s has gone away", t.name)
	}
	return nil
}

// Addresses returns the host's own addresses, without loopback and link-local
// ones, as the kernel has them now.
func (s *Server) Addresses() []netip.Addr { return s.host.addresses() }

// OnAddresses has f called, from a goroutine of Run, after the host's addresses
// have changed. f must not block.
func (s *Server) OnAddresses(f func()) { s.host.onChange(f) }
