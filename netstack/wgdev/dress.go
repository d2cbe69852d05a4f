package wgdev

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Overhead is what the tunnel adds to a packet at most, in bytes: an IPv6 and a
// UDP header, WireGuard's header and its tag.
const Overhead = 40 + 8 + 16 + 16

// minMTU is the least that IPv6 needs.
const minMTU = 1280

// PathMTU is the MTU for a tunnel over an interface of this MTU, 0 for the usual
// 1500: the largest packet that goes through in one piece, be the way IPv4 or
// IPv6. It is 1420 for 1500, 1412 for the 1492 of PPPoE, and never below the
// 1280 that IPv6 asks for.
func PathMTU(wan int) int {
	if wan == 0 {
		wan = 1500
	}
	return min(max(wan-Overhead, minMTU), 1<<16-1-Overhead)
}

// Dress gives the interface its MTU and addresses, takes away others, and sets
// it up.
func Dress(name string, mtu int, want []netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if link.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("interface %s: MTU %d: %w", name, mtu, err)
		}
	}
	if !HasIPv6() {
		want = slices.DeleteFunc(slices.Clone(want), func(p netip.Prefix) bool { return p.Addr().Is6() })
	}
	have, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", name, err)
	}
	for _, a := range want {
		if slices.ContainsFunc(have, func(h netlink.Addr) bool { return Prefix(h.IPNet) == a }) {
			continue
		}
		na := &netlink.Addr{IPNet: IPNet(a)}
		if a.Addr().Is6() {
			na.Flags = unix.IFA_F_NODAD // nobody else is on the link
		}
		if err := netlink.AddrReplace(link, na); err != nil {
			return fmt.Errorf("address %s on %s: %w", a, name, err)
		}
	}
	for _, h := range have {
		if h.IP.IsLinkLocalUnicast() || slices.Contains(want, Prefix(h.IPNet)) {
			continue
		}
		if err := netlink.AddrDel(link, &h); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("old address %s on %s: %w", h.IPNet, name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", name, err)
	}
	return nil
}

// HasIPv6 reports whether interfaces get IPv6 addresses at all.
func HasIPv6() bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/default/disable_ipv6")
	return err == nil && len(b) > 0 && b[0] == '0'
}

// Prefix is n in the form of netip; the zero Prefix for what is none.
func Prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	a = a.Unmap()
	if !ok || size != a.BitLen() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, bits)
}

// IPNet is p as netlink wants it.
func IPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
