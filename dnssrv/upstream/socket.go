package upstream

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A socket is a connected UDP socket with no more system calls than one question
// needs: package net's asks for its addresses and sets options besides, and reads
// once before it waits.
type socket struct {
	*os.File
	to   netip.AddrPort
	born time.Time
	uses int
	raw  syscall.RawConn
	turn func(fd uintptr) bool // step, made once

	out, in []byte // of step
	n       int
	err     error
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
	s := &socket{File: os.NewFile(uintptr(fd), "udp"), to: to}
	s.turn = s.step
	if s.raw, err = s.SyscallConn(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// ask sends a question and waits for a datagram.
func (s *socket) ask(question, buf []byte) (int, error) {
	s.out, s.in, s.n, s.err = question, buf, 0, nil
	err := s.raw.Read(s.turn)
	s.out, s.in = nil, nil
	if err != nil {
		return 0, err
	}
	return s.n, s.err
}

// step writes first, and reads once there is something. The poller has been told
// to forget what was before the first step, so an answer however quick is seen.
func (s *socket) step(fd uintptr) bool {
	if s.out != nil {
		_, s.err = again(unix.Write, fd, s.out)
		if s.out = nil; s.err == unix.EAGAIN {
			s.err = nil // no room: as if it were lost on the way
		}
		return s.err != nil
	}
	s.n, s.err = again(unix.Read, fd, s.in)
	return s.err != unix.EAGAIN
}

func again(call func(int, []byte) (int, error), fd uintptr, b []byte) (int, error) {
	for {
		if n, err := call(int(fd), b); err != unix.EINTR {
			return n, err
		}
	}
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
