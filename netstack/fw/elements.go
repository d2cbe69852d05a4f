package fw

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/google/nftables/expr"

	"pic/internal/order"
	"pic/netstack/policy"
)

type prefix = netip.Prefix

func single(a netip.Addr) prefix { return netip.PrefixFrom(a, a.BitLen()) }

// offered are the ports of the services that are listed, as they stand in keys.
func offered(all []policy.Service, names []string) (tails []string) {
	for _, o := range all {
		if !slices.Contains(names, o.Name) {
			continue
		}
		for _, p := range o.Ports {
			tails = append(tails, protoBytes(p.Proto)+portBytes(p.Number))
		}
	}
	return tails
}

// services adds that a network, or an address, may use what is offered.
func (s *set) services(n elem, tails []string) {
	for _, t := range tails {
		e := elem{key: n.key + t}
		if s.nets {
			e.last = n.last + t
		}
		s.add(e)
	}
}

// pair adds that a may reach b.
func (s *set) pair(a, b prefix) {
	e := elem{key: addrBytes(a.Addr()) + addrBytes(b.Addr())}
	if s.nets {
		e.last = addrBytes(last(a)) + addrBytes(last(b))
	}
	s.add(e)
}

// carve makes ranges of the bans of one family that do not overlap: of two that
// hold an address, the one that lasts longer counts.
func carve(bans []Ban, v family) []elem {
	var list []Ban
	for _, b := range bans {
		if b.Net.IsValid() && v.has(b.Net.Addr()) {
			b.Net = b.Net.Masked()
			list = append(list, b)
		}
	}
	// A network comes before those within it, of equals the longest first.
	order.Stable(list, func(a, b Ban) int {
		if c := a.Net.Addr().Compare(b.Net.Addr()); c != 0 {
			return c
		}
		if a.Net.Bits() != b.Net.Bits() {
			return a.Net.Bits() - b.Net.Bits()
		}
		if outlasts(a.Until, b.Until) {
			return -1
		}
		return 1
	})
	var out []elem
	for len(list) > 0 {
		list = carveOne(list, &out)
	}
	return out
}

// carveOne writes down the first of the list and what is within it, and returns
// the rest.
func carveOne(list []Ban, out *[]elem) []Ban {
	top := list[0]
	list = list[1:]
	cursor, end := top.Net.Addr(), last(top.Net)
	put := func(to netip.Addr) {
		*out = append(*out, elem{key: addrBytes(cursor), last: addrBytes(to), end: top.Until})
	}
	for len(list) > 0 && top.Net.Contains(list[0].Net.Addr()) {
		if !outlasts(list[0].Until, top.Until) {
			list = list[1:]
			continue
		}
		first := list[0].Net.Addr()
		if cursor.IsValid() && cursor.Less(first) {
			put(first.Prev())
		}
		cursor = last(list[0].Net).Next()
		list = carveOne(list, out)
	}
	if cursor.IsValid() && !end.Less(cursor) {
		put(end)
	}
	return list
}

// outlasts reports whether a is later than b, zero being never.
func outlasts(a, b time.Time) bool {
	switch {
	case b.IsZero():
		return false
	case a.IsZero():
		return true
	}
	return a.After(b)
}

// Kinds of ICMP that a router takes from the internet, and that it lets through
// to the LAN in IPv6: RFC 4890, sections 4.4 and 4.3. Errors of connections that
// are open pass anyway.
var (
	icmp4Let     = []byte{3, 8, 11, 12}
	icmp6Let     = []byte{1, 2, 3, 4, 128, 129, 130, 131, 132, 133, 134, 135, 136, 141, 142, 143, 148, 149, 151, 152, 153}
	icmp6Through = []byte{1, 2, 3, 4, 128, 129}
)

// How many of them a second. Neighbour discovery needs more than pings.
const (
	pingRate    = 200
	throughRate = 1000
)

func icmp4Name(t byte) string {
	switch t {
	case 3:
		return "destination-unreachable"
	case 8:
		return "echo-request"
	case 11:
		return "time-exceeded"
	case 12:
		return "parameter-problem"
	}
	return strconv.Itoa(int(t))
}

func icmp6Name(t byte) string {
	names := map[byte]string{
		1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem",
		128: "echo-request", 129: "echo-reply", 130: "mld-listener-query", 131: "mld-listener-report",
		132: "mld-listener-done", 133: "nd-router-solicit", 134: "nd-router-advert", 135: "nd-neighbor-solicit",
		136: "nd-neighbor-advert", 141: "ind-neighbor-solicit", 142: "ind-neighbor-advert", 143: "mld2-listener-report",
	}
	if n := names[t]; n != "" {
		return n
	}
	return strconv.Itoa(int(t))
}

// through is the condition that a packet is ICMPv6 that a router lets pass.
type through struct{}

func (through) String() string { return "icmpv6 type @icmp6_through" }

func (through) exprs() []expr.Any {
	out := pings{six: true}.exprs()
	out[len(out)-1] = &expr.Lookup{SourceRegister: 1, SetName: "icmp6_through"}
	return out
}
