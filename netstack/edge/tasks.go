package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/netstack/ddns"
	"pic/netstack/igd"
)

// open opens the secrets of the names.
func (s *Server) open(c Config) ([]ddns.Name, error) {
	var out []ddns.Name
	for _, e := range c.Names {
		n := e.Name
		if e.Secret != "" {
			b, err := s.opt.Secrets(e.Secret)
			if err != nil {
				return nil, fmt.Errorf("network.dynamic.%s.password: %w", n.Name, err)
			}
			n.Password = strings.TrimSpace(string(b))
		}
		out = append(out, n)
	}
	return out, nil
}

// keepPort holds a port at the router upstream.
func (s *Server) keepPort(w igd.Wish) func(context.Context) {
	return func(ctx context.Context) {
		k := igd.NewKeeper(s.log, w, upstream)
		s.mu.Lock()
		s.keeper = k
		s.mu.Unlock()
		k.Run(ctx)
		s.mu.Lock()
		s.keeper = nil
		s.mu.Unlock()
	}
}

// keepPublic holds the ports of public services at the router upstream.
func (s *Server) keepPublic(all []igd.Wish) func(context.Context) {
	return func(ctx context.Context) {
		var wg sync.WaitGroup
		var keepers []*igd.Keeper
		for _, w := range all {
			keepers = append(keepers, igd.NewKeeper(s.log, w, upstream))
		}
		s.mu.Lock()
		s.public = keepers
		s.mu.Unlock()
		for _, k := range keepers {
			wg.Go(func() { k.Run(ctx) })
		}
		wg.Wait()
		s.mu.Lock()
		s.public = nil
		s.mu.Unlock()
	}
}

// keepNames keeps all public names.
func (s *Server) keepNames(c Config) func(context.Context) {
	return func(ctx context.Context) {
		names, err := s.open(c)
		if err != nil { // it was open a moment ago
			s.fail("names", err)
			return
		}
		var wg sync.WaitGroup
		var all []*ddns.Keeper
		for _, n := range names {
			all = append(all, ddns.NewKeeper(s.log, n, s.addresses, s.opt.Roots))
		}
		s.mu.Lock()
		s.names = all
		s.mu.Unlock()
		for _, k := range all {
			wg.Go(func() { k.Run(ctx) })
		}
		wg.Wait()
		s.mu.Lock()
		s.names = nil
		s.mu.Unlock()
	}
}

// serve answers devices at an address of the LAN.
func (s *Server) serve(at netip.Addr) func(context.Context) error {
	return func(ctx context.Context) error {
		var lc net.ListenConfig
		c, err := lc.ListenPacket(ctx, "udp4", netip.AddrPortFrom(at, igd.Port).String())
		if err != nil {
			return fmt.Errorf("listening for NAT-PMP and PCP: %w", err)
		}
		defer context.AfterFunc(ctx, func() { c.Close() })()
		defer c.Close()
		s.fail("mapping", nil)
		s.mu.Lock()
		s.serving = true
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.serving = false
			s.mu.Unlock()
		}()
		return s.ports.Serve(c)
	}
}

// terms tells the server of mappings who may map what. The external address comes
// and goes with the line.
func (s *Server) terms(c Config) {
	t := igd.Terms{Most: c.Mapping.Most}
	if c.Mapping.On.IsValid() {
		t.Allow, t.External = c.Mapping.Allow, s.opt.WAN()
		t.Taken = func(protocol uint8, port uint16) bool {
			return slices.ContainsFunc(c.Mapping.Taken, func(x Span) bool { return x.Protocol == protocol && x.First <= port && port <= x.Last })
		}
	}
	s.ports.Set(t)
}

// upstream is the way to the router that the host's internet goes by.
func upstream() (igd.Way, error) {
	// An address of the internet, to ask the kernel how it would go there; nothing
	// is sent.
	routes, err := netlink.RouteGet(net.IPv4(9, 9, 9, 9))
	if err != nil || len(routes) == 0 || routes[0].Gw == nil {
		return igd.Way{}, errors.New("there is no router upstream: the host has no default route")
	}
	gw, ok := netip.AddrFromSlice(routes[0].Gw)
	src, ok2 := netip.AddrFromSlice(routes[0].Src)
	if !ok || !ok2 {
		return igd.Way{}, errors.New("the default route names no router")
	}
	return igd.Way{Gateway: gw.Unmap(), Local: src.Unmap()}, nil
}

// addresses finds those by which the internet reaches the cell: the host's
// own, or that of the router upstream where it told.
func (s *Server) addresses() (a ddns.Addresses, err error) {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return a, fmt.Errorf("listing addresses: %w", err)
	}
	for _, e := range all {
		ip, _ := netip.AddrFromSlice(e.IP)
		ip = ip.Unmap()
		const passing = unix.IFA_F_TEMPORARY | unix.IFA_F_DEPRECATED | unix.IFA_F_TENTATIVE
		switch {
		case !ddns.Public(ip) || e.Flags&passing != 0:
		case ip.Is4() && !a.Four.IsValid():
			a.Four = ip
		case ip.Is6() && !a.Six.IsValid():
			a.Six = ip
		}
	}
	if st := s.Upstream(); !a.Four.IsValid() && st.Method != "" && !st.Shared() && ddns.Public(st.External.Addr()) {
		a.Four = st.External.Addr()
	}
	if a == (ddns.Addresses{}) {
		return a, errors.New("the public address is not known: the cell stands behind a router; set wireguard.openPort so that it is asked")
	}
	return a, nil
}
