package netstack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// hostNet is the ground in TUN mode: the addresses are the host's own.
type hostNet struct{}

func (hostNet) ListenTCP(a netip.AddrPort) (net.Listener, error) {
	return besides(func(lc net.ListenConfig) (net.Listener, error) {
		return lc.Listen(context.Background(), "tcp", a.String())
	})
}

func (hostNet) ListenUDP(a netip.AddrPort) (net.PacketConn, error) {
	return besides(func(lc net.ListenConfig) (net.PacketConn, error) {
		return lc.ListenPacket(context.Background(), "udp", a.String())
	})
}

// besides opens a socket. Where the port is taken it tries to share it, which
// works only besides a socket of the same user that was told to share: that of a
// service of the cell that is about to give it up.
func besides[S any](open func(net.ListenConfig) (S, error)) (S, error) {
	s, err := open(freebind(0))
	if !errors.Is(err, unix.EADDRINUSE) {
		return s, err
	}
	if s, err = open(freebind(1)); err != nil {
		return s, err
	}
	sc, ok := any(s).(syscall.Conn)
	if !ok {
		return s, nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return s, nil
	}
	// From now on nobody else may join.
	_ = rc.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 0) })
	return s, nil
}

func freebind(share int) net.ListenConfig {
	return net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			// The address may come up after us. Only one of them can succeed.
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, share))
		})
		return errors.Join(cerr, err)
	}}
}

// HostSocket is the socket of the host that v stands on, if it does.
func (v *virtual) HostSocket() (syscall.RawConn, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var c any = v.tcp
	if v.udp != nil {
		c = v.udp
	}
	if sc, ok := c.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.New("it is in the tunnel")
}
