package datagram

import (
	"encoding/binary"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// More than half of what an answer over UDP costs is the way of one datagram
// through the kernel: routes, filters, the card's queue. Where a client has many
// questions under way from one socket, such as a resolver or a mail server, most
// answers of a batch go to it. Those of one length are given to the kernel as one
// text that it cuts apart behind all that (UDP_SEGMENT, Linux 4.18).

const (
	segmentLen = 24 // bytes of the control message that says how long a part is
	mostParts  = 64 // of one text; newer kernels take 128
	mostBytes  = 60_000
	apartFor   = time.Minute // where a card could not
)

// A reply waits for Flush.
type reply struct {
	text []byte
	to   *Packet
	in   int // group
}

// A group is replies that go out as one.
type group struct {
	key   uint32 // port and length, what tells most groups apart; 0: it is full
	to    *Packet
	size  int // of each
	n     int
	first int // of parts
}

// A joint is what a Batch knows of replies that go out together.
type joint struct {
	able    bool // the kernel can cut
	groups  []group
	suspect bool      // it is to be seen whether the first goes out apart
	apart   time.Time // until then none go out together
}

// segments reports whether the kernel cuts what a socket sends.
func segments(raw syscall.RawConn) bool {
	ok := false
	_ = raw.Control(func(fd uintptr) {
		// Who does not know the option would send all as one datagram.
		_, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		ok = err == nil
	})
	return ok
}

// gather makes messages for the kernel of the queue.
func (b *Batch) gather() {
	able := b.able && b.queued > 1
	if able && !b.apart.IsZero() {
		if able = b.queue[0].to.At.After(b.apart); able {
			b.apart = time.Time{}
		}
	}
	b.suspect = false
	b.groups = b.groups[:0]
	for i := range b.queue[:b.queued] {
		r := &b.queue[i]
		if r.in = -1; able {
			r.in = b.join(r)
		}
		if r.in < 0 {
			r.in = len(b.groups)
			b.groups = append(b.groups, group{key: keyOf(r), to: r.to, size: len(r.text), n: 1})
		}
	}
	at := 0
	for i := range b.groups {
		g := &b.groups[i]
		g.first = at
		b.put(i, at, g.n, g.size, g.to)
		at, g.n = at+g.n, 0
	}
	b.count = len(b.groups)
	for i := range b.queue[:b.queued] {
		r := &b.queue[i]
		g := &b.groups[r.in]
		k := g.first + g.n
		g.n++
		b.parts[k].Base = &r.text[0]
		b.parts[k].SetLen(len(r.text))
		b.whom[k] = r.to
	}
}

// keyOf is never 0: a reply has a length.
func keyOf(r *reply) uint32 {
	return uint32(r.to.From.Port())<<16 | uint32(len(r.text)&0xffff)
}

// join returns the group that r may join, or -1.
func (b *Batch) join(r *reply) int {
	key := keyOf(r)
	for i := range b.groups {
		g := &b.groups[i]
		if g.key != key || g.to.From != r.to.From || g.to.To != r.to.To || g.to.iface != r.to.iface {
			continue
		}
		if g.n++; g.n == mostParts || (g.n+1)*g.size > mostBytes {
			g.key = 0
		}
		return i
	}
	return -1
}

// put makes the message i of the parts from first on, to where to came from.
func (b *Batch) put(i, first, n, size int, to *Packet) {
	h, s := &b.out[i].hdr, to.slot
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&s.name)), unix.SizeofSockaddrInet6
	if s.name.Family == unix.AF_INET {
		h.Namelen = unix.SizeofSockaddrInet4
	}
	h.Iov = &b.parts[first]
	h.SetIovlen(n)
	b.first[i] = first
	k := 0
	if b.conn.local.IsUnspecified() && to.To.IsValid() && !to.To.IsUnspecified() {
		k = s.origin()
	}
	if n > 1 {
		k += segment(s.dest[k:], size)
	}
	h.Control = nil
	if k > 0 {
		h.Control = &s.dest[0]
	}
	h.SetControllen(k)
}

// segment writes the control message that has the kernel cut a text.
func segment(b []byte, size int) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size))
	return unix.CmsgSpace(2)
}

// part has what is left go out one by one, where what could not be sent is many.
// Not every way can carry what is to be cut: it may be longer than a frame, or go
// to a card that adds no checksums (EINVAL, EIO).
func (b *Batch) part() bool {
	from := b.first[b.sent]
	end := b.queued
	if b.sent+1 < b.count {
		end = b.first[b.sent+1]
	}
	if end-from < 2 {
		return false
	}
	b.count, b.sent = 0, 0
	for k := from; k < b.queued; k++ {
		b.put(b.count, k, 1, 0, b.whom[k])
		b.count++
	}
	b.suspect = true
	return true
}

// parted learns from a reply that goes out alone what did not with others.
func (b *Batch) parted() {
	if b.suspect {
		b.suspect = false
		b.apart = b.queue[0].to.At.Add(apartFor)
	}
}
