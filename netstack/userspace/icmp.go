package userspace

import (
	"errors"
	"net/netip"

	"pic/netstack/policy"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// unreachable tells a peer that its datagram did not arrive. What it is told of the
// datagram is the headers, by which it finds its socket.
func (n *Net) unreachable(f *flow, why error) {
	from, kind, code := f.Dst, byte(header.ICMPv4DstUnreachable), byte(header.ICMPv4PortUnreachable)
	if f.Dst.Is6() {
		kind, code = byte(header.ICMPv6DstUnreachable), byte(header.ICMPv6PortUnreachable)
	}
	if !errors.Is(why, unix.ECONNREFUSED) { // then nobody is there who could say so
		own, ok := n.own(f.Dst.Is4())
		if !ok {
			return
		}
		from, code = own, byte(header.ICMPv4HostUnreachable)
		if f.Dst.Is6() {
			code = byte(header.ICMPv6AddressUnreachable)
		}
	}
	u := make([]byte, header.UDPMinimumSize)
	header.UDP(u).Encode(&header.UDPFields{SrcPort: f.from, DstPort: f.Port, Length: header.UDPMinimumSize})
	about := ipPacket(f.Src, f.Dst, policy.UDP, u)
	n.sendICMP(from, f.Src, append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, about...))
}

// own is the cell's address of one IP version.
func (n *Net) own(four bool) (netip.Addr, bool) {
	if g := n.gate.Load(); g != nil {
		for _, a := range g.cell {
			if a.Is4() == four {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// sendICMP sends a message, whose checksum it sets, to a peer.
func (n *Net) sendICMP(src, dst netip.Addr, msg []byte) {
	proto, seed := policy.ICMP, uint16(0)
	if dst.Is6() {
		proto = policy.ICMPv6
		seed = header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, address(src), address(dst), uint16(len(msg)))
	}
	msg[2], msg[3] = 0, 0
	sum := ^checksum.Checksum(msg, seed)
	msg[2], msg[3] = byte(sum>>8), byte(sum)
	p := ipPacket(src, dst, uint8(proto), msg)
	if len(p) > n.mtu {
		return
	}
	n.link.send(stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)}))
}

// ipPacket puts an IP header before body.
func ipPacket(src, dst netip.Addr, proto uint8, body []byte) []byte {
	if src.Is4() {
		p := make([]byte, header.IPv4MinimumSize, header.IPv4MinimumSize+len(body))
		h := header.IPv4(p)
		h.Encode(&header.IPv4Fields{
			TotalLength: uint16(cap(p)), TTL: 64, Protocol: proto, SrcAddr: address(src), DstAddr: address(dst),
		})
		h.SetChecksum(^h.CalculateChecksum())
		return append(p, body...)
	}
	p := make([]byte, header.IPv6MinimumSize, header.IPv6MinimumSize+len(body))
	p[0] = 6 << 4
	p[4], p[5], p[6], p[7] = byte(len(body)>>8), byte(len(body)), proto, 64
	copy(p[8:], src.AsSlice())
	copy(p[24:], dst.AsSlice())
	return append(p, body...)
}
