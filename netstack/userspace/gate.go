package userspace

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"pic/netstack/policy"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// A gate is a policy, with what each packet asks of it at hand.
type gate struct {
	*policy.Policy
	cell   []netip.Addr
	vpn    []netip.Prefix
	served *served
}

func newGate(p *policy.Policy, s *served) *gate {
	if p == nil {
		return nil
	}
	r := p.Rules()
	return &gate{p, r.Cell, r.VPN, s}
}

// What is done with a packet.
type fate int

const (
	drop fate = iota
	pass      // to the stack
	echo      // it is a ping for somebody beyond the cell
)

// A memo is the last decision, which is often the next.
type memo struct {
	gate  *gate
	flow  policy.Flow
	allow bool
}

// judge says what the stack should see of a peer: what it may send to the cell, and
// TCP and UDP for others. The stack itself would answer for others too, and would
// take a peer's address for its own.
func (g *gate) judge(h *sight, m *memo) fate {
	if slices.Contains(g.cell, h.Dst) {
		if !h.opens && h.Port >= firstFree && g.served.has(h.Proto, h.Port) {
			h.opens = true
		}
		if !h.opens || m.allow && m.gate == g && m.flow == h.Flow {
			return pass
		}
		if !g.Decide(h.Flow).Allow {
			return drop
		}
		*m = memo{g, h.Flow, true}
		return pass
	}
	switch {
	case policy.Within(h.Dst, g.vpn):
		return drop
	case h.Proto == policy.TCP, h.Proto == policy.UDP:
		return pass
	case h.echo && beyond(g.Policy, h.Flow):
		return echo
	}
	return drop
}

// beyond reports whether the policy lets a peer go there, and there is beyond the
// tunnel.
func beyond(p *policy.Policy, f policy.Flow) bool {
	v := p.Decide(f)
	switch v.Way {
	case policy.ToLAN, policy.ToWAN:
		return v.Allow
	case policy.ToCell: // by another of the host's addresses
		return v.Allow && !slices.Contains(p.Rules().Cell, f.Dst)
	}
	return false
}

// A sight is what the headers of a packet say.
type sight struct {
	policy.Flow
	ip    int  // length of the IPv4 or first IPv6 header
	rest  int  // where the header of the transport begins; 0: not in this packet
	piece bool // a fragment
	opens bool // it may be for a service
	echo  bool // a whole ICMP echo request
}

// look reads the headers of an IP packet. What is for a port from which the stack
// opens connections of its own is taken for an answer, unless a service listens
// there; all else is decided on packet by packet, so that open connections end with
// the right to them. Later pieces of a packet begin nothing, and
// a first one too small to tell is refused.
func look(p []byte) (sight, bool) {
	var h sight
	switch {
	case len(p) >= header.IPv4MinimumSize && p[0]>>4 == 4:
		h.ip = int(p[0]&15) * 4
		if h.ip < header.IPv4MinimumSize || h.ip > len(p) || int(binary.BigEndian.Uint16(p[2:])) != len(p) {
			return h, false
		}
		h.Src, h.Dst, h.Proto = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[9]
		h.piece = binary.BigEndian.Uint16(p[6:])&0x3fff != 0
		if binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return h, true
		}
	case len(p) >= header.IPv6MinimumSize && p[0]>>4 == 6:
		if int(binary.BigEndian.Uint16(p[4:]))+header.IPv6MinimumSize != len(p) {
			return h, false
		}
		h.ip = header.IPv6MinimumSize
		h.Src, h.Dst, h.Proto = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[6]
	default:
		return h, false
	}
	rest := p[h.ip:]
	switch h.Proto {
	case policy.TCP:
		if len(rest) < header.TCPMinimumSize {
			return h, false
		}
		h.Port = binary.BigEndian.Uint16(rest[2:])
		h.opens = h.Port < firstFree || header.TCPFlags(rest[13])&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn
	case policy.UDP:
		if len(rest) < header.UDPMinimumSize {
			return h, false
		}
		h.Port = binary.BigEndian.Uint16(rest[2:])
		h.opens = h.Port < firstFree
	case policy.ICMP, policy.ICMPv6:
		h.opens = true
		if len(rest) < header.ICMPv4MinimumSize {
			return h, false
		}
		h.echo = !h.piece && rest[1] == 0 && (h.Dst.Is4() && h.Proto == policy.ICMP && rest[0] == byte(header.ICMPv4Echo) ||
			h.Dst.Is6() && h.Proto == policy.ICMPv6 && rest[0] == byte(header.ICMPv6EchoRequest))
	default: // IPv6 extension headers among them
		h.opens = true
		return h, true
	}
	h.rest = h.ip
	return h, true
}

// firstFree is the first port that the stack gives to what the cell itself opens.
const firstFree = 16000
