// Package datagram receives UDP queries and answers each from the very address
// that it was sent to.
//
// That matters on wildcard sockets: without it the kernel picks the source of a
// reply by its routes, and clients drop what does not come from whom they asked.
// It also tells which address was asked, and on demand when the kernel got the
// query. Datagrams to broadcast and multicast addresses are not queries to this
// host alone and are skipped, so that no reply is ever multiplied.
//
// Sockets that are not the kernel's, such as those in a user-space tunnel, work
// too: they have one address, and the time is that of the read.
package datagram

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// A Conn is a packet socket that answers from the address asked. Its methods
// may be called from any goroutine; each needs a [Packet] of its own.
type Conn struct {
	pc    net.PacketConn
	udp   *net.UDPConn // nil: not a socket of the kernel
	local netip.Addr   // where pc is bound; the reply's source unless unspecified
}

// Wrap returns a Conn on pc, which stays the caller's to close.
func Wrap(pc net.PacketConn) *Conn {
	c := &Conn{pc: pc, local: addrPort(pc.LocalAddr()).Addr().Unmap()}
	c.udp, _ = pc.(*net.UDPConn)
	if c.udp != nil && c.local.IsUnspecified() {
		// A socket of one family refuses the other's option, and a wildcard v6
		// socket takes both, so errors say nothing.
		c.set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		c.set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return c
}

// Stamp asks the kernel to note when datagrams arrive, so that [Packet.At] is
// not late by the time the process took to wake up.
func (c *Conn) Stamp() { c.set(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) }

// ReadBuffer asks the kernel for a receive buffer of n bytes, and takes what it
// gives.
func (c *Conn) ReadBuffer(n int) {
	if c.udp != nil {
		_ = c.udp.SetReadBuffer(n) // a wish
	}
}

func (c *Conn) set(level, opt, value int) {
	if c.udp == nil {
		return
	}
	if rc, err := c.udp.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, opt, value) })
	}
}

// A Packet is a received datagram and the room for it. Use [NewPacket].
type Packet struct {
	Data []byte         // what was received; overwritten by the next Read
	From netip.AddrPort // who sent it, never a v4-mapped address
	To   netip.Addr     // the address it was sent to; invalid if unknown
	At   time.Time      // when it arrived

	iface uint32
	slot  *slot // of the batch that it belongs to, if it does
	buf   []byte
	oob   [128]byte
	// The control message of the last reply, and what it was for: most queries
	// come to one address, and so their replies need no memory.
	back   []byte
	backTo netip.Addr
	backIf uint32
}

// NewPacket returns a packet with room for size bytes; what is longer is cut,
// and then Data has size bytes.
func NewPacket(size int) *Packet { return &Packet{buf: make([]byte, size)} }

// Copy returns where p came from without its data, for a reply that comes later.
func (p *Packet) Copy() *Packet {
	c := new(Packet)
	p.CopyTo(c)
	return c
}

// CopyTo makes c such a copy.
func (p *Packet) CopyTo(c *Packet) {
	c.From, c.To, c.At, c.iface = p.From, p.To, p.At, p.iface
}

// Read waits for the next datagram to this host alone. The error is
// [net.ErrClosed] once the socket is closed; after any other Read may go on.
func (c *Conn) Read(p *Packet) error {
	for {
		p.To, p.iface = c.local, 0
		if c.udp == nil {
			n, from, err := c.pc.ReadFrom(p.buf)
			if err != nil {
				return err
			}
			p.At = time.Now()
			p.Data = p.buf[:n]
			p.From = unmap(addrPort(from))
			if p.From.IsValid() {
				return nil
			}
			continue
		}
		n, oobn, _, from, err := c.udp.ReadMsgUDPAddrPort(p.buf, p.oob[:])
		if err != nil {
			if passing(err) {
				continue
			}
			return err
		}
		p.At = time.Time{}
		p.Data = p.buf[:n]
		p.From = unmap(from)
		alone := p.control(p.oob[:oobn])
		if p.At.IsZero() {
			p.At = time.Now()
		}
		if alone {
			return nil
		}
	}
}

// control reads the kernel's remarks about the datagram. It reports whether it
// was sent to this host alone.
func (p *Packet) control(oob []byte) bool {
	alone := true
	for len(oob) >= unix.CmsgLen(0) {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		oob = rest
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS:
			p.At = stamp(data)
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			// ifindex, the local address, the header's destination; the two
			// differ for a broadcast.
			p.iface = binary.NativeEndian.Uint32(data)
			p.To = netip.AddrFrom4([4]byte(data[8:12]))
			alone = alone && p.To == netip.AddrFrom4([4]byte(data[4:8]))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			p.To = netip.AddrFrom16([16]byte(data[:16])).Unmap()
			p.iface = binary.NativeEndian.Uint32(data[16:])
		}
	}
	return alone && !p.To.IsMulticast()
}

func stamp(data []byte) time.Time {
	switch len(data) {
	case 16:
		return time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
	case 8: // 32-bit kernels
		return time.Unix(int64(int32(binary.NativeEndian.Uint32(data))), int64(binary.NativeEndian.Uint32(data[4:])))
	}
	return time.Time{}
}

// Reply sends b to whom p came from, from the address that p was sent to. Of
// several calls with one p, each must wait for the one before.
func (c *Conn) Reply(b []byte, p *Packet) error {
	if c.udp == nil {
		_, err := c.pc.WriteTo(b, net.UDPAddrFromAddrPort(p.From))
		return err
	}
	var oob []byte
	if c.local.IsUnspecified() && p.To.IsValid() && !p.To.IsUnspecified() {
		if p.back == nil || p.backTo != p.To || p.backIf != p.iface {
			p.back, p.backTo, p.backIf = source(p.To, p.iface), p.To, p.iface
		}
		oob = p.back
	}
	_, _, err := c.udp.WriteMsgUDPAddrPort(b, oob, p.From)
	return err
}

// source is the control message that sets the source address of a datagram.
func source(a netip.Addr, iface uint32) []byte {
	if a.Is4() {
		// The interface stays open: the way back is the routes' to choose.
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a.As4()})
	}
	info := &unix.Inet6Pktinfo{Addr: a.As16()}
	if a.IsLinkLocalUnicast() {
		info.Ifindex = iface
	}
	return unix.PktInfo6(info)
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort()
	}
	return netip.AddrPort{}
}
