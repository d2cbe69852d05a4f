package wgdev

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A vnet is the header that the kernel puts before each packet of a TUN device
// with IFF_VNET_HDR (struct virtio_net_hdr, in the byte order of the host).
type vnet struct {
	flags, gso     byte
	header, size   uint16 // bytes of all headers; of payload in a segment
	sumFrom, sumAt uint16
}

const vnetLen = 10

func readVnet(b []byte) vnet {
	return vnet{
		flags: b[0], gso: b[1],
		header: binary.NativeEndian.Uint16(b[2:]), size: binary.NativeEndian.Uint16(b[4:]),
		sumFrom: binary.NativeEndian.Uint16(b[6:]), sumAt: binary.NativeEndian.Uint16(b[8:]),
	}
}

func (v vnet) put(b []byte) {
	b[0], b[1] = v.flags, v.gso
	binary.NativeEndian.PutUint16(b[2:], v.header)
	binary.NativeEndian.PutUint16(b[4:], v.size)
	binary.NativeEndian.PutUint16(b[6:], v.sumFrom)
	binary.NativeEndian.PutUint16(b[8:], v.sumAt)
}

// A segments is a packet of the kernel that is to be sent as several (TSO, USO),
// or as it is but for its checksum.
type segments struct {
	pkt     []byte
	v       vnet
	proto   byte // TCP or UDP
	six     bool
	headers int
	next    int // place of the payload that is not cut off yet
	count   int
}

var errVnet = errors.New("the kernel handed over a packet that does not fit its header")

// newSegments checks what the kernel says of pkt. hdrLen is not believed: for
// forwarded packets it may be that of the whole first segment.
func newSegments(v vnet, pkt []byte) (s segments, err error) {
	s = segments{pkt: pkt, v: v, six: pkt[0]>>4 == 6}
	from, at := int(v.sumFrom), int(v.sumFrom)+int(v.sumAt)
	switch v.gso {
	case unix.VIRTIO_NET_HDR_GSO_TCPV4, unix.VIRTIO_NET_HDR_GSO_TCPV6:
		if s.six != (v.gso == unix.VIRTIO_NET_HDR_GSO_TCPV6) {
			return s, errVnet
		}
		s.proto = unix.IPPROTO_TCP
		if len(pkt) < from+20 || v.sumAt != 16 {
			return s, errVnet
		}
		n := int(pkt[from+12]>>4) * 4
		if n < 20 {
			return s, errVnet
		}
		s.headers = from + n
	case unix.VIRTIO_NET_HDR_GSO_UDP_L4:
		s.proto = unix.IPPROTO_UDP
		if v.sumAt != 6 {
			return s, errVnet
		}
		s.headers = from + 8
	default:
		return s, fmt.Errorf("the kernel handed over a packet of an unknown kind (%d)", v.gso)
	}
	ip := 20
	if s.six {
		ip = 40
	}
	if from < ip || at+2 > len(pkt) || s.headers >= len(pkt) || v.size == 0 || !s.six && pkt[0]>>4 != 4 {
		return s, errVnet
	}
	s.next = s.headers
	return s, nil
}

// more reports whether there is a segment left.
func (s *segments) more() bool { return s.next < len(s.pkt) }

// cut writes the next segment, whole and with its checksums, and returns its
// length. It is 0 if out has no room for it; that segment is skipped.
func (s *segments) cut(out []byte) int {
	end := min(s.next+int(s.v.size), len(s.pkt))
	payload := s.pkt[s.next:end]
	n, i := s.headers+len(payload), s.count
	done := s.next - s.headers
	s.next, s.count = end, s.count+1
	if len(out) < n {
		return 0
	}
	out = out[:n]
	copy(out, s.pkt[:s.headers])
	copy(out[s.headers:], payload)

	from := int(s.v.sumFrom)
	var addrs []byte
	if s.six {
		addrs = out[8:40]
		binary.BigEndian.PutUint16(out[4:], uint16(n-40))
	} else {
		addrs = out[12:20]
		binary.BigEndian.PutUint16(out[2:], uint16(n))
		binary.BigEndian.PutUint16(out[4:], binary.BigEndian.Uint16(s.pkt[4:])+uint16(i))
		out[10], out[11] = 0, 0
		binary.BigEndian.PutUint16(out[10:], ^fold(sum(out[:from], 0)))
	}
	if s.proto == unix.IPPROTO_TCP {
		binary.BigEndian.PutUint32(out[from+4:], binary.BigEndian.Uint32(s.pkt[from+4:])+uint32(done))
		if s.more() {
			out[from+13] &^= tcpFIN | tcpPSH
		}
	} else {
		binary.BigEndian.PutUint16(out[from+4:], uint16(n-from))
	}
	at := from + int(s.v.sumAt)
	out[at], out[at+1] = 0, 0
	putSum(out[at:], ^fold(sum(out[from:], pseudo(addrs, s.proto, n-from))), s.proto == unix.IPPROTO_UDP)
	return n
}

const (
	tcpFIN = 1
	tcpPSH = 8
	tcpACK = 16
)

// complete computes the checksum that the kernel has left to the card.
func complete(v vnet, pkt []byte) error {
	from, at := int(v.sumFrom), int(v.sumFrom)+int(v.sumAt)
	if at+2 > len(pkt) {
		return errVnet
	}
	// The field holds the sum of the pseudo-header, which belongs to the sum.
	putSum(pkt[at:], ^fold(sum(pkt[from:], 0)), v.sumAt == 6)
	return nil
}

// putSum writes a checksum; for UDP, 0 would mean that there is none (RFC 768).
func putSum(at []byte, c uint16, udp bool) {
	if c == 0 && udp {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(at, c)
}
