package netstack

import (
	"slices"

	"pic/netstack/exit"
	"pic/netstack/wgdev"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// usualMTU is the MTU of a tunnel where nobody has chosen another. It alone
// yields to the way out: what was chosen is kept.
const usualMTU = 1420

// fitted is the MTU of a tunnel whose packets leave by a line of the MTU wan, 0
// for one that is not known.
func fitted(said, wan int) int {
	if said != usualMTU || wan == 0 {
		return said
	}
	return min(said, wgdev.PathMTU(wan))
}

// way is the MTU of the line by which what WireGuard sends leaves the host: the
// least of the WAN's and of all default routes, which may say one of their own. It
// is 0 while there is no such line.
func (h *host) way(c Config) int {
	mtu := 0
	least := func(n int) {
		if n > 0 && (mtu == 0 || n < mtu) {
			mtu = n
		}
	}
	wan := -1
	if c.WAN != "" {
		link, err := netlink.LinkByName(c.WAN)
		if err != nil {
			return 0 // it may come
		}
		wan = link.Attrs().Index
		least(link.Attrs().MTU)
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		// Without a destination it asks for the default routes.
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
		if err != nil {
			continue
		}
		for _, r := range routes {
			for _, card := range cards(r) {
				if wan >= 0 && card != wan {
					continue
				}
				link, err := netlink.LinkByIndex(card)
				if err != nil || link.Attrs().Name == c.Interface {
					continue
				}
				least(link.Attrs().MTU)
				least(r.MTU)
			}
		}
	}
	return mtu
}

// cards are the interfaces that a route leads to.
func cards(r netlink.Route) []int {
	if len(r.MultiPath) == 0 {
		return []int{r.LinkIndex}
	}
	var out []int
	for _, h := range r.MultiPath {
		out = append(out, h.LinkIndex)
	}
	return out
}

// measure asks for the MTU of the way out. While there is none, that of the last
// one counts: most likely it comes back.
func (s *Server) measure(c Config) {
	if n := s.host.way(c); n > 0 {
		s.wan = n
	}
}

// otherWay reports whether the way out has another MTU than when the tunnel was
// last set.
func (s *Server) otherWay() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tunnel.Load(); t == nil || t.mode != TUN {
		return false
	}
	was := s.wan
	s.measure(s.conf)
	return was != s.wan
}

// MTU is that of the tunnel now, 0 while there is none.
func (s *Server) MTU() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tunnel.Load(); t != nil {
		return t.mtu
	}
	return 0
}

// fit gives exits the MTU that a way out of the MTU wan has room for.
func fit(exits []exit.Exit, wan int) []exit.Exit {
	exits = slices.Clone(exits)
	for i := range exits {
		exits[i].MTU = fitted(exits[i].MTU, wan)
	}
	return exits
}
