// Package userspace is the ground of a tunnel that needs no privileges: a TCP/IP
// stack within the process, with the cell's addresses in it, on which WireGuard
// stands as on a TUN interface.
//
// The stack is gVisor's; the way between it and WireGuard is ours, because that
// is where the time goes. What TCP sends comes as one packet of up to 64 KB and is
// cut into packets of the MTU right in WireGuard's buffers; what arrives in a row
// for one connection is joined before the stack sees it (RFC 9293 leaves both to
// the implementation). Checksums of TCP, UDP and the IPv4 header are verified once,
// on arrival; those of UDP in fragments are not, for WireGuard has authenticated
// all of it.
//
// Services listen in it ([Net.ListenTCP], [Net.ListenUDP]). What peers send beyond
// the cell leaves through sockets of the process: TCP, UDP, and pings where the
// host lets the process send them (net.ipv4.ping_group_range). Each flow is decided
// on by the policy when it begins, and again whenever the policy changes. A refused
// TCP connection is reset; of a refused or unreachable UDP flow the peer is told by
// ICMP (RFC 792, RFC 4443). Pings that may not be sent are not answered.
//
// It does not carry traffic between peers, or to links and exits.
package userspace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"pic/netstack/policy"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Batch is how many packets WireGuard should move at once; each costs it a buffer
// of 64 KB.
const Batch = 64

const nic = 1

// A Net is the stack, and a tun.Device for WireGuard: Read gives it what the stack
// sends, Write takes what peers send. One goroutine may read; all else may be
// called by many at once. It can be closed while packets flow.
type Net struct {
	log    *slog.Logger
	stack  *stack.Stack
	link   *link
	joiner joiner
	mtu    int
	gate   atomic.Pointer[gate] // nil: nothing passes
	served served
	out    *outbound
	events chan tun.Event
	ctx    context.Context // done once closed
	cancel context.CancelFunc
	once   sync.Once
}

// New makes a stack with these addresses, whose prefixes do not count: all else is
// reached through the tunnel. Until the first [Net.Obey] peers reach nothing.
func New(log *slog.Logger, addrs []netip.Prefix, mtu int) (*Net, error) {
	n := &Net{
		log: log,
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		}),
		link:   newLink(mtu),
		mtu:    mtu,
		events: make(chan tun.Event),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	err := n.furnish(addrs)
	if err == nil {
		err = n.forward()
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// minRTO is how long TCP waits at least before it takes the last of its segments for
// lost. A kernel waits 200 ms but tries earlier by a probe, which goes with RACK.
const minRTO = 100 * time.Millisecond

// The buffers of a TCP connection, at first and when it has grown. gVisor's own, 1 to
// 4 MB each way, only fill the sockets of the tunnel until they drop.
const (
	receiveRoom = 512 << 10
	sendRoom    = 256 << 10
	maxRoom     = 2 << 20
)

// tune chooses what measured best (docs/adr/0014). gVisor's RACK takes segments for
// lost that are not, and its CUBIC does not recover from losses: of a stream of
// 70 MB/s through 10 ms they leave 3, and of 85 MB/s with one loss in a thousand 4.
func (n *Net) tune() error {
	recovery, rto := tcpip.TCPRecovery(0), tcpip.TCPMinRTOOption(minRTO)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: receiveRoom, Max: maxRoom}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: sendRoom, Max: maxRoom}
	for _, o := range []tcpip.SettableTransportProtocolOption{&recovery, &rto, &receive, &send} {
		if err := n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return stackError("setting up TCP", err)
		}
	}
	return nil
}

func (n *Net) furnish(addrs []netip.Prefix) error {
	if err := n.tune(); err != nil {
		return err
	}
	if err := n.stack.CreateNIC(nic, n.link); err != nil {
		return stackError("making an interface", err)
	}
	for _, a := range addrs {
		pa := tcpip.ProtocolAddress{Protocol: protocol(a.Addr()), AddressWithPrefix: address(a.Addr()).WithPrefix()}
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

// Obey puts a policy in force and ends the flows that it no longer allows.
func (n *Net) Obey(p *policy.Policy) {
	n.gate.Store(newGate(p, &n.served))
	n.out.enforce(p)
}

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func address(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: address(a.Addr()), Port: a.Port()}
}

// ListenTCP listens on an address of the stack.
func (n *Net) ListenTCP(a netip.AddrPort) (net.Listener, error) {
	l, err := gonet.ListenTCP(n.stack, full(a), protocol(a.Addr()))
	if err != nil {
		return nil, err
	}
	return &listener{l, n.served.add(policy.TCP, uint16(l.Addr().(*net.TCPAddr).Port))}, nil
}

// ListenUDP receives datagrams at an address of the stack.
func (n *Net) ListenUDP(a netip.AddrPort) (net.PacketConn, error) {
	local := full(a)
	c, err := gonet.DialUDP(n.stack, &local, nil, protocol(a.Addr()))
	if err != nil {
		return nil, err
	}
	return &socket{c, n.served.add(policy.UDP, uint16(c.LocalAddr().(*net.UDPAddr).Port))}, nil
}

// Dial opens a connection from the cell into the tunnel; network is tcp or udp.
func (n *Net) Dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	remote := full(to)
	switch network {
	case "tcp":
		return gonet.DialContextTCP(ctx, n.stack, remote, protocol(to.Addr()))
	case "udp":
		return gonet.DialUDP(n.stack, nil, &remote, protocol(to.Addr()))
	}
	return nil, errors.New("network " + network + " is neither tcp nor udp")
}

// DialPing opens a conversation of ICMP echo messages with an IPv4 address in the
// tunnel. Each Write is a request, whose identifier and checksum the stack sets;
// each Read is an answer.
func (n *Net) DialPing(to netip.Addr) (net.Conn, error) {
	var q waiter.Queue
	ep, err := n.stack.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &q)
	if err != nil {
		return nil, stackError("ping", err)
	}
	if err := ep.Connect(tcpip.FullAddress{NIC: nic, Addr: address(to)}); err != nil {
		ep.Close()
		return nil, stackError("ping "+to.String(), err)
	}
	return gonet.NewUDPConn(&q, ep), nil
}

// Read hands over packets of the stack; it waits for the first.
func (n *Net) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	got := n.link.read(bufs, sizes, offset)
	if got == 0 {
		return 0, os.ErrClosed
	}
	return got, nil
}

// Write takes packets of peers.
func (n *Net) Write(bufs [][]byte, offset int) (int, error) {
	g := n.gate.Load()
	if g == nil {
		return len(bufs), nil
	}
	n.joiner.take(n, g, bufs, offset)
	return len(bufs), nil
}

// Close ends all that is open, and Read.
func (n *Net) Close() error {
	n.once.Do(func() {
		n.cancel()
		n.link.shut() // first: whoever waits to send holds locks of the stack
		n.stack.Close()
		n.stack.Wait()
		if n.out != nil {
			n.out.wg.Wait()
		}
		close(n.events)
	})
	return nil
}

// File returns nil: there is none.
func (n *Net) File() *os.File { return nil }

// MTU is that of the packets on both sides.
func (n *Net) MTU() (int, error) { return n.mtu, nil }

// Name is no interface's.
func (n *Net) Name() (string, error) { return "userspace", nil }

// Events are none, but the channel is closed with the Net.
func (n *Net) Events() <-chan tun.Event { return n.events }

// BatchSize is [Batch].
func (n *Net) BatchSize() int { return Batch }
