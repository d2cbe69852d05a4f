package fw

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// counter counts the packets that get so far.
type counter struct{}

func (counter) String() string    { return "counter packets 0 bytes 0" }
func (counter) exprs() []expr.Any { return []expr.Any{&expr.Counter{}} }

// A verdict ends a packet's way, or leads it on.
type verdict string

const (
	accept     verdict = "accept"
	drop       verdict = "drop"
	masquerade verdict = "masquerade"
	// reject tells the sender at once, so that nothing waits for a timeout.
	reject verdict = "reject with icmpx admin-prohibited"
	reset  verdict = "reject with tcp reset"
)

func (v verdict) String() string { return string(v) }

func (v verdict) exprs() []expr.Any {
	switch v {
	case accept:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	case masquerade:
		return []expr.Any{&expr.Masq{}}
	case reset:
		return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}
	case reject:
		return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
	}
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
}

// jump goes to another chain, and comes back if that decides nothing.
type jump string

func (j jump) String() string { return "jump " + string(j) }
func (j jump) exprs() []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: string(j)}}
}

// lead sends a packet to another address.
type lead struct {
	to    netip.Addr
	port  uint16 // 0: the same
	ports string // a map of ports
	proto uint8  // with ports
}

func (l lead) String() string {
	ip, addr := "ip", l.to.String()
	if l.to.Is6() {
		ip = "ip6"
	}
	switch {
	case l.ports != "":
		return fmt.Sprintf("dnat %s to %s:%s dport map @%s", ip, bracket(l.to), protoName(l.proto), l.ports)
	case l.port != 0:
		return fmt.Sprintf("dnat %s to %s:%d", ip, bracket(l.to), l.port)
	}
	return fmt.Sprintf("dnat %s to %s", ip, addr)
}

func bracket(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

func (l lead) exprs() []expr.Any {
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, Specified: true}
	second := uint32(2)
	if l.to.Is6() {
		nat.Family = unix.NFPROTO_IPV6
	}
	out := []expr.Any{&expr.Immediate{Register: 1, Data: l.to.AsSlice()}}
	switch {
	case l.ports != "":
		nat.RegProtoMin = second
		out = append(
			out,
			&expr.Payload{DestRegister: second, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Lookup{SourceRegister: second, DestRegister: second, IsDestRegSet: true, SetName: l.ports},
		)
	case l.port != 0:
		nat.RegProtoMin = second
		out = append(out, &expr.Immediate{Register: second, Data: binary.BigEndian.AppendUint16(nil, l.port)})
	default:
		nat.Specified = false
	}
	return append(out, nat)
}

// mapped sends a packet where a map of protocol and port says.
type mapped struct{ v family }

func (m mapped) String() string {
	ip := "ip"
	if m.v.six {
		ip = "ip6"
	}
	return fmt.Sprintf("dnat %s to meta l4proto . th dport map @%s", ip, m.v.set("mapped"))
}

func (m mapped) exprs() []expr.Any {
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: unix.NFT_REG32_00 + 1, Specified: true}
	if m.v.six {
		nat.Family, nat.RegProtoMin = unix.NFPROTO_IPV6, 2
	}
	return append(
		load(m.v.six, []part{l4, dport}),
		&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: m.v.set("mapped")},
		nat,
	)
}

// stamp gives a packet a mark.
type stamp uint32

func (m stamp) String() string { return fmt.Sprintf("meta mark set 0x%08x", uint32(m)) }

func (m stamp) exprs() []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: []byte(markBytes(uint32(m)))},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

// keep copies our bits of a mark: of the packet to its connection, or back.
type keep struct{ back bool }

func (k keep) String() string {
	if k.back {
		return fmt.Sprintf("meta mark set ct mark & 0x%08x", marks)
	}
	return fmt.Sprintf("ct mark set meta mark & 0x%08x", marks)
}

func (k keep) exprs() []expr.Any {
	mask := &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte(markBytes(marks)), Xor: make([]byte, 4)}
	if k.back {
		return []expr.Any{
			&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, mask,
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
		}
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, mask,
		&expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: 1},
	}
}

// fit lowers the size of TCP segments to what the route takes.
type fit struct{}

func (fit) String() string { return "tcp option maxseg size set rt mtu" }

func (fit) exprs() []expr.Any {
	const kindMSS = 2
	return []expr.Any{
		&expr.Rt{Register: 1, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 2, Size: 2},
		&expr.Exthdr{SourceRegister: 1, Type: kindMSS, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt},
	}
}

// note keeps an address of the packet in a set, for as long as that says, and
// does something there for it.
type note struct {
	six  bool
	part part
	set  string
	rate int // 0: count
}

func (n note) String() string {
	what := "counter"
	if n.rate != 0 {
		what = rate{n.rate, true}.String()
	}
	return fmt.Sprintf("update @%s { %s %s }", n.set, words(n.six, []part{n.part}), what)
}

func (n note) exprs() []expr.Any {
	var what expr.Any = &expr.Counter{}
	if n.rate != 0 {
		what = rate{n.rate, true}.limit()
	}
	return append(load(n.six, []part{n.part}), &expr.Dynset{
		SrcRegKey: 1, SetName: n.set, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{what},
	})
}

// How long addresses are remembered, and how many.
const (
	rateLife  = 10 * time.Second
	countLife = 24 * time.Hour
	mostNoted = 16384
)
