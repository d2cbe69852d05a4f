// Package knock finds out whether a port of the host is reached from outside, with
// nobody's help: a datagram leaves by another way to the internet that the household
// has, an exit, and is looked for at the host's own cards.
//
// The datagram is written to the exit's interface as it is, past the host's routes,
// which would keep one to an address of its own at home; and it is looked for where
// it comes in, before any packet filter. So it proves that what stands between the
// internet and the host lets the port in, and nothing about the host's own firewall.
// What the datagram holds is random and no message of WireGuard, which drops it.
// IPv4 only.
package knock

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"pic/internal/ether"
)

// A Door is what is knocked at, and the way there.
type Door struct {
	By   string         // interface of the exit, without link-layer addresses
	From netip.Addr     // the host's address there
	To   netip.AddrPort // what devices dial, as the internet knows it
}

const (
	times  = 3                      // that the datagram is sent
	pause  = 500 * time.Millisecond // between them
	after  = 1500 * time.Millisecond
	length = 32 // of what it holds
	ipLen  = 20
	udpLen = 8
)

// At knocks, and returns the port at which the datagram came in; 0 if it did not
// within a few seconds. The error is about sockets, which need CAP_NET_RAW.
func At(ctx context.Context, d Door) (port uint16, err error) {
	card, err := net.InterfaceByName(d.By)
	if err != nil {
		return 0, fmt.Errorf("knocking by %s: %w", d.By, err)
	}
	if !d.From.Is4() || !d.To.Addr().Is4() {
		return 0, errors.New("knocking: for IPv4 only")
	}
	secret := make([]byte, length)
	_, _ = rand.Read(secret) // never fails
	secret[0] = 0            // no message of WireGuard
	ear, err := listen(binary.BigEndian.Uint32(secret[4:]))
	if err != nil {
		return 0, err
	}
	defer unix.Close(ear)
	out, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("knocking: %w", err)
	}
	defer unix.Close(out)
	// The frame of a link is what a tunnel has not.
	frame := ether.Datagram(make(net.HardwareAddr, 6), make(net.HardwareAddr, 6), netip.AddrPortFrom(d.From, sourcePort(secret)), d.To, secret)
	packet := frame[len(frame)-length-udpLen-ipLen:]
	to := &unix.SockaddrLinklayer{Protocol: swapped(unix.ETH_P_IP), Ifindex: card.Index}
	for n := range times {
		if err := unix.Sendto(out, packet, 0, to); err != nil {
			return 0, fmt.Errorf("knocking by %s: %w", d.By, err)
		}
		wait := pause
		if n == times-1 {
			wait = after
		}
		if port, err = hear(ctx, ear, card.Index, secret, wait); port != 0 || err != nil {
			return port, err
		}
	}
	return 0, nil
}

// sourcePort is one that nobody else is likely to have; answers are not expected.
func sourcePort(secret []byte) uint16 { return binary.BigEndian.Uint16(secret[2:]) | 1<<15 }

// listen opens an ear for UDP datagrams over IPv4 that hold the mark in their second
// four bytes, at all cards.
func listen(mark uint32) (int, error) {
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipFalse: 6},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4},
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: udpLen + 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: mark, SkipFalse: 1},
		bpf.RetConstant{Val: 256},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return 0, fmt.Errorf("knocking: %w", err)
	}
	raw := make([]unix.SockFilter, len(filter))
	for i, f := range filter {
		raw[i] = unix.SockFilter{Code: f.Op, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	// With protocol 0 nothing is heard before the filter is there.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("listening for a knock: %w", err)
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swapped(unix.ETH_P_IP)})
	}
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("listening for a knock: %w", err)
	}
	return fd, nil
}

// swapped is a protocol in the order of the network.
func swapped(p uint16) uint16 { return p>>8 | p<<8 }

// hear waits for the datagram to come in by a card other than by.
func hear(ctx context.Context, fd, by int, secret []byte, wait time.Duration) (uint16, error) {
	buf := make([]byte, 256)
	for end := time.Now().Add(wait); time.Now().Before(end); {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 50)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 0, fmt.Errorf("listening for a knock: %w", err)
		}
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			continue // nothing yet
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || ll.Pkttype == unix.PACKET_OUTGOING || ll.Ifindex == by {
			continue
		}
		if port, ok := read(buf[:n], secret); ok {
			return port, nil
		}
	}
	return 0, nil
}

// read finds the secret in an IPv4 packet, and the port that it is for.
func read(p, secret []byte) (port uint16, ok bool) {
	if len(p) < ipLen || p[0]>>4 != 4 {
		return 0, false
	}
	head := int(p[0]&15) * 4
	if head < ipLen || len(p) < head+udpLen+len(secret) || p[9] != unix.IPPROTO_UDP {
		return 0, false
	}
	u := p[head:]
	return binary.BigEndian.Uint16(u[2:]), string(u[udpLen:udpLen+len(secret)]) == string(secret)
}
