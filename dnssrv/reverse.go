package dnssrv

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

var (
	arpa4 = mustName("in-addr.arpa")
	arpa6 = mustName("ip6.arpa")
)

// reverseOf returns the addresses that a name below in-addr.arpa or ip6.arpa
// stands for: one address, or where labels are missing the prefix above it.
func reverseOf(n name) (netip.Prefix, bool) {
	switch {
	case n != arpa4 && n.below(arpa4):
		var b [4]byte
		depth := n.labels() - 2
		if depth > 4 {
			return netip.Prefix{}, false
		}
		for i := depth - 1; i >= 0; i-- {
			label := string(n[1 : 1+int(n[0])])
			v, err := strconv.ParseUint(label, 10, 8)
			if err != nil || len(label) > 1 && label[0] == '0' {
				return netip.Prefix{}, false
			}
			b[i] = byte(v)
			n = n.parent()
		}
		return netip.PrefixFrom(netip.AddrFrom4(b), 8*depth), true
	case n != arpa6 && n.below(arpa6):
		var b [16]byte
		depth := n.labels() - 2
		if depth > 32 {
			return netip.Prefix{}, false
		}
		for i := depth - 1; i >= 0; i-- {
			v, err := strconv.ParseUint(string(n[1:1+int(n[0])]), 16, 8)
			if err != nil || n[0] != 1 {
				return netip.Prefix{}, false
			}
			b[i/2] |= byte(v) << (4 * (1 - i%2))
			n = n.parent()
		}
		return netip.PrefixFrom(netip.AddrFrom16(b), 4*depth), true
	}
	return netip.Prefix{}, false
}

// reverseName returns the name below in-addr.arpa or ip6.arpa of a prefix whose
// length is a whole number of its labels.
func reverseName(p netip.Prefix) name {
	var s strings.Builder
	if p.Addr().Is4() {
		b := p.Addr().As4()
		for i := p.Bits()/8 - 1; i >= 0; i-- {
			fmt.Fprintf(&s, "%d.", b[i])
		}
		return mustName(s.String() + "in-addr.arpa.")
	}
	b := p.Addr().As16()
	for i := p.Bits()/4 - 1; i >= 0; i-- {
		fmt.Fprintf(&s, "%x.", b[i/2]>>(4*(1-i%2))&15)
	}
	return mustName(s.String() + "ip6.arpa.")
}

// reverseOfAddr returns the name of the PTR records of an address.
func reverseOfAddr(a netip.Addr) name { return reverseName(netip.PrefixFrom(a, a.BitLen())) }

// reverseZones returns the zones that together hold the reverse of just the
// addresses of p: one where p ends at a label, else up to 128.
func reverseZones(p netip.Prefix) []name {
	p = p.Masked()
	step := 8
	if p.Addr().Is6() {
		step = 4
	}
	bits := (p.Bits() + step - 1) / step * step
	if bits == 0 {
		return nil
	}
	var out []name
	for a := p.Addr(); p.Contains(a); {
		out = append(out, reverseName(netip.PrefixFrom(a, bits)))
		next, ok := after(netip.PrefixFrom(a, bits))
		if !ok {
			break
		}
		a = next
	}
	return out
}

// after returns the address that follows p.
func after(p netip.Prefix) (netip.Addr, bool) {
	b := p.Masked().Addr().AsSlice()
	if p.Bits() == 0 {
		return netip.Addr{}, false
	}
	i := (p.Bits() - 1) / 8
	add := 1 << (7 - (p.Bits()-1)%8)
	for ; i >= 0; i-- {
		v := int(b[i]) + add
		b[i] = byte(v)
		if v < 256 {
			a, _ := netip.AddrFromSlice(b)
			return a, true
		}
		add = 1
	}
	return netip.Addr{}, false
}
