package router

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/internal/order"
)

// A Route is an entry of the host's routing tables.
type Route struct {
	To          netip.Prefix // 0.0.0.0/0 or ::/0: the default
	Via         netip.Addr   // not valid: directly
	Interface   string       // empty: unreachable
	Source      netip.Addr
	Metric      int
	Table       int // 254 is the main one
	Origin      string
	Unreachable bool
}

// A Rule says which packets look into which table.
type Rule struct {
	Priority int
	From, To netip.Prefix // not valid: any
	Mark     uint32
	Mask     uint32
	In       string // interface
	Table    int
	Six      bool
}

// The exits have the tables from exitTable+1 on.
const (
	exitTable = 51800
	mostExits = 16
)

// origins are the names of route protocols, as iproute2 has them.
var origins = map[int]string{
	unix.RTPROT_REDIRECT: "redirect", unix.RTPROT_KERNEL: "kernel", unix.RTPROT_BOOT: "boot", unix.RTPROT_STATIC: "static",
	unix.RTPROT_RA: "ra", unix.RTPROT_DHCP: "dhcp", Protocol: "pic",
}

// Routes returns the host's main routing table and those of the exits, the most
// special routes of each first.
func (*Server) Routes() ([]Route, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing network cards: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var out []Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, fmt.Errorf("listing routes: %w", err)
		}
		for _, r := range list {
			if r.Table != unix.RT_TABLE_MAIN && (r.Table <= exitTable || r.Table > exitTable+mostExits) {
				continue
			}
			out = append(out, describe(r, family, names))
		}
	}
	order.Stable(out, func(a, b Route) int {
		return cmp.Or(
			cmp.Compare(a.Table, b.Table), cmp.Compare(a.To.Addr().BitLen(), b.To.Addr().BitLen()),
			cmp.Compare(b.To.Bits(), a.To.Bits()), a.To.Addr().Compare(b.To.Addr()), cmp.Compare(a.Metric, b.Metric),
		)
	})
	return out, nil
}

func describe(r netlink.Route, family int, names map[int]string) Route {
	to := prefix(r.Dst)
	switch {
	case to.IsValid():
	case family == netlink.FAMILY_V6:
		to = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	default:
		to = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	via, _ := netip.AddrFromSlice(r.Gw)
	src, _ := netip.AddrFromSlice(r.Src)
	out := Route{
		To: to, Via: via.Unmap(), Interface: names[r.LinkIndex], Source: src.Unmap(), Metric: r.Priority, Table: r.Table,
		Origin: origins[int(r.Protocol)],
	}
	if out.Origin == "" {
		out.Origin = strconv.Itoa(int(r.Protocol))
	}
	if r.Type == unix.RTN_UNREACHABLE || r.Type == unix.RTN_BLACKHOLE || r.Type == unix.RTN_PROHIBIT {
		out.Unreachable, out.Interface = true, ""
	}
	return out
}

// Rules returns the host's routing rules beyond those that every host has.
func (*Server) Rules() ([]Rule, error) {
	var out []Rule
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.RuleList(family)
		if err != nil {
			return nil, fmt.Errorf("listing routing rules: %w", err)
		}
		for _, r := range list {
			if r.Priority <= 0 || r.Priority >= 32766 {
				continue
			}
			rule := Rule{
				Priority: r.Priority, From: prefix(r.Src), To: prefix(r.Dst), Mark: r.Mark, In: r.IifName, Table: r.Table,
				Six: family == netlink.FAMILY_V6,
			}
			if r.Mask != nil {
				rule.Mask = *r.Mask
			}
			out = append(out, rule)
		}
	}
	order.Stable(out, func(a, b Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	return out, nil
}
