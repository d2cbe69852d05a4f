package netstack

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/netstack/exit"
	"pic/netstack/policy"
)

// A Remark is what else there is to say of a flow.
type Remark struct {
	OK   bool // it stands in nobody's way
	Text string
}

// Explain decides on a flow by the policy in force and by the kernel's routes,
// which know what addresses do not say: a router behind another has networks on
// both sides that the internet does not know, and one of them may be the VPN's.
// Without a policy nothing is allowed.
func (s *Server) Explain(f policy.Flow) (policy.Verdict, []Remark) {
	p := s.policy.Load()
	if p == nil {
		return policy.Verdict{Why: "no policy is in force"}, nil
	}
	s.mu.Lock()
	c, filters := s.conf, s.filters
	s.mu.Unlock()
	if !filters {
		return p.Decide(f), nil // no packet of it meets the host's routes
	}
	src, dst := leg(f.Src), leg(f.Dst)
	var out []Remark
	for _, end := range []struct {
		a  netip.Addr
		is string
	}{{f.Src, src}, {f.Dst, dst}} {
		if c.astray(p, end.a, end.is) {
			out = append(out, Remark{Text: fmt.Sprintf("%s is an address of the VPN, but this host reaches it by %s, whose network has it too; "+
				"give the VPN another network (wireguard.subnet), or have the other one changed", end.a, end.is)})
		}
	}
	if c.Rules.Router {
		switch src {
		case "", c.Interface:
		case c.WAN:
			f.In = policy.ToWAN
		case c.LAN:
			f.In = policy.ToLAN
		}
	}
	v := p.Decide(f)
	private := policy.Within(f.Dst, policy.Private)
	switch {
	case f.In == policy.ToWAN && policy.Within(f.Src, policy.Private):
		out = append(out, Remark{true, fmt.Sprintf("%s comes in by %s, so it is outside, though its address is private", f.Src, c.WAN)})
	case c.WAN != "" && c.WAN != c.LAN && dst == c.WAN && v.Way == policy.ToLAN && private:
		v.Way = policy.ToWAN
		out = append(out, Remark{true, fmt.Sprintf("%s is reached by %s, so it is outside, but its address is private and counts as the LAN", f.Dst, c.WAN)})
	}
	return v, out
}

// astray reports whether an address is in the tunnel by the policy, and elsewhere
// by the kernel's routes.
func (c Config) astray(p *policy.Policy, a netip.Addr, card string) bool {
	return c.Mode == TUN && card != "" && card != c.Interface && p.Tunnelled(a) &&
		!slices.ContainsFunc(c.Exits, func(e exit.Exit) bool { return e.Interface == card })
}

// leg is the interface by which the kernel reaches an address; empty where that is
// itself, or not known.
func leg(a netip.Addr) string {
	routes, err := netlink.RouteGet(a.AsSlice())
	if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_UNICAST {
		return ""
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return ""
	}
	return link.Attrs().Name
}
