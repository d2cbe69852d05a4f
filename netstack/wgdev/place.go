package wgdev

import (
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A place is where a peer is, and which of our addresses it knows. It is a
// conn.Endpoint.
type place struct {
	dst netip.AddrPort
	src atomic.Pointer[source]
}

// A source is the control message that sets a packet's source address.
type source struct {
	addr netip.Addr
	cmsg []byte
}

func (p *place) ClearSrc()           { p.src.Store(nil) }
func (p *place) DstIP() netip.Addr   { return p.dst.Addr() }
func (p *place) DstToString() string { return p.dst.String() }

func (p *place) DstToBytes() []byte {
	b, _ := p.dst.MarshalBinary() // cannot fail
	return b
}

func (p *place) SrcIP() netip.Addr {
	if s := p.src.Load(); s != nil {
		return s.addr
	}
	return netip.Addr{}
}

func (p *place) SrcToString() string {
	if a := p.SrcIP(); a.IsValid() {
		return a.String()
	}
	return ""
}

// control reads the size of the datagrams in a run, 0 if it is none, and the
// address that they were sent to.
func control(oob []byte) (size int, to netip.Addr) {
	for len(oob) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		oob = rest
		switch {
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 2:
			size = int(*(*uint16)(unsafe.Pointer(&data[0])))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			to = netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Spec_dst)
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			to = netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr)
		}
	}
	if to.IsUnspecified() || to.IsLinkLocalUnicast() { // the latter would need its interface
		to = netip.Addr{}
	}
	return size, to
}

// pktinfo is the control message that makes a packet leave from src, by
// whatever interface the kernel finds.
func pktinfo(src netip.Addr) []byte {
	if src.Is4() {
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: src.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: src.As16()})
}

// appendSegment appends the control message that has a packet split.
func appendSegment(oob []byte, size uint16) []byte {
	at := len(oob)
	oob = append(oob, make([]byte, unix.CmsgSpace(2))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[at]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&oob[at+unix.CmsgLen(0)])) = size
	return oob
}
