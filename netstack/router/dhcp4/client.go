// Package dhcp4 gets the WAN's IPv4 address from the provider: a DHCP client with
// the whole state machine of RFC 2131 §4.4, INIT-REBOOT and DECLINE included, and
// the options of RFC 2132 and RFC 3442 that a router has use for.
//
// Promises: only answers to the client's own transaction and card are taken,
// renewals only as the state allows; an address that somebody on the link has is
// declined, not used; a lease is renewed with its server from T1 on, with any
// from T2 on, and reported lost at its end, not before; a server that refuses
// without end is asked with growing pauses. Memory is bounded whatever is sent.
//
// The client changes nothing on the host: it tells what it got. Renewals leave
// by an ordinary socket, everything else in frames of our own, since there is no
// address yet. Not here: authentication (RFC 3118), rapid commit, INFORM, and the
// random pause at start (RFC 2131 §4.4.1), which is for rooms full of machines.
package dhcp4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"pic/internal/ether"
)

const (
	serverPort = 67
	clientPort = 68
)

// Options say for which card, and who wants to know.
type Options struct {
	Log   *slog.Logger
	Card  *net.Interface
	Lease *Lease // remembered; nil: none
	Live  bool   // the card has Lease's address now
	// Bound is told of a lease that is in force from now on; fresh says that the
	// address is new. Lost is told that there is none any more. Enter is told each
	// new state. They are called by Run's goroutine, one at a time.
	Bound func(l Lease, fresh bool)
	Lost  func(why string)
	Enter func(State)
	// Plugged, on a message, makes the client look whether it is still in the same
	// network.
	Plugged <-chan struct{}
	// Release tells at the end of Run whether to give the lease back.
	Release func() bool
}

// Run asks for an address and keeps it until ctx ends. The error is about
// sockets; it may be called again.
func Run(ctx context.Context, o Options) error {
	c := &client{Options: o, m: newMachine(o.Card.HardwareAddr)}
	if err := c.open(); err != nil {
		return err
	}
	defer c.close()
	heard := make(chan []byte, 16)
	checked := make(chan verdict, 1)
	quit := make(chan struct{})
	defer close(quit)
	failed := make(chan error, 1)
	go func() { failed <- c.listen(heard, quit) }()

	do := func(all []action) {
		for _, a := range all {
			c.do(ctx, a, checked)
		}
		if c.m.state != c.told {
			c.told = c.m.state
			c.Enter(c.told)
		}
	}
	do(c.m.begin(time.Now(), o.Lease, o.Live))
	for {
		var due <-chan time.Time
		if n := c.due(); !n.IsZero() {
			due = time.After(time.Until(n))
		}
		select {
		case <-ctx.Done():
			if o.Release() {
				do(c.m.release(time.Now()))
			}
			return nil
		case err := <-failed:
			return err
		case <-due:
			do(c.m.tick(time.Now()))
		case v := <-checked:
			do(c.m.checked(time.Now(), v.addr, v.taken))
		case <-o.Plugged:
			do(c.m.begin(time.Now(), c.m.lease, c.m.live))
		case frame := <-heard:
			d := parse(frame)
			if d == nil {
				continue
			}
			all, err := c.m.message(time.Now(), d)
			if err != nil && !errors.Is(err, errNotForUs) && c.warned != c.m.xid {
				c.warned = c.m.xid // a flood of them is one line
				c.Log.Warn("an answer is not usable", "kind", d.MessageType().String(), "err", err)
			}
			do(all)
		}
	}
}

// due is when something must happen: the end of the lease, too, which may come
// while the machine waits for something else.
func (c *client) due() time.Time {
	n := c.m.next
	if c.m.live && (n.IsZero() || c.m.lease.Until.Before(n)) {
		n = c.m.lease.Until
	}
	return n
}

type verdict struct {
	addr  netip.Addr
	taken bool
}

type client struct {
	Options
	m    *machine
	told State
	// warned is the exchange of the last answer that could not be used.
	warned dhcpv4.TransactionID
	raw    *packet.Conn // frames to port 68, and all that we send without an address
	udp    *net.UDPConn // renewals; keeps the kernel from refusing the answers
}

func (c *client) do(ctx context.Context, a action, checked chan<- verdict) {
	switch {
	case a.send != nil:
		if err := c.send(a); err != nil {
			c.Log.Debug("message not sent", "kind", a.send.MessageType().String(), "err", err)
		}
	case a.probe.IsValid():
		go func() {
			v := verdict{a.probe, c.taken(ctx, a.probe)}
			select {
			case checked <- v:
			case <-ctx.Done():
			}
		}()
	case a.bind != nil:
		if a.fresh {
			c.announce(a.bind.Address.Addr())
		}
		c.Bound(*a.bind, a.fresh)
	case a.lost != "":
		c.Lost(a.lost)
	}
}

func (c *client) open() error {
	// Only UDP to port 68, whole packets: the rest of the WAN's traffic never
	// leaves the kernel.
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 8},
		bpf.LoadAbsolute{Off: 23, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipFalse: 6},
		bpf.LoadAbsolute{Off: 20, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4},
		bpf.LoadMemShift{Off: 14},
		bpf.LoadIndirect{Off: 16, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: clientPort, SkipFalse: 1},
		bpf.RetConstant{Val: 4096},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return fmt.Errorf("filter of port %d: %w", clientPort, err)
	}
	if c.raw, err = packet.Listen(c.Card, packet.Raw, unix.ETH_P_IP, &packet.Config{Filter: filter}); err != nil {
		return fmt.Errorf("raw socket on %s: %w; DHCP needs root or CAP_NET_RAW", c.Card.Name, err)
	}
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		var serr error
		cerr := rc.Control(func(fd uintptr) {
			serr = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.BindToDevice(int(fd), c.Card.Name),
				// What comes in is read from the frames.
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1),
			)
		})
		return errors.Join(cerr, serr)
	}}
	pc, err := lc.ListenPacket(context.Background(), "udp4", fmt.Sprintf("0.0.0.0:%d", clientPort))
	if err != nil {
		c.raw.Close()
		return fmt.Errorf("listen on %s port %d: %w; is another DHCP client at work there?", c.Card.Name, clientPort, err)
	}
	c.udp = pc.(*net.UDPConn)
	return nil
}

func (c *client) close() {
	c.raw.Close()
	c.udp.Close()
}

// listenPause keeps an error that stays from being met in a circle.
const listenPause = 100 * time.Millisecond

// listen hands over frames to port 68 until the socket is closed.
// What comes faster than it is taken is dropped.
func (c *client) listen(heard chan<- []byte, quit <-chan struct{}) error {
	buf := make([]byte, 4096)
	for {
		n, _, err := c.raw.ReadFrom(buf)
		select {
		case <-quit:
			return nil
		default:
		}
		if errors.Is(err, net.ErrClosed) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("listening on %s: %w", c.Card.Name, err)
		}
		if err != nil { // such as: the network is down; each is told once
			select {
			case <-quit:
				return nil
			case <-time.After(listenPause):
			}
			continue
		}
		select {
		case heard <- bytes.Clone(buf[:n]):
		default:
		}
	}
}

// parse reads a frame; nil is what is no answer of a DHCP server.
func parse(frame []byte) *dhcpv4.DHCPv4 {
	src, dst, payload, ok := ether.Payload(frame)
	if !ok || dst.Port() != clientPort || src.Port() != serverPort {
		return nil
	}
	d, err := dhcpv4.FromBytes(payload)
	if err != nil { // some servers leave the End option out
		if d, err = dhcpv4.FromBytes(append(payload[:len(payload):len(payload)], byte(dhcpv4.OptionEnd))); err != nil {
			return nil
		}
	}
	return d
}

func (c *client) send(a action) error {
	b := a.send.ToBytes()
	if a.to.IsValid() {
		oob := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(c.Card.Index), Spec_dst: [4]byte(a.send.ClientIPAddr.To4())})
		_, _, err := c.udp.WriteMsgUDPAddrPort(b, oob, netip.AddrPortFrom(a.to, serverPort))
		return err
	}
	src := netip.IPv4Unspecified()
	if ci := addr(a.send.ClientIPAddr); ci.IsValid() {
		src = ci
	}
	all := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	f := ether.Datagram(c.Card.HardwareAddr, ether.Everyone(), netip.AddrPortFrom(src, clientPort), netip.AddrPortFrom(all, serverPort), b)
	_, err := c.raw.WriteTo(f, &packet.Addr{HardwareAddr: ether.Everyone()})
	return err
}

// probeWait is how long each of two probes waits for an answer.
const probeWait = 250 * time.Millisecond

// taken asks the link whether another device has the address (RFC 2131 §4.4.1).
// Where nobody can be asked, nobody has it.
func (c *client) taken(ctx context.Context, a netip.Addr) bool {
	arp, err := packet.Listen(c.Card, packet.Raw, unix.ETH_P_ARP, nil)
	if err != nil {
		return false
	}
	defer arp.Close()
	buf := make([]byte, 1600)
	for range 2 {
		if _, err := arp.WriteTo(ether.ARPProbe(c.Card.HardwareAddr, a), &packet.Addr{HardwareAddr: ether.Everyone()}); err != nil {
			return false
		}
		_ = arp.SetReadDeadline(time.Now().Add(probeWait))
		for ctx.Err() == nil {
			n, _, err := arp.ReadFrom(buf)
			if err != nil {
				break
			}
			who, mac, ok := ether.ARPSender(buf[:n])
			if ok && who == a && net.HardwareAddr(mac[:]).String() != c.Card.HardwareAddr.String() {
				return true
			}
		}
	}
	return false
}

// announce tells the link whose the address is now.
func (c *client) announce(a netip.Addr) {
	_, _ = c.raw.WriteTo(ether.ARPAnnouncement(c.Card.HardwareAddr, a), &packet.Addr{HardwareAddr: ether.Everyone()})
}
