package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrDown is the error of who wants to go through a tunnel that is not there.
var ErrDown = errors.New("the VPN is down")

// Dial connects from the cell to address, an IP address with port, through the
// tunnel and by no other way, whatever the host's routes say. network is tcp or
// udp. The connection ends with the tunnel.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dialling through the VPN: %w", err)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	t := s.tunnel.Load()
	if t == nil || !t.alive() {
		return nil, ErrDown
	}
	if t.stack != nil {
		return t.stack.Dial(ctx, network, to)
	}
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), t.name) }); cerr != nil {
			return cerr
		}
		return err
	}}
	c, err := d.DialContext(ctx, network, to.String())
	if errors.Is(err, unix.ENODEV) {
		return nil, ErrDown
	}
	return c, err
}
