package wgdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// An intake is the receiving end of a side; of one goroutine alone.
type intake struct {
	// A run that is not handed over yet.
	run  []byte
	size int // of each datagram in it
	from *place

	ready []int // messages read and not looked at yet, by number
	msgs  [reads]mmsghdr
	iovs  [reads]unix.Iovec
	names [reads][unix.SizeofSockaddrInet6]byte
	oobs  [reads][oobSize]byte
	bufs  [reads][]byte

	// guess is the size of the datagrams in the last run, 0 if the last datagrams
	// came alone. A run of the same size can be read to where it belongs.
	guess   int
	scatter []unix.Iovec
	name    []byte // the address of from, as the kernel writes it

	// Of the call that waits.
	into  [][]byte
	sizes []int
	eps   []conn.Endpoint
	got   int
	err   error
	fill  func(fd uintptr) bool
	six   bool
}

const (
	reads = 8 // messages for one system call; each may be a run
	// worth is how many datagrams a run must have for the next to be expected
	// like it.
	worth = 4
)

func (in *intake) init(s *side) {
	in.six, in.fill = s.six, in.read
	for i := range in.bufs {
		in.bufs[i] = make([]byte, maxRun)
		in.iovs[i] = iovec(in.bufs[i])
	}
}

// receive hands over up to len(bufs) datagrams.
func (s *side) receive(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
	most := len(bufs)
	if s.takes != nil {
		most = s.takes.room(most)
	}
	in := &s.in
	in.into, in.sizes, in.eps, in.got, in.err = bufs[:most], sizes, eps, 0, nil
	in.deal()
	if in.got == 0 {
		if err := s.raw.Read(in.fill); err != nil {
			return 0, err
		}
		if in.err != nil {
			return 0, in.err
		}
	}
	if s.takes != nil {
		if n := s.indices.data(bufs[:in.got], sizes); n > 0 {
			s.takes.enter(n)
		}
	}
	return in.got, nil
}

// read reads once and deals out what came; false: wait.
func (in *intake) read(fd uintptr) bool {
	for in.got == 0 {
		var e error
		if in.guess > 0 {
			e = in.readRun(fd)
		} else {
			e = in.readMany(fd)
		}
		switch {
		case e == nil:
		case errors.Is(e, unix.EINTR):
		case errors.Is(e, unix.EAGAIN):
			return false
		default:
			// Hidden in another error, so that the library tries again.
			in.err = fmt.Errorf("receiving: %w", e)
			return true
		}
	}
	return true
}

func (in *intake) prepare(i int) {
	h := &in.msgs[i].hdr
	*h = unix.Msghdr{Name: &in.names[i][0], Namelen: uint32(len(in.names[i])), Control: &in.oobs[i][0]}
	h.SetControllen(oobSize)
}

// readMany reads messages into buffers of our own.
func (in *intake) readMany(fd uintptr) error {
	for i := range in.msgs {
		in.prepare(i)
		in.msgs[i].hdr.Iov = &in.iovs[i]
		in.msgs[i].hdr.SetIovlen(1)
	}
	n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.msgs[0])), reads, unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return e
	}
	in.ready = in.ready[:0]
	for i := range int(n) {
		in.ready = append(in.ready, i)
	}
	in.deal()
	return nil
}

// readRun reads one message, in the hope that it is a run of datagrams of the
// size that we guess, right to where they belong. If it is not, it is put
// together in a buffer of ours and dealt out from there.
func (in *intake) readRun(fd uintptr) error {
	in.scatter = in.scatter[:0]
	room := 0
	for _, b := range in.into {
		if room >= maxRun {
			break
		}
		in.scatter = append(in.scatter, iovec(b[:in.guess]))
		room += in.guess
	}
	rest := in.bufs[1]
	in.scatter = append(in.scatter, iovec(rest))
	in.prepare(0)
	h := &in.msgs[0].hdr
	h.Iov = &in.scatter[0]
	h.SetIovlen(len(in.scatter))
	r, _, e := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(h)), unix.MSG_DONTWAIT)
	if e != 0 {
		return e
	}
	n := int(r)
	size := in.look(0)
	if size == in.guess && n > 0 {
		for in.got < len(in.into) && in.got*size < min(n, room) {
			in.put(min(size, n-in.got*size))
		}
		if n > room {
			in.run, in.size = rest[:n-room], size
		}
		in.expect(n, size)
		return nil
	}
	whole := in.bufs[0][:0]
	for _, b := range in.into {
		if len(whole) >= min(n, room) {
			break
		}
		whole = append(whole, b[:min(in.guess, n-len(whole))]...)
	}
	if n > room {
		whole = append(whole, rest[:n-room]...)
	}
	in.begin(whole, size)
	in.deal()
	return nil
}

// begin takes up a message that is in a buffer of ours.
func (in *intake) begin(run []byte, size int) {
	in.expect(len(run), size)
	if size <= 0 {
		size = len(run)
	}
	in.run, in.size = run, size
}

func (in *intake) expect(n, size int) {
	in.guess = 0
	if size > 0 && n >= worth*size {
		in.guess = size
	}
}

// deal copies datagrams from our buffers to where they belong.
func (in *intake) deal() {
	for in.got < len(in.into) {
		if len(in.run) == 0 {
			if len(in.ready) == 0 {
				return
			}
			i := in.ready[0]
			in.ready = in.ready[1:]
			n := int(in.msgs[i].n)
			size := in.look(i)
			in.begin(in.bufs[i][:n], size)
			if n == 0 {
				in.put(0)
			}
			continue
		}
		n := min(in.size, len(in.run))
		copy(in.into[in.got], in.run[:n])
		in.run = in.run[n:]
		in.put(n)
	}
}

func (in *intake) put(n int) {
	in.sizes[in.got] = n
	in.eps[in.got] = in.from
	in.got++
}

// look reads who sent message i, and the size of the datagrams in it, 0 if it is
// one alone.
func (in *intake) look(i int) int {
	h := &in.msgs[i].hdr
	size, src := control(in.oobs[i][:h.Controllen])
	name := in.names[i][:min(int(h.Namelen), len(in.names[i]))]
	if in.from != nil && bytes.Equal(in.name, name) && in.from.SrcIP() == src {
		return size // the same as before: spare the garbage
	}
	in.name = append(in.name[:0], name...)
	in.from = &place{dst: readSockaddr(name, in.six)}
	if src.IsValid() {
		in.from.src.Store(&source{src, pktinfo(src)})
	}
	return size
}

// readSockaddr reads an address as the kernel writes it.
func readSockaddr(b []byte, six bool) netip.AddrPort {
	if six && len(b) >= unix.SizeofSockaddrInet6 {
		a := netip.AddrFrom16([16]byte(b[8:24]))
		if scope := binary.NativeEndian.Uint32(b[24:]); scope != 0 && a.IsLinkLocalUnicast() {
			a = a.WithZone(zone(scope))
		}
		return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(b[2:]))
	}
	if !six && len(b) >= 8 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:]))
	}
	return netip.AddrPort{}
}

// putSockaddr writes an address as the kernel reads it and returns its length.
func putSockaddr(b *[unix.SizeofSockaddrInet6]byte, a netip.AddrPort, six bool) uint32 {
	clear(b[:])
	binary.BigEndian.PutUint16(b[2:], a.Port())
	if !six {
		binary.NativeEndian.PutUint16(b[:], unix.AF_INET)
		ip := a.Addr().As4()
		copy(b[4:], ip[:])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(b[:], unix.AF_INET6)
	ip := a.Addr().As16()
	copy(b[8:], ip[:])
	if z := a.Addr().Zone(); z != "" {
		binary.NativeEndian.PutUint32(b[24:], scope(z))
	}
	return unix.SizeofSockaddrInet6
}
