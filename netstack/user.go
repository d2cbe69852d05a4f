package netstack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"pic/netstack/policy"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	nic = 1
	// queue is how many packets may wait for WireGuard. More only adds delay.
	queue = 256
	// userBatch is how many packets WireGuard moves at once; each costs it a
	// buffer of 64 KB.
	userBatch = 16
)

// A userNet is a TCP/IP stack within the process, with the cell's addresses, and
// the tun.Device on which WireGuard meets it. It differs from wireguard-go's own
// tun/netstack in that it can be closed while packets flow, moves several
// packets at once and lets the stack be reached.
type userNet struct {
	stack  *stack.Stack
	ep     *channel.Endpoint
	mtu    int
	policy atomic.Pointer[policy.Policy] // nil: nothing beyond the cell
	out    *outbound
	events chan tun.Event
	ctx    context.Context // done once closed
	cancel context.CancelFunc
	once   sync.Once
}

func newUserNet(log *slog.Logger, addrs []netip.Prefix, mtu int) (*userNet, error) {
	n := &userNet{
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		}),
		ep:     channel.New(queue, uint32(mtu), ""),
		mtu:    mtu,
		events: make(chan tun.Event),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	err := n.furnish(addrs)
	if err == nil {
		err = n.forward(log)
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *userNet) furnish(addrs []netip.Prefix) error {
	sack, cubic := tcpip.TCPSACKEnabled(true), tcpip.CongestionControlOption("cubic")
	for _, opt := range []tcpip.SettableTransportProtocolOption{&sack, &cubic} {
		if err := n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, opt); err != nil {
			return stackError("setting up TCP", err)
		}
	}
	if err := n.stack.CreateNIC(nic, n.ep); err != nil {
		return stackError("making an interface", err)
	}
	for _, a := range addrs {
		proto := protocol(a.Addr())
		pa := tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: tcpip.AddrFromSlice(a.Addr().AsSlice()).WithPrefix()}
		if err := n.stack.AddProtocolAddress(nic, pa, stack.AddressProperties{}); err != nil {
			return stackError("address "+a.Addr().String(), err)
		}
		all := header.IPv6EmptySubnet
		if a.Addr().Is4() {
			all = header.IPv4EmptySubnet
		}
		n.stack.AddRoute(tcpip.Route{Destination: all, NIC: nic})
	}
	return nil
}

func stackError(doing string, err tcpip.Error) error { return fmt.Errorf("%s: %s", doing, err) }

// obey sets the policy and ends connections that it no longer allows.
func (n *userNet) obey(p *policy.Policy) {
	n.policy.Store(p)
	n.out.enforce(p)
}

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

// listenTCP and listenUDP are the ground of the virtual listeners.
func (n *userNet) listenTCP(a netip.AddrPort) (net.Listener, error) {
	return gonet.ListenTCP(n.stack, full(a), protocol(a.Addr()))
}

func (n *userNet) listenUDP(a netip.AddrPort) (net.PacketConn, error) {
	local := full(a)
	return gonet.DialUDP(n.stack, &local, nil, protocol(a.Addr()))
}

// The methods below are those of tun.Device. Read gives WireGuard what the stack
// sends; Write takes from WireGuard what peers send.

func (n *userNet) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	pkt := n.ep.ReadContext(n.ctx)
	if pkt == nil {
		return 0, os.ErrClosed
	}
	got := 0
	for pkt != nil {
		v := pkt.ToView()
		sizes[got] = copy(bufs[got][offset:], v.AsSlice())
		v.Release()
		pkt.DecRef()
		if got++; got == len(bufs) {
			break
		}
		pkt = n.ep.Read()
	}
	return got, nil
}

func (n *userNet) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		p := b[offset:]
		if !n.takes(p) {
			continue
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
		switch p[0] >> 4 {
		case 4:
			n.ep.InjectInbound(ipv4.ProtocolNumber, pkt)
		case 6:
			n.ep.InjectInbound(ipv6.ProtocolNumber, pkt)
		}
		pkt.DecRef()
	}
	return len(bufs), nil
}

// takes reports whether the stack should see a packet of a peer: what it may send
// to the cell, and TCP and UDP for others. The stack itself would answer for
// others too, and would take a peer's address for its own.
func (n *userNet) takes(p []byte) bool {
	h, ok := look(p)
	pol := n.policy.Load()
	if !ok || pol == nil {
		return false
	}
	r := pol.Rules()
	if slices.Contains(r.Cell, h.Dst) {
		return !h.opens || pol.Decide(h.Flow).Allow
	}
	return (h.Proto == policy.TCP || h.Proto == policy.UDP) && !policy.Within(h.Dst, r.VPN)
}

// A sight is what of a packet the policy needs.
type sight struct {
	policy.Flow
	opens bool // it may begin something
}

// look reads the headers of an IP packet. Of UDP nobody knows whether it is an
// answer: what is for a port that services never have is taken for one. Later
// pieces of a packet begin nothing, and a first one too small to tell is refused.
func look(p []byte) (sight, bool) {
	var h sight
	var rest []byte
	switch {
	case len(p) >= header.IPv4MinimumSize && p[0]>>4 == 4:
		size := int(p[0]&15) * 4
		if size < header.IPv4MinimumSize || size > len(p) {
			return h, false
		}
		h.Src, h.Dst, h.Proto = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[9]
		if p[6]&0x1f != 0 || p[7] != 0 {
			return h, true
		}
		rest = p[size:]
	case len(p) >= header.IPv6MinimumSize && p[0]>>4 == 6:
		h.Src, h.Dst, h.Proto = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[6]
		rest = p[header.IPv6MinimumSize:]
	default:
		return h, false
	}
	switch h.Proto {
	case policy.TCP:
		if len(rest) < header.TCPMinimumSize {
			return h, false
		}
		h.Port = binary.BigEndian.Uint16(rest[2:])
		// Any packet for a service is looked at, for its right may have gone.
		h.opens = h.Port < firstFree || header.TCPFlags(rest[13])&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn
	case policy.UDP:
		if len(rest) < header.UDPMinimumSize {
			return h, false
		}
		h.Port = binary.BigEndian.Uint16(rest[2:])
		h.opens = h.Port < firstFree
	default:
		h.opens = true
	}
	return h, true
}

// firstFree is the first port that the stack gives to what the cell itself opens.
const firstFree = 16000

func (n *userNet) Close() error {
	n.once.Do(func() {
		n.cancel()
		n.stack.Close() // aborts all connections
		n.ep.Close()
		n.stack.Wait()
		if n.out != nil {
			n.out.wg.Wait()
		}
		close(n.events)
	})
	return nil
}

func (n *userNet) File() *os.File           { return nil }
func (n *userNet) MTU() (int, error)        { return n.mtu, nil }
func (n *userNet) Name() (string, error)    { return "userspace", nil }
func (n *userNet) Events() <-chan tun.Event { return n.events }
func (n *userNet) BatchSize() int           { return userBatch }

// dial opens a connection from the cell into the tunnel.
func (n *userNet) dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	remote := full(to)
	switch network {
	case "tcp":
		return gonet.DialContextTCP(ctx, n.stack, remote, protocol(to.Addr()))
	case "udp":
		return gonet.DialUDP(n.stack, nil, &remote, protocol(to.Addr()))
	}
	return nil, errors.New("network " + network + " is neither tcp nor udp")
}
