package datagram

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Batch receives many packets with one call of the kernel, and answers them
// with one more. Replies of one length to one address and port go through the
// kernel as one, which cuts them apart only at the end (see gather). Nothing is
// allocated for a packet. Use [Conn.Batch]. A Batch is for one goroutine; several
// may read from one Conn.
//
// On sockets that are not the kernel's it is as slow as they are: one by one.
type Batch struct {
	conn *Conn
	raw  syscall.RawConn // nil: not a socket of the kernel
	read func(fd uintptr) bool
	look func(fd uintptr)
	send func(fd uintptr) bool

	slots []slot
	in    []mmsghdr
	got   []*Packet // of the last Read, those that are for this host alone
	n     int       // messages of the last recvmmsg
	errno unix.Errno

	queue  []reply
	queued int
	out    []mmsghdr // of this Flush
	first  []int     // of each of out, the first of its parts
	parts  []unix.Iovec
	whom   []*Packet // of parts
	count  int       // of out
	sent   int       // of out
	failed error     // the first of this Flush
	joint

	zones map[uint32]string // names of links
	known time.Time         // when zones was empty
}

// An mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// A slot is a packet of a batch and the memory that the kernel fills for it.
type slot struct {
	Packet
	name unix.RawSockaddrInet6 // of either family
	part unix.Iovec
	dest [controlLen]byte // the control message of the reply
}

// controlLen has room for the longest control messages that we send: where from,
// and how long each part is.
const controlLen = 40 + segmentLen

// Batch returns a batch of up to n packets, each with room for size bytes; what
// is longer is cut, and then Data has size bytes.
func (c *Conn) Batch(n, size int) *Batch {
	b := &Batch{conn: c}
	if c.udp != nil {
		b.raw, _ = c.udp.SyscallConn() // nil for a closed socket; Read tells
	}
	if b.raw == nil {
		n = 1
	}
	b.slots, b.in, b.got = make([]slot, n), make([]mmsghdr, n), make([]*Packet, 0, n)
	b.queue, b.out, b.first = make([]reply, n), make([]mmsghdr, n), make([]int, n)
	b.parts, b.whom = make([]unix.Iovec, n), make([]*Packet, n)
	b.joint = joint{able: b.raw != nil && segments(b.raw), groups: make([]group, 0, n)}
	b.zones = map[uint32]string{}
	room := make([]byte, n*size)
	for i := range b.slots {
		s := &b.slots[i]
		s.buf = room[i*size : (i+1)*size : (i+1)*size]
		s.slot = s
		s.part.Base = &s.buf[0]
		s.part.SetLen(size)
		h := &b.in[i].hdr
		h.Iov, h.Name = &s.part, (*byte)(unsafe.Pointer(&s.name))
		h.SetIovlen(1)
		b.rearm(i)
	}
	b.read, b.look, b.send = b.receive, func(fd uintptr) { b.receive(fd) }, b.transmit
	return b
}

// rearm readies a slot for the kernel.
func (b *Batch) rearm(i int) {
	s, h := &b.slots[i], &b.in[i].hdr
	h.Namelen = unix.SizeofSockaddrInet6
	h.Control = &s.oob[0]
	h.SetControllen(len(s.oob))
}

// Read waits for packets to this host alone and returns those that are there.
// They and their Data are overwritten by the next Read or Poll. The error is as
// with [Conn.Read].
func (b *Batch) Read() ([]*Packet, error) {
	if b.raw == nil {
		p := &b.slots[0].Packet
		if err := b.conn.Read(p); err != nil {
			return nil, err
		}
		b.got = append(b.got[:0], p)
		return b.got, nil
	}
	for {
		if err := b.raw.Read(b.read); err != nil {
			return nil, err
		}
		if err := b.error(); err != nil {
			return nil, err
		}
		if got := b.take(); len(got) > 0 {
			return got, nil
		}
	}
}

// Poll is Read without waiting: it returns nothing where nothing is there.
func (b *Batch) Poll() ([]*Packet, error) {
	if b.raw == nil {
		return nil, nil
	}
	for {
		b.n, b.errno = 0, 0
		if err := b.raw.Control(b.look); err != nil {
			return nil, err
		}
		if err := b.error(); err != nil || b.n == 0 {
			return nil, err
		}
		if got := b.take(); len(got) > 0 {
			return got, nil
		}
	}
}

// Full reports whether the last Read or Poll filled the batch, so that more is
// likely to wait.
func (b *Batch) Full() bool { return b.n == len(b.slots) && b.raw != nil }

func (b *Batch) error() error {
	if b.errno == 0 {
		return nil
	}
	return &net.OpError{Op: "read", Net: "udp", Err: b.errno}
}

// receive asks the kernel for what is there. It is false where that is nothing.
func (b *Batch) receive(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.in[0])), uintptr(len(b.in)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			b.n, b.errno = int(n), 0
			return true
		case errno == unix.EAGAIN:
			return false
		case errno == unix.EINTR, passing(errno):
		default:
			b.n, b.errno = 0, errno
			return true
		}
	}
}

// passing reports whether an error of receiving is about a datagram that was
// sent before, such as when nobody listens where a reply went: no reason to stop.
func passing(err error) bool {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case unix.ECONNREFUSED, unix.ECONNRESET, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN,
		unix.EMSGSIZE, unix.EPROTO, unix.ENOPROTOOPT:
		return true
	}
	return false
}

// take turns what the kernel wrote into packets.
func (b *Batch) take() []*Packet {
	now := time.Now()
	b.got = b.got[:0]
	for i := range b.n {
		s, m := &b.slots[i], &b.in[i]
		s.Data = s.buf[:min(int(m.n), len(s.buf))]
		s.To, s.iface, s.At = b.conn.local, 0, time.Time{}
		alone := s.control(s.oob[:min(int(m.hdr.Controllen), len(s.oob))])
		if s.At.IsZero() {
			s.At = now
		}
		s.From = b.sender(&s.name)
		b.rearm(i)
		if alone && s.From.IsValid() {
			b.got = append(b.got, &s.Packet)
		}
	}
	return b.got
}

// sender reads the address that a packet came from.
func (b *Batch) sender(sa *unix.RawSockaddrInet6) netip.AddrPort {
	port := func(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
	switch sa.Family {
	case unix.AF_INET:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), port(&sa4.Port))
	case unix.AF_INET6:
		a := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 && a.Is6() {
			a = a.WithZone(b.zone(sa.Scope_id))
		}
		return netip.AddrPortFrom(a, port(&sa.Port))
	}
	return netip.AddrPort{}
}

// zone returns the name of a link. Names may change, so they are asked for again
// now and then.
func (b *Batch) zone(index uint32) string {
	if z, ok := b.zones[index]; ok && time.Since(b.known) < time.Minute {
		return z
	}
	if time.Since(b.known) >= time.Minute {
		clear(b.zones)
		b.known = time.Now()
	}
	z := strconv.Itoa(int(index))
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		z = i.Name
	}
	b.zones[index] = z
	return z
}

// Reply has out sent to whom p came from, from the address that p was sent to,
// by the next Flush. Until then out must not change. p is of the last Read, and
// is answered once. Replies to one client keep their order where they are of one
// length.
func (b *Batch) Reply(out []byte, p *Packet) {
	if len(out) == 0 || b.queued == len(b.queue) {
		return
	}
	b.queue[b.queued] = reply{text: out, to: p}
	b.queued++
}

// origin writes the control message that sets the source address of a reply.
func (s *slot) origin() int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&s.dest[0]))
	data := s.dest[unix.CmsgLen(0):]
	if s.To.Is4() {
		// The interface stays open: the way back is the routes' to choose.
		h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		a := s.To.As4()
		clear(data[:unix.SizeofInet4Pktinfo])
		copy(data[4:], a[:])
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	a := s.To.As16()
	copy(data, a[:])
	binary.NativeEndian.PutUint32(data[16:], 0)
	if s.To.IsLinkLocalUnicast() {
		binary.NativeEndian.PutUint32(data[16:], s.iface)
	}
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

// Flush sends the replies. What cannot be sent to one does not keep others from
// theirs; the error is the first. While the kernel has no room Flush waits.
func (b *Batch) Flush() error {
	if b.queued == 0 {
		return nil
	}
	var err error
	if b.raw == nil {
		for _, r := range b.queue[:b.queued] {
			err = errors.Join(err, b.conn.Reply(r.text, r.to))
		}
	} else {
		b.gather()
		b.sent, b.failed = 0, nil
		if err = b.raw.Write(b.send); err == nil {
			err = b.failed
		}
	}
	b.queued = 0
	return err
}

// transmit gives the kernel the replies that are left. It is false where the
// kernel has no room.
func (b *Batch) transmit(fd uintptr) bool {
	again := false
	for b.sent < b.count {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.out[b.sent])), uintptr(b.count-b.sent), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			b.sent += int(n)
			again = false
			b.parted()
		case errno == unix.EAGAIN:
			return false
		case errno == unix.EINTR:
		case passing(errno) && !again: // perhaps about an earlier one
			again = true
		case b.part():
			again = false
		default:
			if b.failed == nil {
				to := b.whom[b.first[b.sent]].From
				b.failed = &net.OpError{Op: "write", Net: "udp", Addr: net.UDPAddrFromAddrPort(to), Err: errno}
			}
			b.sent++
			again = false
			b.suspect = false
		}
	}
	return true
}
