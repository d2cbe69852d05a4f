package netstack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

const tunDevice = "/dev/net/tun"

// tunBatch is how many packets WireGuard takes from its socket at once. It is
// the longest run of datagrams that the kernel merges; the interface joins them
// again, so that fewer would cost throughput.
const tunBatch = 64

// canTUN reports why this process cannot make a TUN interface.
func canTUN() error {
	f, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// Attaching needs CAP_NET_ADMIN; so does this, and it changes nothing.
	var hdr unix.CapUserHeader
	var data [2]unix.CapUserData
	hdr.Version = unix.LINUX_CAPABILITY_VERSION_3
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return fmt.Errorf("CAP_NET_ADMIN: %w", unix.EPERM)
	}
	return nil
}

// openTUN makes the interface. It is without addresses and down, and goes away
// when the device is closed or the process ends.
func openTUN(name string) (tun.Device, string, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("opening %s: %w", tunDevice, err)
	}
	file := os.NewFile(uintptr(fd), tunDevice)
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		file.Close()
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EINVAL) {
			return nil, "", errTaken(name, err)
		}
		return nil, "", fmt.Errorf("making the interface %s: %w", name, err)
	}
	// The file becomes one that waits in the runtime's poller only after the
	// ioctl, so it is wrapped anew.
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	file.Close()
	if err != nil {
		return nil, "", fmt.Errorf("making the interface %s: %w", name, err)
	}
	file = os.NewFile(uintptr(dup), tunDevice)
	dev, err := tun.CreateTUNFromFile(file, wireguardMTU)
	if err != nil {
		file.Close()
		return nil, "", fmt.Errorf("making the interface %s: %w", name, err)
	}
	return dev, name, nil
}

func errTaken(name string, err error) error {
	return fmt.Errorf("making the interface %s: there is one of that name; remove it or choose another name (wireguard.interface): %w", name, err)
}

// wireguardMTU is that of a new interface until dress sets its own.
const wireguardMTU = 1420

// dress gives the interface its MTU and addresses, takes away others, and sets
// it up.
func dress(name string, c Config) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if link.Attrs().MTU != c.MTU {
		if err := netlink.LinkSetMTU(link, c.MTU); err != nil {
			return fmt.Errorf("interface %s: MTU %d: %w", name, c.MTU, err)
		}
	}
	want := c.Addresses
	if !hasIPv6() {
		want = slices.DeleteFunc(slices.Clone(want), func(p netip.Prefix) bool { return p.Addr().Is6() })
	}
	have, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", name, err)
	}
	for _, a := range want {
		if slices.ContainsFunc(have, func(h netlink.Addr) bool { return prefix(h.IPNet) == a }) {
			continue
		}
		na := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			na.Flags = unix.IFA_F_NODAD // nobody else is on the link
		}
		if err := netlink.AddrReplace(link, na); err != nil {
			return fmt.Errorf("address %s on %s: %w", a, name, err)
		}
	}
	for _, h := range have {
		if h.IP.IsLinkLocalUnicast() || slices.Contains(want, prefix(h.IPNet)) {
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

func hasIPv6() bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/default/disable_ipv6")
	return err == nil && len(b) > 0 && b[0] == '0'
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefix is the zero Prefix for what is none.
func prefix(n *net.IPNet) netip.Prefix {
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
