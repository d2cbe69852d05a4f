package netstack

import (
	"net/netip"
	"slices"
	"sync"

	"pic/internal/order"
	"pic/netstack/wgdev"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A host is what we see of the host's own network.
type host struct {
	mu        sync.Mutex
	listeners []func()
}

func newHost() *host { return &host{} }

func (h *host) onChange(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners = append(h.listeners, f)
}

func (h *host) tell() {
	h.mu.Lock()
	all := slices.Clone(h.listeners)
	h.mu.Unlock()
	for _, f := range all {
		f()
	}
}

func (h *host) addresses() []netip.Addr {
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range list {
		p := wgdev.Prefix(a.IPNet).Addr()
		if p.IsGlobalUnicast() && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			out = append(out, p)
		}
	}
	order.By(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// on returns the addresses of an interface, without link-local ones.
func (h *host) on(card string) []netip.Addr {
	link, err := netlink.LinkByName(card)
	if err != nil {
		return nil
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range list {
		if p := wgdev.Prefix(a.IPNet).Addr(); p.IsGlobalUnicast() {
			out = append(out, p)
		}
	}
	return out
}

// onLink returns the networks that an interface is in.
func (h *host) onLink(card string) []netip.Prefix {
	if card == "" {
		return nil
	}
	link, err := netlink.LinkByName(card)
	if err != nil {
		return nil
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil
	}
	var out []netip.Prefix
	for _, a := range list {
		if p := wgdev.Prefix(a.IPNet); p.Addr().IsGlobalUnicast() && !p.IsSingleIP() {
			out = append(out, p.Masked())
		}
	}
	return out
}

// A Route is an entry of the host's main routing table.
type Route struct {
	To        netip.Prefix `json:"to"`           // 0.0.0.0/0 or ::/0: the default
	Via       netip.Addr   `json:"via,omitzero"` // not valid: directly
	Interface string       `json:"interface,omitempty"`
	Source    netip.Addr   `json:"source,omitzero"`
	Metric    int          `json:"metric"`
	Origin    string       `json:"origin"` // kernel, dhcp, static, ra, …
}

// Routes returns the host's main routing table.
func (s *Server) Routes() ([]Route, error) {
	names := map[int]string{}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var out []Route
	for family, all := range map[int]netip.Prefix{
		netlink.FAMILY_V4: netip.PrefixFrom(netip.IPv4Unspecified(), 0),
		netlink.FAMILY_V6: netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	} {
		list, err := netlink.RouteList(nil, family)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			to := wgdev.Prefix(r.Dst)
			if !to.IsValid() {
				to = all
			}
			via, _ := netip.AddrFromSlice(r.Gw)
			src, _ := netip.AddrFromSlice(r.Src)
			out = append(out, Route{
				To: to, Via: via.Unmap(), Interface: names[r.LinkIndex], Source: src.Unmap(),
				Metric: r.Priority, Origin: r.Protocol.String(),
			})
		}
	}
	order.By(out, func(a, b Route) int {
		if c := a.To.Addr().Compare(b.To.Addr()); c != 0 {
			return c
		}
		if a.To.Bits() != b.To.Bits() {
			return a.To.Bits() - b.To.Bits()
		}
		return a.Metric - b.Metric
	})
	return out, nil
}
