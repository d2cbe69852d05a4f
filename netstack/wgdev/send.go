package wgdev

import (
	"encoding/binary"
	"errors"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// Send sends packets to one place, runs of equal size as one.
func (b *bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	to, ok := ep.(*place)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	if b.sends != nil {
		defer func(n int) {
			if n > 0 {
				b.sends.leave(n)
			}
		}(b.note(bufs))
	}
	b.mu.Lock()
	s := b.four
	if to.dst.Addr().Is6() {
		s = b.six
	}
	b.mu.Unlock()
	if s == nil {
		return unix.EAFNOSUPPORT
	}
	o := outgoing.Get().(*outgo)
	defer outgoing.Put(o)
	return o.send(s, bufs, to)
}

// note counts packets that hold data and remembers the indices that our
// handshakes offer.
func (b *bind) note(bufs [][]byte) (data int) {
	for _, p := range bufs {
		if len(p) > keepaliveSize && p[0] == typeData {
			data++
		} else if len(p) >= 8 && (p[0] == typeInitiation || p[0] == typeResponse) {
			b.indices.add(binary.LittleEndian.Uint32(p[4:]))
		}
	}
	return data
}

// The first bytes of WireGuard's messages, and the length of one of data that is
// empty.
const (
	typeInitiation = 1
	typeResponse   = 2
	typeData       = 4
	keepaliveSize  = 32
)

// maxMessages is how many messages, each a packet or a run of them, go to the
// kernel at once.
const maxMessages = 16

// An outgo is what one call of Send needs.
type outgo struct {
	s    *side
	to   *place
	bufs [][]byte // not sent yet
	solo bool     // no runs in this call
	err  error

	name   [unix.SizeofSockaddrInet6]byte
	nameN  uint32
	msgs   [maxMessages]mmsghdr
	counts [maxMessages]int
	oobs   [maxMessages][oobSize]byte
	iovs   []unix.Iovec
	write  func(fd uintptr) bool
}

// A mmsghdr is struct mmsghdr of the kernel.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [unsafe.Sizeof(uintptr(0)) - 4]byte
}

const oobSize = 96

var outgoing = sync.Pool{New: func() any {
	o := &outgo{}
	o.write = o.push
	return o
}}

func (o *outgo) send(s *side, bufs [][]byte, to *place) error {
	o.s, o.to, o.bufs, o.solo, o.err = s, to, bufs, false, nil
	o.nameN = putSockaddr(&o.name, to.dst, s.six)
	err := s.raw.Write(o.write)
	if err == nil {
		err = o.err
	}
	o.s, o.to, o.bufs = nil, nil, nil
	clear(o.iovs)
	return err
}

// push sends what is left; false: wait until the socket takes more.
func (o *outgo) push(fd uintptr) bool {
	for len(o.bufs) > 0 {
		src := o.to.src.Load()
		n := o.fill(src)
		sent, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&o.msgs[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == 0:
			for _, c := range o.counts[:sent] {
				o.bufs = o.bufs[c:]
			}
		case errors.Is(e, unix.EINTR):
		case errors.Is(e, unix.EAGAIN):
			return false
		case errors.Is(e, unix.EIO) && o.counts[0] > 1:
			// The card cannot compute checksums, so the kernel does not split.
			o.s.split.Store(false)
		case (errors.Is(e, unix.EINVAL) || errors.Is(e, unix.EMSGSIZE)) && o.counts[0] > 1:
			// Maybe the way there has a smaller MTU: the kernel makes fragments of
			// single datagrams, but not of those in a run.
			o.solo = true
		case src != nil && (errors.Is(e, unix.EINVAL) || errors.Is(e, unix.EADDRNOTAVAIL) || errors.Is(e, unix.ENETUNREACH)):
			// The address that the peer called is no longer ours.
			o.to.src.CompareAndSwap(src, nil)
		default:
			o.err = e
			return true
		}
	}
	return true
}

// fill describes the packets from the front as messages and says how many.
func (o *outgo) fill(src *source) int {
	if cap(o.iovs) < len(o.bufs) {
		o.iovs = make([]unix.Iovec, len(o.bufs))
	}
	o.iovs = o.iovs[:cap(o.iovs)]
	split := o.s.split.Load() && !o.solo
	at, m := 0, 0
	for ; m < maxMessages && at < len(o.bufs); m++ {
		n := 1
		if split {
			n = run(o.bufs[at:])
		}
		for i := at; i < at+n; i++ {
			o.iovs[i] = iovec(o.bufs[i])
		}
		oob := o.oobs[m][:0]
		if src != nil {
			oob = append(oob, src.cmsg...)
		}
		if n > 1 {
			oob = appendSegment(oob, uint16(len(o.bufs[at])))
		}
		h := &o.msgs[m].hdr
		*h = unix.Msghdr{Name: &o.name[0], Namelen: o.nameN, Iov: &o.iovs[at]}
		h.SetIovlen(n)
		if len(oob) > 0 {
			h.Control = &oob[0]
			h.SetControllen(len(oob))
		}
		o.counts[m] = n
		at += n
	}
	return m
}

// run says how many packets from the front make a run: of equal size, and one
// that may be shorter at the end.
func run(bufs [][]byte) int {
	size, total := len(bufs[0]), len(bufs[0])
	n := 1
	for ; n < len(bufs) && n < maxSplit; n++ {
		p := bufs[n]
		if len(p) == 0 || len(p) > size || total+len(p) > maxPayload {
			break
		}
		total += len(p)
		if len(p) < size {
			return n + 1
		}
	}
	return n
}

func iovec(b []byte) (v unix.Iovec) {
	if len(b) > 0 {
		v.Base = &b[0]
		v.SetLen(len(b))
	}
	return v
}
