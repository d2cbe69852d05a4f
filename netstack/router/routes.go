package router

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ours lists the routes of the main table that have our mark.
func ours() ([]netlink.Route, error) {
	var out []netlink.Route
	for _, f := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if f == netlink.FAMILY_V6 && !hasIPv6() {
			continue
		}
		list, err := netlink.RouteListFiltered(f, &netlink.Route{Protocol: Protocol, Table: unix.RT_TABLE_MAIN},
			netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, fmt.Errorf("listing routes: %w", err)
		}
		out = append(out, list...)
	}
	return out, nil
}

// kernelRoute is r as the kernel wants it.
func kernelRoute(r route) (netlink.Route, error) {
	out := netlink.Route{
		Dst: ipNet(r.to), Protocol: Protocol, Priority: r.metric, Table: unix.RT_TABLE_MAIN, Family: family(r.to.Addr()),
	}
	if r.unreachable {
		out.Type = unix.RTN_UNREACHABLE
		return out, nil
	}
	link, err := linkNamed(r.card)
	if err != nil {
		return out, err
	}
	out.LinkIndex = link.Attrs().Index
	if r.via.IsValid() {
		out.Gw = r.via.AsSlice()
	} else {
		out.Scope = netlink.SCOPE_LINK
	}
	if r.src.IsValid() {
		out.Src = r.src.AsSlice()
	}
	return out, nil
}

// sameRoute tells whether two routes lead the same way.
func sameRoute(a, b netlink.Route) bool {
	dst := func(r netlink.Route) netip.Prefix {
		if p := prefix(r.Dst); p.IsValid() {
			return p
		}
		if r.Family == netlink.FAMILY_V6 {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	kind := func(r netlink.Route) int {
		if r.Type == 0 {
			return unix.RTN_UNICAST
		}
		return r.Type
	}
	if dst(a) != dst(b) || a.Priority != b.Priority || kind(a) != kind(b) {
		return false
	}
	// The kernel puts unreachable routes of IPv6 on lo.
	return kind(a) == unix.RTN_UNREACHABLE || a.LinkIndex == b.LinkIndex && a.Gw.Equal(b.Gw) && (a.Src == nil || b.Src == nil || a.Src.Equal(b.Src))
}

// dropRoutes removes what has our mark and is not wanted.
func (k *kernel) dropRoutes(p plan) error {
	have, err := ours()
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range have {
		wanted := false
		for _, r := range p.routes {
			w, err := kernelRoute(r)
			wanted = wanted || err == nil && sameRoute(h, w)
		}
		if wanted {
			continue
		}
		if err := netlink.RouteDel(&h); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("removing the route to %s: %w", h.Dst, err))
		}
	}
	return errors.Join(errs...)
}

func (k *kernel) addRoutes(p plan) error {
	if len(p.routes) == 0 {
		return nil
	}
	have, err := ours()
	if err != nil {
		return err
	}
	var errs []error
next:
	for _, r := range p.routes {
		if r.to.Addr().Is6() && !hasIPv6() {
			continue
		}
		w, err := kernelRoute(r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, h := range have {
			if sameRoute(h, w) {
				continue next
			}
		}
		err = netlink.RouteReplace(&w)
		if errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENETUNREACH) && r.via.IsValid() {
			continue // the cable is out; the change is told when it is in
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("route to %s: %w", r.to, err))
		}
	}
	return errors.Join(errs...)
}

// A foreign is a default route that another program has set on the WAN.
type foreign struct {
	via    netip.Addr
	origin netlink.RouteProtocol
}

// foreignDefault finds an IPv4 default route by the card that is not ours.
func (k *kernel) foreignDefault(card string) *foreign {
	link, err := linkNamed(card)
	if err != nil {
		return nil
	}
	list, err := netlink.RouteList(link, netlink.FAMILY_V4)
	if err != nil {
		return nil
	}
	for _, r := range list {
		if p := prefix(r.Dst); p.IsValid() && p.Bits() > 0 || r.Protocol == Protocol {
			continue
		}
		via, _ := netip.AddrFromSlice(r.Gw)
		return &foreign{via.Unmap(), r.Protocol}
	}
	return nil
}
