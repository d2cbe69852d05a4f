package router

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/core/config"
	"pic/core/service"
	"pic/internal/order"
	"pic/netstack/router/dhcp4"
	"pic/netstack/router/dhcp6"
)

// A Home is a network of the household's own. Whatever the line says, the way
// there does not lead out by the WAN.
type Home struct {
	Net     netip.Prefix
	Name    string // as in "the LAN"
	Setting string // of the document
}

// homesOf are the networks on this side of the line: the LAN, the VPN, linked
// cells, and what is behind devices.
func homesOf(d *config.Document) []Home {
	var out []Home
	add := func(name, setting string, nets ...netip.Prefix) {
		for _, n := range nets {
			if n.IsValid() {
				out = append(out, Home{n.Masked(), name, setting})
			}
		}
	}
	add("the LAN", "network.lan.address", d.Network.LAN.Address)
	add("the LAN", "network.lan.address6", d.Network.LAN.Address6)
	if config.On(d.WireGuard.Enabled) {
		add("the VPN", "wireguard.subnet", d.WireGuard.Subnet)
		add("the VPN", "wireguard.subnet6", d.WireGuard.Subnet6)
	}
	for _, l := range d.Links {
		if !l.Disabled {
			add("the linked cell "+l.Name, "links."+l.Name+".subnets", l.Subnets...)
		}
	}
	for i := range d.Peers {
		if p := &d.Peers[i]; !p.Disabled {
			add("the network behind "+p.Name, "peers."+p.Name+".site", p.Site...)
		}
	}
	return out
}

// widest are the bits of the widest network that a line can have: a wider one, or
// a way to it, is no network but a part of the internet, and wins over the default
// route of anybody else (CVE-2024-3661, "TunnelVision").
const (
	widest  = 8
	widest6 = 16
)

// claimed finds the home that would lose addresses to a network of the line: one
// that the network is within, or that one of the hosts is in.
func (c Config) claimed(n netip.Prefix, hosts ...netip.Addr) *Home {
	for i := range c.Homes {
		h := &c.Homes[i]
		if h.Net.Bits() <= n.Bits() && h.Net.Contains(n.Addr()) || slices.ContainsFunc(hosts, h.Net.Contains) {
			return h
		}
	}
	return nil
}

// overlapped finds a home that has addresses in common with n.
func (c Config) overlapped(n netip.Prefix) *Home {
	for i := range c.Homes {
		if c.Homes[i].Net.Overlaps(n) {
			return &c.Homes[i]
		}
	}
	return nil
}

// usable is the lease as far as it can be in force: nil where its network is a
// home's, or the whole internet.
func (c Config) usable(l *dhcp4.Lease) *dhcp4.Lease {
	if l == nil || c.unusable(l) != nil {
		return nil
	}
	return l
}

// unusable is the home for whose sake a lease is not in force.
func (c Config) unusable(l *dhcp4.Lease) *Home {
	hosts := []netip.Addr{l.Address.Addr()}
	for _, w := range l.Ways() {
		if w.To.Bits() == 0 && w.Via.IsValid() {
			hosts = append(hosts, w.Via)
		}
	}
	return c.claimed(l.Address.Masked(), hosts...)
}

// ways parts the routes of a lease in those that are gone and those that are not.
func (c Config) ways(l *dhcp4.Lease) (good, bad []dhcp4.Route) {
	for _, w := range l.Ways() {
		var via []netip.Addr
		if w.Via.IsValid() {
			via = append(via, w.Via)
		}
		if c.claimed(w.To, via...) != nil || w.To.Bits() > 0 && w.To.Bits() < widest {
			bad = append(bad, w)
			continue
		}
		good = append(good, w)
	}
	return good, bad
}

// takes reports whether the LAN gets its part of a delegated prefix.
func (c Config) takes(p netip.Prefix) bool { return dhcp6.Delegable(p) && c.overlapped(p) == nil }

// clash is what the line says that cannot be, as a problem.
func (c Config) clash(four *dhcp4.Lease, six *dhcp6.Lease, strays []netip.Prefix) *service.Problem {
	if four != nil {
		if h := c.unusable(four); h != nil {
			return &service.Problem{
				Code: codeClash, Severity: service.Failure, Title: "The provider's network is one of the household's own",
				Text: fmt.Sprintf("The WAN was given %s, and %s is %s: the cell cannot tell the two apart, so it does not use the WAN's address.", four.Address, h.Name, h.Net),
				Fix:  fmt.Sprintf("Give %s another network: set %s, for example to %s.", h.Name, h.Setting, c.spare(four.Address.Masked())),
			}
		}
		if h := c.overlapped(four.Address.Masked()); h != nil {
			return &service.Problem{
				Code: codeClash, Severity: service.Warning, Title: "The provider's network overlaps one of the household's own",
				Text: fmt.Sprintf("The WAN was given %s, in which %s, %s, lies. Addresses there are the household's; the provider's hosts of the same addresses are not reached.", four.Address, h.Name, h.Net),
				Fix:  fmt.Sprintf("If something of the provider is missing, set %s, for example to %s.", h.Setting, c.spare(four.Address.Masked())),
			}
		}
	}
	var said []string
	if four != nil {
		_, bad := c.ways(four)
		for _, w := range bad {
			said = append(said, "a route to "+w.To.String())
		}
	}
	if six != nil {
		for _, p := range six.Prefixes {
			if !c.takes(p.Net) {
				said = append(said, "the prefix "+p.Net.String())
			}
		}
		for _, a := range six.Addresses {
			if c.claimed(single(a.Addr)) != nil {
				said = append(said, "the address "+a.Addr.String())
			}
		}
	}
	for _, n := range strays {
		said = append(said, "the advertised network "+n.String())
	}
	if len(said) == 0 {
		return nil
	}
	const most = 8
	if len(said) > most {
		said = append(said[:most], fmt.Sprintf("%d more", len(said)-most))
	}
	return &service.Problem{
		Code: codeClash, Severity: service.Warning, Title: "The provider claims networks that are not its own",
		Text: "What it says of these is not followed, for they are the household's, or no network that a line can have: " + strings.Join(said, ", ") + ".",
		Fix: "If a service of the provider is missing, such as television, give the LAN or the VPN other networks (network.lan, wireguard.subnet). " +
			"Otherwise ask the provider; somebody else on the line may pose as its server.",
	}
}

// spare is a network for a LAN that nobody has.
func (c Config) spare(wan netip.Prefix) netip.Prefix {
	for _, text := range []string{"192.168.77.1/24", "10.77.77.1/24", "172.27.77.1/24"} {
		if p := netip.MustParsePrefix(text); !p.Overlaps(wan) && c.overlapped(p) == nil {
			return p
		}
	}
	return netip.MustParsePrefix("192.168.177.1/24")
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// strayFor is how long the networks in advertisements are not followed after one
// of them was a home's.
const strayFor = time.Hour

// dropStrays takes away what the kernel has from advertisements on the WAN's card
// and the household cannot bear, and says which networks they are.
func (k *kernel) dropStrays(c Config, p plan) ([]netip.Prefix, error) {
	if !hasIPv6() {
		return nil, nil
	}
	link, err := linkNamed(c.WAN.Name)
	if err != nil {
		return nil, err
	}
	var found []netip.Prefix
	var errs []error
	have, err := netlink.AddrList(link, netlink.FAMILY_V6)
	errs = append(errs, err)
	for _, a := range have {
		n := prefix(a.IPNet)
		if a.Flags&unix.IFA_F_PERMANENT != 0 || c.claimed(single(n.Addr())) == nil ||
			slices.ContainsFunc(p.addrs, func(w address) bool { return w.Card == c.WAN.Name && w.Net == n }) {
			continue
		}
		found = append(found, n.Masked())
		if err := k.dropAddress(link, n); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			errs = append(errs, fmt.Errorf("address %s of an advertisement: %w", n, err))
		}
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{LinkIndex: link.Attrs().Index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	errs = append(errs, err)
	for _, r := range routes {
		to := prefix(r.Dst)
		if r.Protocol != unix.RTPROT_KERNEL && r.Protocol != unix.RTPROT_RA || !to.IsValid() || to.Bits() == 0 ||
			to.Bits() >= widest6 && c.claimed(to) == nil {
			continue
		}
		found = append(found, to)
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("route to %s of an advertisement: %w", to, err))
		}
	}
	order.By(found, netip.Prefix.Compare)
	return slices.Compact(found), errors.Join(errs...)
}
