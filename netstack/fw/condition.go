package fw

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"pic/netstack/policy"
)

// A card is a condition on the interface that a packet came in by, or goes out
// by.
type card struct {
	out  bool
	name string
	not  bool
}

func in(name string) card  { return card{name: name} }
func out(name string) card { return card{out: true, name: name} }
func (c card) other() card { c.not = true; return c }

func (c card) String() string {
	key, op := "iifname", " "
	if c.out {
		key = "oifname"
	}
	if c.not {
		op = " != "
	}
	return fmt.Sprintf("%s%s%q", key, op, c.name)
}

func (c card) exprs() []expr.Any {
	key, op := expr.MetaKeyIIFNAME, expr.CmpOpEq
	if c.out {
		key = expr.MetaKeyOIFNAME
	}
	if c.not {
		op = expr.CmpOpNeq
	}
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, c.name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: padded}}
}

// A state is that of the packet's connection.
type state string

const (
	known    state = "ct state established,related" // it was allowed to open
	opening  state = "ct state new"
	invalid  state = "ct state invalid"
	diverted state = "ct status dnat" // a port forward has it
	answer   state = "ct direction reply"
)

func (s state) String() string { return string(s) }

func (s state) exprs() []expr.Any {
	if s == answer {
		return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal(1)}
	}
	key, bits := expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED
	switch s {
	case opening:
		bits = expr.CtStateBitNEW
	case invalid:
		bits = expr.CtStateBitINVALID
	case diverted:
		const ipsDstNAT = 1 << 5
		key, bits = expr.CtKeySTATUS, ipsDstNAT
	}
	return append([]expr.Any{&expr.Ct{Key: key, Register: 1}}, bitsOf(bits, 0, expr.CmpOpNeq)...)
}

// bitsOf compares some bits of register 1.
func bitsOf(mask, value uint32, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte(markBytes(mask)), Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: 1, Data: []byte(markBytes(value))},
	}
}

// A part is something of a packet that sets are looked up by.
type part int

const (
	src part = iota
	dst
	l4
	dport
	source // port
)

// A lookup is the condition that a set has the packet's parts.
type lookup struct {
	six   bool
	parts []part
	set   string
}

func from(v family, set string) lookup { return lookup{v.six, []part{src}, v.set(set)} }
func to(v family, set string) lookup   { return lookup{v.six, []part{dst}, v.set(set)} }

func (l lookup) String() string { return words(l.six, l.parts) + " @" + l.set }

func words(six bool, parts []part) string {
	ip := "ip"
	if six {
		ip = "ip6"
	}
	var w []string
	for _, p := range parts {
		w = append(w, [...]string{ip + " saddr", ip + " daddr", "meta l4proto", "th dport", "th sport"}[p])
	}
	return strings.Join(w, concat)
}

func (l lookup) exprs() []expr.Any {
	return append(load(l.six, l.parts), &expr.Lookup{SourceRegister: 1, SetName: l.set})
}

// load brings parts into registers: the first into 1, the others into those that
// follow.
func load(six bool, parts []part) []expr.Any {
	var out []expr.Any
	family, size, at := byte(unix.NFPROTO_IPV4), uint32(4), [2]uint32{12, 16}
	if six {
		family, size, at = unix.NFPROTO_IPV6, 16, [2]uint32{8, 24}
	}
	if parts[0] == src || parts[0] == dst {
		out = append(out, &expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(family))
	}
	reg, used := uint32(1), uint32(0)
	for _, p := range parts {
		n := uint32(4)
		switch p {
		case src, dst:
			n = size
			out = append(out, &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: at[p], Len: size})
		case l4:
			out = append(out, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg})
		case dport:
			out = append(out, &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
		case source:
			out = append(out, &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 2})
		}
		used += n / 4
		reg = unix.NFT_REG32_00 + used
	}
	return out
}

func equal(b ...byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: b} }

// ports is the condition on the packet's target port.
type ports struct {
	proto       uint8
	first, last uint16
}

func (p ports) String() string {
	if p.first == p.last {
		return fmt.Sprintf("%s dport %d", protoName(p.proto), p.first)
	}
	return fmt.Sprintf("%s dport %d-%d", protoName(p.proto), p.first, p.last)
}

func (p ports) exprs() []expr.Any {
	out := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(p.proto),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
	if p.first == p.last {
		return append(out, equal(binary.BigEndian.AppendUint16(nil, p.first)...))
	}
	return append(out, &expr.Range{
		Op: expr.CmpOpEq, Register: 1,
		FromData: binary.BigEndian.AppendUint16(nil, p.first), ToData: binary.BigEndian.AppendUint16(nil, p.last),
	})
}

// sport is the condition on the port that a UDP packet comes from.
type sport uint16

func (p sport) String() string { return fmt.Sprintf("udp sport %d", p) }

func (p sport) exprs() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(policy.UDP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 2},
		equal(binary.BigEndian.AppendUint16(nil, uint16(p))...),
	}
}

// target is the condition that a packet goes to one IPv6 address.
type target netip.Addr

func (a target) String() string { return "ip6 daddr " + netip.Addr(a).String() }

func (a target) exprs() []expr.Any {
	return append(load(true, []part{dst}), equal(netip.Addr(a).AsSlice()...))
}

// pings are the kinds of ICMP in a set.
type pings struct{ six bool }

func (p pings) String() string {
	if p.six {
		return "icmpv6 type @icmp6"
	}
	return "icmp type @icmp4"
}

func (p pings) exprs() []expr.Any {
	number, set := byte(policy.ICMP), "icmp4"
	if p.six {
		number, set = policy.ICMPv6, "icmp6"
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(number),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Lookup{SourceRegister: 1, SetName: set},
	}
}

// protocol is the condition on what the packet carries.
type protocol uint8

func (p protocol) String() string { return "meta l4proto " + protoName(byte(p)) }

func (p protocol) exprs() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(byte(p))}
}

// syn is the condition that the packet asks for a TCP connection, or, with
// answers, that it also may grant one; with not, that it does neither.
type syn struct{ answers, not bool }

const tcpFIN, tcpSYN, tcpRST, tcpACK = 1, 2, 4, 16

func (s syn) String() string {
	switch {
	case s.answers:
		return "tcp flags syn / syn,rst"
	case s.not:
		return "tcp flags != syn / fin,syn,rst,ack"
	}
	return "tcp flags syn / fin,syn,rst,ack"
}

func (s syn) exprs() []expr.Any {
	mask := byte(tcpFIN | tcpSYN | tcpRST | tcpACK)
	if s.answers {
		mask = tcpSYN | tcpRST
	}
	last := equal(tcpSYN)
	if s.not {
		last.Op = expr.CmpOpNeq
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(policy.TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{mask}, Xor: []byte{0}},
		last,
	}
}

// rate is the condition that no more than so many packets a second came so far,
// or, with over, that more did.
type rate struct {
	n    int
	over bool
}

func (r rate) String() string {
	word := "limit rate "
	if r.over {
		word += "over "
	}
	return fmt.Sprintf("%s%d/second burst %d packets", word, r.n, r.n)
}

func (r rate) limit() *expr.Limit {
	return &expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(r.n), Unit: expr.LimitTimeSecond, Over: r.over, Burst: uint32(r.n)}
}

func (r rate) exprs() []expr.Any { return []expr.Any{r.limit()} }

// flag is the condition on our bits of the packet's mark, or of its connection's.
type flag struct {
	ct    bool
	not   bool
	value uint32
}

// marks are the bits of a mark that are ours: the number of an exit.
const marks = 0x00ff0000

func (f flag) String() string {
	key, op := "meta", "=="
	if f.ct {
		key = "ct"
	}
	if f.not {
		op = "!="
	}
	return fmt.Sprintf("%s mark & 0x%08x %s 0x%08x", key, marks, op, f.value)
}

func (f flag) exprs() []expr.Any {
	op := expr.CmpOpEq
	if f.not {
		op = expr.CmpOpNeq
	}
	var get expr.Any = &expr.Meta{Key: expr.MetaKeyMARK, Register: 1}
	if f.ct {
		get = &expr.Ct{Key: expr.CtKeyMARK, Register: 1}
	}
	return append([]expr.Any{get}, bitsOf(marks, f.value, op)...)
}

// A family is IPv4 or IPv6.
type family struct{ six bool }

// set names one of the pair of sets.
func (v family) set(name string) string {
	if v.six {
		return name + "6"
	}
	return name + "4"
}

func (v family) kind() kind {
	if v.six {
		return addr6
	}
	return addr4
}

func (v family) has(a netip.Addr) bool { return a.Is6() == v.six }

func (v family) String() string {
	if v.six {
		return "meta nfproto ipv6"
	}
	return "meta nfproto ipv4"
}

func (v family) exprs() []expr.Any {
	n := byte(unix.NFPROTO_IPV4)
	if v.six {
		n = unix.NFPROTO_IPV6
	}
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(n)}
}
