package dhcpsrv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

const clientPort = 68

// A link is the sockets on one interface: UDP for what comes in and for clients
// with an address, raw Ethernet for those without, and ARP for probes.
type link struct {
	log    *slog.Logger
	card   *net.Interface
	server netip.Addr
	port   uint16
	conn   *net.UDPConn
	raw    *packet.Conn
	arp    *packet.Conn
	closed atomic.Bool

	mu   sync.Mutex
	asks map[netip.Addr][]chan struct{} // probes that wait for an ARP of the address
}

// interfaceNamed finds an interface, or says how to get one.
func interfaceNamed(name string) (*net.Interface, error) {
	card, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("there is no interface %q on this host; `ip link` lists them", name)
	}
	if len(card.HardwareAddr) != 6 {
		return nil, fmt.Errorf("the interface %q is no Ethernet", name)
	}
	return card, nil
}

func openLink(c Config, log *slog.Logger) (_ *link, err error) {
	l := &link{log: log, server: c.Server.Addr(), port: c.Port, asks: map[netip.Addr][]chan struct{}{}}
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

// send delivers an answer as RFC 2131 §4.1 says.
func (l *link) send(m *message, r *dhcpv4.DHCPv4) error {
	b := r.ToBytes()
	relay := addr(m.GatewayIPAddr)
	nak := r.MessageType() == dhcpv4.MessageTypeNak
	switch {
	case relay.IsValid():
		_, err := l.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(relay, l.port))
		return err
	case m.ciaddr.IsValid() && !nak:
		_, err := l.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(m.ciaddr, clientPort))
		return err
	case nak || m.IsBroadcast() || !addr(r.YourIPAddr).IsValid():
		return l.ether(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, netip.AddrFrom4([4]byte{255, 255, 255, 255}), b)
	}
	return l.ether(m.ClientHWAddr, addr(r.YourIPAddr), b)
}

// ether sends a UDP datagram to a device that cannot be asked for its hardware
// address, since it has no IP address yet.
func (l *link) ether(to net.HardwareAddr, ip netip.Addr, payload []byte) error {
	frame := datagram(l.card.HardwareAddr, to, l.server, ip, l.port, clientPort, payload)
	_, err := l.raw.WriteTo(frame, &packet.Addr{HardwareAddr: to})
	return err
}

// datagram builds an Ethernet frame with an IPv4 (RFC 791) UDP (RFC 768) datagram.
func datagram(from, to net.HardwareAddr, src, dst netip.Addr, sport, dport uint16, payload []byte) []byte {
	const eth, ip, udp = 14, 20, 8
	f := make([]byte, eth+ip+udp+len(payload))
	be := binary.BigEndian
	copy(f, to)
	copy(f[6:], from)
	be.PutUint16(f[12:], unix.ETH_P_IP)

	h := f[eth:]
	h[0] = 4<<4 | ip/4
	be.PutUint16(h[2:], uint16(ip+udp+len(payload)))
	h[8], h[9] = 64, unix.IPPROTO_UDP
	s, d := src.As4(), dst.As4()
	copy(h[12:], s[:])
	copy(h[16:], d[:])
	be.PutUint16(h[10:], ^sum(0, h[:ip]))

	u := h[ip:]
	be.PutUint16(u, sport)
	be.PutUint16(u[2:], dport)
	be.PutUint16(u[4:], uint16(udp+len(payload)))
	copy(u[udp:], payload)
	pseudo := uint32(unix.IPPROTO_UDP) + uint32(udp+len(payload))
	check := ^sum(pseudo+uint32(sum(0, h[12:20])), u)
	if check == 0 {
		check = 0xffff // 0 would mean: no checksum
	}
	be.PutUint16(u[6:], check)
	return f
}

// sum is the one's complement sum of RFC 1071.
func sum(acc uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		acc += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

// A probe waits this long for an answer, twice.
const probeWait = 150 * time.Millisecond

// inUse asks the LAN whether some device has the address.
func (l *link) inUse(a netip.Addr) bool {
	heard := make(chan struct{}, 1)
	l.mu.Lock()
	l.asks[a] = append(l.asks[a], heard)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.asks, a) // who else asks for it hears the same
	}()
	for range 2 {
		if err := l.askARP(a); err != nil {
			l.log.Debug("ARP probe failed", "addr", a, "err", err)
			return false
		}
		select {
		case <-heard:
			return true
		case <-time.After(probeWait):
		}
	}
	return false
}

// askARP sends an ARP probe: a request with no sender address (RFC 5227 §2.1.1).
func (l *link) askARP(a netip.Addr) error {
	f := make([]byte, 60) // the least that Ethernet carries
	be := binary.BigEndian
	all := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	copy(f, all)
	copy(f[6:], l.card.HardwareAddr)
	be.PutUint16(f[12:], unix.ETH_P_ARP)
	be.PutUint16(f[14:], 1) // Ethernet
	be.PutUint16(f[16:], unix.ETH_P_IP)
	f[18], f[19] = 6, 4
	be.PutUint16(f[20:], 1) // request
	copy(f[22:], l.card.HardwareAddr)
	target := a.As4()
	copy(f[38:], target[:])
	_, err := l.arp.WriteTo(f, &packet.Addr{HardwareAddr: all})
	return err
}

// listenARP wakes the probes for addresses that devices show they have.
func (l *link) listenARP() {
	buf := make([]byte, 1600)
	for {
		n, _, err := l.arp.ReadFrom(buf)
		if err != nil {
			if l.closed.Load() || !l.alive() {
				return
			}
			continue
		}
		sender, ok := arpSender(buf[:n])
		if !ok {
			continue
		}
		l.mu.Lock()
		for _, heard := range l.asks[sender] {
			select {
			case heard <- struct{}{}:
			default:
			}
		}
		l.mu.Unlock()
	}
}

// arpSender is the IPv4 address that the sender of an ARP frame has.
func arpSender(f []byte) (netip.Addr, bool) {
	be := binary.BigEndian
	if len(f) < 42 || be.Uint16(f[12:]) != unix.ETH_P_ARP || be.Uint16(f[16:]) != unix.ETH_P_IP || f[18] != 6 || f[19] != 4 {
		return netip.Addr{}, false
	}
	a := netip.AddrFrom4([4]byte(f[28:32]))
	return a, !a.IsUnspecified()
}
