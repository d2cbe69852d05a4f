package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// A volley sends many questions from one socket, and takes many answers, with as
// few calls of the kernel as can be: what a question costs here is taken from the
// server that shares the cores.
type volley struct {
	pc  *net.UDPConn
	raw syscall.RawConn
	to  netip.AddrPort

	texts [][]byte
	from  []netip.Addr
	apart bool // questions come from several addresses
	cut   []byte

	rooms [][]byte
	in    []mmsghdr
	parts []unix.Iovec
	got   [][]byte
}

// An mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

func openVolley(to netip.AddrPort, flying int) (*volley, error) {
	pc, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return nil, err
	}
	v := &volley{pc: pc, to: to}
	if v.raw, err = pc.SyscallConn(); err != nil {
		pc.Close()
		return nil, err
	}
	v.cut = make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&v.cut[0]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	v.rooms, v.in, v.parts = make([][]byte, flying), make([]mmsghdr, flying), make([]unix.Iovec, flying)
	for i := range v.in {
		v.rooms[i] = make([]byte, 2048)
		v.parts[i].Base = &v.rooms[i][0]
		v.parts[i].SetLen(len(v.rooms[i]))
		v.in[i].hdr.Iov = &v.parts[i]
		v.in[i].hdr.SetIovlen(1)
	}
	return v, nil
}

// add has text sent with the others, from an address unless that is none.
func (v *volley) add(text []byte, from netip.Addr) {
	v.texts, v.from = append(v.texts, text), append(v.from, from)
	v.apart = v.apart || from.IsValid()
}

// send sends what was added. Questions of one length go to the kernel as one
// text, which it cuts apart (UDP_SEGMENT).
func (v *volley) send() error {
	defer func() { v.texts, v.from, v.apart = v.texts[:0], v.from[:0], false }()
	if v.apart {
		return v.each()
	}
	to := &unix.SockaddrInet4{Port: int(v.to.Port()), Addr: v.to.Addr().As4()}
	for rest := v.texts; len(rest) > 0; {
		n := 1
		for n < len(rest) && len(rest[n]) == len(rest[0]) {
			n++
		}
		var control []byte
		if n > 1 {
			control = v.cut
			binary.NativeEndian.PutUint16(control[unix.CmsgLen(0):], uint16(len(rest[0])))
		}
		var err error
		if e := v.raw.Write(func(fd uintptr) bool {
			_, err = unix.SendmsgBuffers(int(fd), rest[:n], control, to, unix.MSG_DONTWAIT)
			return err != unix.EAGAIN
		}); e != nil {
			return e
		}
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// each sends every question from its own address.
func (v *volley) each() error {
	conn, to := ipv4.NewPacketConn(v.pc), net.UDPAddrFromAddrPort(v.to)
	out := make([]ipv4.Message, len(v.texts))
	for i, text := range v.texts {
		out[i] = ipv4.Message{Buffers: [][]byte{text}, Addr: to}
		if v.from[i].IsValid() {
			out[i].OOB = (&ipv4.ControlMessage{Src: v.from[i].AsSlice()}).Marshal()
		}
	}
	for len(out) > 0 {
		n, err := conn.WriteBatch(out, 0)
		if err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// receive waits for answers and returns those that are there, until the next call.
func (v *volley) receive(patience time.Duration) ([][]byte, error) {
	if err := v.pc.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	n := 0
	var errno syscall.Errno
	err := v.raw.Read(func(fd uintptr) bool {
		var k uintptr
		k, _, errno = unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&v.in[0])), uintptr(len(v.in)), unix.MSG_DONTWAIT, 0, 0)
		n = int(k)
		return errno != unix.EAGAIN
	})
	if err != nil {
		return nil, err
	}
	if errno != 0 {
		return nil, errno
	}
	v.got = v.got[:0]
	for i := range n {
		v.got = append(v.got, v.rooms[i][:v.in[i].n])
	}
	return v.got, nil
}
