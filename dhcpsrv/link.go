package dhcpsrv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"pic/internal/ether"
)

const clientPort = 68

// A link is the sockets on one interface: UDP for what comes in and for clients
// with an address, raw Ethernet for those without, and ARP for probes.
type link struct {
	card   *net.Interface
	server netip.Addr
	port   uint16
	conn   *net.UDPConn
	raw    *packet.Conn
	arp    *packet.Conn
	closed atomic.Bool

	mu   sync.Mutex
	asks map[netip.Addr][]chan hardware // probes that wait for an ARP of the address
}

// errNoInterface says that the interface is not there now.
var errNoInterface = errors.New("the interface is not there")

type missingError string

func (e missingError) Error() string {
	return fmt.Sprintf("there is no interface %q on this host; `ip link` lists them", string(e))
}

func (missingError) Is(target error) bool { return target == errNoInterface }

// interfaceNamed finds an interface, or says how to get one.
func interfaceNamed(name string) (*net.Interface, error) {
	card, err := net.InterfaceByName(name)
	if err != nil {
		return nil, missingError(name)
	}
	if len(card.HardwareAddr) != 6 {
		return nil, fmt.Errorf("the interface %q is no Ethernet", name)
	}
	return card, nil
}

func openLink(c Config) (_ *link, err error) {
	l := &link{server: c.Server.Addr(), port: c.Port, asks: map[netip.Addr][]chan hardware{}}
	if l.card, err = interfaceNamed(c.Interface); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		var serr error
		cerr := rc.Control(func(fd uintptr) {
			serr = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
				unix.BindToDevice(int(fd), c.Interface),
			)
		})
		return errors.Join(cerr, serr)
	}}
	pc, err := lc.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(netip.IPv4Unspecified(), c.Port).String())
	if err != nil {
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w; DHCP needs root, or CAP_NET_BIND_SERVICE and CAP_NET_RAW", err)
		}
		return nil, fmt.Errorf("listen on %s port %d: %w", c.Interface, c.Port, err)
	}
	l.conn = pc.(*net.UDPConn)
	// Protocol 0 receives nothing: this socket only sends.
	if l.raw, err = packet.Listen(l.card, packet.Raw, 0, nil); err != nil {
		return nil, fmt.Errorf("raw socket on %s: %w; DHCP needs root or CAP_NET_RAW", c.Interface, err)
	}
	if l.arp, err = packet.Listen(l.card, packet.Raw, unix.ETH_P_ARP, nil); err != nil {
		return nil, fmt.Errorf("ARP socket on %s: %w", c.Interface, err)
	}
	return l, nil
}

func (l *link) close() {
	l.closed.Store(true)
	if l.conn != nil {
		l.conn.Close()
	}
	if l.raw != nil {
		l.raw.Close()
	}
	if l.arp != nil {
		l.arp.Close()
	}
}

// alive reports whether the interface is still the one that the sockets are on.
func (l *link) alive() bool {
	card, err := net.InterfaceByName(l.card.Name)
	return err == nil && card.Index == l.card.Index && !l.closed.Load()
}

// hasAddress reports whether the interface has the server's address.
func (l *link) hasAddress() bool {
	all, err := l.card.Addrs()
	if err != nil {
		return true // not known to be wrong
	}
	for _, a := range all {
		if p, ok := a.(*net.IPNet); ok && addr(p.IP) == l.server {
			return true
		}
	}
	return false
}

// read reads one datagram and tells whether it was sent to all.
func (l *link) read(buf []byte) (n int, toAll bool, err error) {
	var oob [128]byte
	n, oobn, _, _, err := l.conn.ReadMsgUDPAddrPort(buf, oob[:])
	if err != nil {
		return 0, false, err
	}
	return n, !destination(oob[:oobn]).IsValid() || destination(oob[:oobn]) != l.server, nil
}

// destination is the address that a datagram was sent to.
func destination(oob []byte) netip.Addr {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range msgs {
		// struct in_pktinfo: interface, local address, address of the header
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= 12 {
			return netip.AddrFrom4([4]byte(m.Data[8:12]))
		}
	}
	return netip.Addr{}
}

// udp sends to a device or relay that has an address, from the server's own:
// the interface may have others.
func (l *link) udp(to netip.AddrPort, b []byte) error {
	oob := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(l.card.Index), Spec_dst: l.server.As4()})
	_, _, err := l.conn.WriteMsgUDPAddrPort(b, oob, to)
	return err
}

// send delivers an answer as RFC 2131 §4.1 says.
func (l *link) send(m *message, r *dhcpv4.DHCPv4) error {
	b := r.ToBytes()
	relay := addr(m.GatewayIPAddr)
	nak := r.MessageType() == dhcpv4.MessageTypeNak
	switch {
	case relay.IsValid():
		return l.udp(netip.AddrPortFrom(relay, l.port), b)
	case m.ciaddr.IsValid() && !nak:
		return l.udp(netip.AddrPortFrom(m.ciaddr, clientPort), b)
	case nak || m.IsBroadcast() || !addr(r.YourIPAddr).IsValid():
		return l.ether(ether.Everyone(), netip.AddrFrom4([4]byte{255, 255, 255, 255}), b)
	}
	return l.ether(m.ClientHWAddr, addr(r.YourIPAddr), b)
}

// ether sends a UDP datagram to a device that cannot be asked for its hardware
// address, since it has no IP address yet.
func (l *link) ether(to net.HardwareAddr, ip netip.Addr, payload []byte) error {
	frame := ether.Datagram(l.card.HardwareAddr, to, netip.AddrPortFrom(l.server, l.port), netip.AddrPortFrom(ip, clientPort), payload)
	_, err := l.raw.WriteTo(frame, &packet.Addr{HardwareAddr: to})
	return err
}
