// Package wol wakes devices that sleep, by the magic packet of Wake-on-LAN: six
// bytes of ones and the hardware address sixteen times, as a UDP broadcast to
// port 9. It does not know whether anybody woke up; the cards do not answer.
package wol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

const discard = 9

// Packet returns the magic packet for a hardware address.
func Packet(mac net.HardwareAddr) ([]byte, error) {
	if len(mac) != 6 {
		return nil, fmt.Errorf("%s is not the address of an Ethernet or Wi-Fi card", mac)
	}
	return append(bytes.Repeat([]byte{0xff}, 6), bytes.Repeat(mac, 16)...), nil
}

// Wake sends the magic packet into every one of the networks, three times, for a
// broadcast may be lost. It fails if it could send into none.
func Wake(ctx context.Context, mac net.HardwareAddr, networks []netip.Prefix) error {
	p, err := Packet(mac)
	if err != nil {
		return err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) })
		return errors.Join(err, serr)
	}}
	c, err := lc.ListenPacket(ctx, "udp4", ":0")
	if err != nil {
		return fmt.Errorf("waking %s: %w", mac, err)
	}
	defer c.Close()
	var errs []error
	sent := false
	for _, n := range networks {
		if !n.Addr().Is4() {
			continue
		}
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(last(n), discard))
		for range 3 {
			if _, err = c.WriteTo(p, to); err != nil {
				errs = append(errs, err)
				break
			}
			sent = true
		}
	}
	if !sent {
		return fmt.Errorf("waking %s: %w", mac, errors.Join(append(errs, errors.New("the cell has no network to call into"))...))
	}
	return nil
}

// last is the address to which all of an IPv4 network listen.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}
