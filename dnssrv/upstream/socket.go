package upstream

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A socket is a connected UDP socket with no more system calls than one question
// needs: package net's asks for its addresses and sets options besides.
type socket struct {
	*os.File
	to netip.AddrPort
}

// dialUDP opens a socket on a port that the kernel picks at random.
func dialUDP(to netip.AddrPort) (net.Conn, error) {
	ip := to.Addr().Unmap()
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(to.Port())}
	family := unix.AF_INET
	if ip.Is4() {
		sa.(*unix.SockaddrInet4).Addr = ip.As4()
	} else {
		if ip.Zone() != "" {
			return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		}
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: ip.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, sa); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return &socket{os.NewFile(uintptr(fd), "udp"), to}, nil
}

// Read reads a datagram, which may be empty.
func (s *socket) Read(b []byte) (int, error) {
	n, err := s.File.Read(b)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// LocalAddr returns our address.
func (s *socket) LocalAddr() net.Addr {
	c, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	var a *net.UDPAddr
	_ = c.Control(func(fd uintptr) {
		switch sa, _ := unix.Getsockname(int(fd)); sa := sa.(type) {
		case *unix.SockaddrInet4:
			a = &net.UDPAddr{IP: sa.Addr[:], Port: sa.Port}
		case *unix.SockaddrInet6:
			a = &net.UDPAddr{IP: sa.Addr[:], Port: sa.Port}
		}
	})
	if a == nil {
		return nil
	}
	return a
}

// RemoteAddr returns the resolver's address.
func (s *socket) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(s.to) }

// moved is how often it is looked whether our own address is another.
const moved = time.Second
