package nettest

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A Lab is a network made for one test and gone after it. Use [New].
type Lab struct {
	t    testing.TB
	self *Host
}

// New returns a lab without hosts and cables. It calls [NeedNamespace].
func New(t testing.TB) *Lab {
	t.Helper()
	NeedNamespace(t)
	return &Lab{t: t}
}

// Host adds a host: a namespace with loopback and nothing else.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	return newHost(l.t, name)
}

// Self is the host that the test process itself is. It is shared by all tests
// of the process, so tests that use it must not run in parallel; its cables are
// removed at the end of the test, other changes to it stay.
func (l *Lab) Self() *Host {
	l.t.Helper()
	if l.self == nil {
		ns, err := netns.GetFromPath("/proc/self/ns/net")
		if err != nil {
			l.t.Fatalf("opening the own namespace: %v", err)
		}
		l.t.Cleanup(func() { ns.Close() })
		l.self = &Host{Name: "self", t: l.t, ns: ns}
	}
	return l.self
}

// Link joins two hosts by a cable (veth) between the interfaces that it names
// and sets up. An address is written as "192.0.2.1/24" or "2001:db8::1/64";
// empty gives none, and [Host.Addr] gives more.
func (l *Lab) Link(a *Host, ifA, addrA string, b *Host, ifB, addrB string) {
	l.t.Helper()
	a.must(func() error { return cable(ifA, ifB, b.ns) })
	ends := []struct {
		h          *Host
		card, addr string
	}{{a, ifA, addrA}, {b, ifB, addrB}}
	for _, end := range ends {
		l.plug(end.h, end.card)
	}
	for _, end := range ends {
		end.h.carrier(end.card)
		if end.addr != "" {
			end.h.Addr(end.card, end.addr)
		}
	}
}

// plug sets an interface of the host up and, on Self, marks it for removal.
func (l *Lab) plug(h *Host, card string) {
	l.t.Helper()
	h.must(func() error { return up(card) })
	if h == l.self {
		l.t.Cleanup(func() { h.Do(func() error { return remove(card) }) })
	}
}

// carrier waits until the kernel has noticed that the cable is plugged in.
func (h *Host) carrier(card string) {
	h.t.Helper()
	WaitFor(h.t, 5*time.Second, func() bool {
		var link netlink.Link
		err := h.Do(func() (err error) {
			link, err = netlink.LinkByName(card)
			return err
		})
		return err == nil && link.Attrs().OperState == netlink.OperUp
	})
}

// A Bridge is a switch: whatever joins it shares one Ethernet.
type Bridge struct {
	lab   *Lab
	host  *Host
	ports int
}

// Bridge adds a switch.
func (l *Lab) Bridge(name string) *Bridge {
	l.t.Helper()
	h := newHost(l.t, name)
	h.must(func() error {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
		if err := netlink.LinkAdd(br); err != nil {
			return fmt.Errorf("adding a bridge: %w", err)
		}
		return up("br0")
	})
	return &Bridge{lab: l, host: h}
}

// Join plugs the host's interface, which it makes, into the switch.
func (b *Bridge) Join(h *Host, card string, addrs ...string) {
	b.host.t.Helper()
	port := fmt.Sprintf("port%d", b.ports)
	b.ports++
	b.host.must(func() error {
		if err := cable(port, card, h.ns); err != nil {
			return err
		}
		link, err := netlink.LinkByName(port)
		if err != nil {
			return err
		}
		br, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(link, br); err != nil {
			return fmt.Errorf("plugging in %s: %w", port, err)
		}
		return up(port)
	})
	b.lab.plug(h, card)
	h.carrier(card)
	for _, a := range addrs {
		h.Addr(card, a)
	}
}

// Addr adds an address such as "192.0.2.1/24" to an interface of the host.
func (h *Host) Addr(card, addr string) {
	h.t.Helper()
	h.must(func() error {
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return fmt.Errorf("address %s: %w", addr, err)
		}
		link, err := netlink.LinkByName(card)
		if err != nil {
			return fmt.Errorf("interface %s: %w", card, err)
		}
		if a.IP.To4() == nil {
			a.Flags = 0x02 // IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("adding %s to %s: %w", addr, card, err)
		}
		return nil
	})
}

// Route sends what is for the prefix, or everything of that family for
// "default", to the neighbour via.
func (h *Host) Route(prefix, via string) {
	h.t.Helper()
	h.must(func() error {
		gw, err := netip.ParseAddr(via)
		if err != nil {
			return err
		}
		dst := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if gw.Is4() {
			dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		if prefix != "default" {
			if dst, err = netip.ParsePrefix(prefix); err != nil {
				return err
			}
		}
		dst = dst.Masked()
		return netlink.RouteAdd(&netlink.Route{
			Dst: &net.IPNet{
				IP:   dst.Addr().AsSlice(),
				Mask: net.CIDRMask(dst.Bits(), dst.Addr().BitLen()),
			},
			Gw: gw.AsSlice(),
		})
	})
}

// Down pulls the cable out of an interface and Up plugs it in again. Routes of
// the interface are lost, as they are in life.
func (h *Host) Down(card string) {
	h.t.Helper()
	h.must(func() error {
		link, err := netlink.LinkByName(card)
		if err != nil {
			return fmt.Errorf("interface %s: %w", card, err)
		}
		return netlink.LinkSetDown(link)
	})
}

// Up sets an interface up.
func (h *Host) Up(card string) {
	h.t.Helper()
	h.must(func() error { return up(card) })
}

// cable makes a pair of interfaces: near here, far in the other namespace.
func cable(near, far string, other netns.NsHandle) error {
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: near},
		PeerName:      far,
		PeerNamespace: netlink.NsFd(other),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("joining %s and %s: %w", near, far, err)
	}
	return nil
}

func up(card string) error {
	link, err := netlink.LinkByName(card)
	if err != nil {
		return fmt.Errorf("interface %s: %w", card, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", card, err)
	}
	return nil
}

func remove(card string) error {
	link, err := netlink.LinkByName(card)
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}
