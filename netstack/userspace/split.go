package userspace

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A segments is a packet of the stack that is to leave as one or as several. Its
// bytes go from where TCP keeps them right to where WireGuard wants them.
type segments struct {
	pkt  *stack.PacketBuffer // nil: none
	view *buffer.View        // of what is not cut yet
	off  int                 // within view
	left int                 // bytes of payload not cut yet

	head  [128]byte // IP and TCP
	heads int       // bytes in head; 0: the packet goes as it is
	ip    int       // of them IP
	six   bool
	mss   int
	sum   uint16 // of the pseudo-header without the length
	count int    // segments cut
	done  int    // payload in them
}

const ipTCP = 6 // its number as an IP protocol

// begin takes over p.
func (s *segments) begin(p *stack.PacketBuffer) {
	list, off := p.AsViewList()
	*s = segments{pkt: p, view: list.Front(), off: off, left: p.Size()}
	if p.GSOOptions.Type == stack.GSONone {
		return
	}
	ip, tcp := len(p.NetworkHeader().Slice()), len(p.TransportHeader().Slice())
	if ip+tcp > len(s.head) || ip < header.IPv4MinimumSize || tcp < header.TCPMinimumSize {
		return // not of TCP as we know it
	}
	s.heads, s.ip, s.six, s.mss = ip+tcp, ip, p.GSOOptions.Type == stack.GSOTCPv6, int(p.GSOOptions.MSS)
	s.copy(s.head[:s.heads])
	addrs := s.head[12:20]
	if s.six {
		addrs = s.head[8:40]
	}
	s.sum = checksum.Combine(checksum.Checksum(addrs, 0), ipTCP)
}

// more reports whether something is left.
func (s *segments) more() bool { return s.pkt != nil }

// end lets go of the packet.
func (s *segments) end() {
	s.pkt.DecRef()
	s.pkt, s.view = nil, nil
}

// copy fills b with what is next.
func (s *segments) copy(b []byte) {
	for len(b) > 0 && s.view != nil {
		n := copy(b, s.view.AsSlice()[s.off:])
		b = b[n:]
		s.left -= n
		if s.off += n; s.off == s.view.Size() {
			s.view, s.off = s.view.Next(), 0
		}
	}
}

// cut writes the next packet, whole and with its checksums, and returns its length;
// 0 if out is too small, and then all of it is lost.
func (s *segments) cut(out []byte) int {
	size := s.left
	if s.heads > 0 && s.mss > 0 {
		size = min(size, s.mss)
	}
	n := s.heads + size
	if n > len(out) {
		s.end()
		return 0
	}
	out = out[:n]
	copy(out, s.head[:s.heads])
	s.copy(out[s.heads:])
	last := s.left == 0
	if s.heads > 0 {
		s.finish(out, size, last)
	}
	if last {
		s.end()
	}
	return n
}

// finish makes the headers those of this segment.
func (s *segments) finish(out []byte, size int, last bool) {
	if s.six {
		binary.BigEndian.PutUint16(out[4:], uint16(len(out)-header.IPv6MinimumSize))
	} else {
		binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
		binary.BigEndian.PutUint16(out[4:], binary.BigEndian.Uint16(s.head[4:])+uint16(s.count))
		out[10], out[11] = 0, 0
		binary.BigEndian.PutUint16(out[10:], ^checksum.Checksum(out[:s.ip], 0))
	}
	tcp := out[s.ip:]
	binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(s.head[s.ip+4:])+uint32(s.done))
	if !last {
		tcp[13] &^= byte(header.TCPFlagFin | header.TCPFlagPsh)
	}
	tcp[16], tcp[17] = 0, 0
	binary.BigEndian.PutUint16(tcp[16:], ^checksum.Checksum(tcp, checksum.Combine(s.sum, uint16(len(tcp)))))
	s.done += size
	s.count++
}
