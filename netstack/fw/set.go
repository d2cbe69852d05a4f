package fw

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables/binaryutil"

	"pic/netstack/policy"
)

// A set holds elements by key. One with data is a map.
type set struct {
	name  string
	key   []kind
	data  []kind
	nets  bool          // elements are ranges
	timed bool          // elements may end by themselves
	size  uint32        // of one that rules add to; its elements are the kernel's
	life  time.Duration // of an element there
	elems []elem        // sorted, none twice
	crowd string        // in their place, of a set of peers: their keys in order, each with its last where they are ranges
}

// A kind is a datatype of nft.
type kind string

const (
	addr4  kind = "ipv4_addr"
	addr6  kind = "ipv6_addr"
	proto  kind = "inet_proto"
	port   kind = "inet_service"
	icmp4  kind = "icmp_type"
	icmp6  kind = "icmpv6_type"
	concat      = " . "
)

func (k kind) width() int {
	switch k {
	case addr6:
		return 16
	case port:
		return 2
	case proto, icmp4, icmp6:
		return 1
	}
	return 4
}

// An elem is one in the kernel's own bytes: each field of several fills words of
// four.
type elem struct {
	key  string
	last string // of a range: its end, included
	data string
	end  time.Time // when it goes; zero: never
}

func word(b ...byte) string {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return string(b)
}

func addrBytes(a netip.Addr) string { return string(a.AsSlice()) }

func appendAddr(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		four := a.As4()
		return append(b, four[:]...)
	}
	all := a.As16()
	return append(b, all[:]...)
}

// portBytes and protoBytes are fields among others; alone they fill no word.
func portBytes(p uint16) string { return word(byte(p>>8), byte(p)) }
func protoBytes(p uint8) string { return word(p) }
func markBytes(m uint32) string { return string(binaryutil.NativeEndian.PutUint32(m)) }
func bareBytes(p uint16) string { return portBytes(p)[:2] }
func (s *set) add(e elem)       { s.elems = append(s.elems, e) }

// net adds a network; in a set that is not of ranges, it must be one address.
func (s *set) net(p netip.Prefix) {
	e := elem{key: addrBytes(p.Masked().Addr())}
	if s.nets {
		e.last = addrBytes(last(p))
	}
	s.add(e)
}

// last is the highest address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// tidy sorts, and drops what is there twice.
func (s *set) tidy() {
	inOrder(s.elems, compare)
	s.elems = slices.CompactFunc(s.elems, func(a, b elem) bool { return a.key == b.key && a.last == b.last })
}

// record is how many bytes of crowd an element has.
func (s *set) record() int {
	n := 0
	for _, k := range s.key {
		n += (k.width() + 3) &^ 3
	}
	if s.nets {
		n *= 2
	}
	return n
}

// count is how many elements the set has.
func (s *set) count() int {
	if s.crowd != "" {
		return len(s.crowd) / s.record()
	}
	return len(s.elems)
}

// all yields the elements in order.
func (s *set) all(yield func(elem) bool) {
	for _, e := range s.elems {
		if !yield(e) {
			return
		}
	}
	n := s.record()
	for rest := s.crowd; rest != ""; rest = rest[n:] {
		if !yield(s.of(rest[:n])) {
			return
		}
	}
}

// of is the element of a record of crowd.
func (s *set) of(record string) elem {
	if s.nets {
		return elem{key: record[:len(record)/2], last: record[len(record)/2:]}
	}
	return elem{key: record}
}

// inOrder sorts what is mostly in order already.
func inOrder[E any](list []E, by func(a, b E) int) {
	if !slices.IsSortedFunc(list, by) {
		slices.SortFunc(list, by)
	}
}

func compare(a, b elem) int {
	if c := strings.Compare(a.key, b.key); c != 0 {
		return c
	}
	return strings.Compare(a.last, b.last)
}

// sameAs reports whether b has what a has, for as long.
func (a elem) sameAs(b elem) bool {
	return a.key == b.key && a.last == b.last && a.data == b.data && a.end.Equal(b.end)
}

// isRuntime reports whether rules fill the set.
func (s *set) isRuntime() bool { return s.size > 0 }

// head is all of a set but its elements.
func (s *set) head() string {
	var b strings.Builder
	what := "set"
	if s.data != nil {
		what = "map"
	}
	fmt.Fprintf(&b, "\t%s %s {\n\t\ttype %s", what, s.name, join(s.key))
	if s.data != nil {
		fmt.Fprintf(&b, " : %s", join(s.data))
	}
	b.WriteString("\n")
	if s.size > 0 {
		fmt.Fprintf(&b, "\t\tsize %d\n", s.size)
	}
	var flags []string
	if s.nets {
		flags = append(flags, "interval")
	}
	if s.size > 0 {
		flags = append(flags, "dynamic")
	}
	if s.timed || s.life > 0 {
		flags = append(flags, "timeout")
	}
	if flags != nil {
		fmt.Fprintf(&b, "\t\tflags %s\n", strings.Join(flags, ","))
	}
	if s.life > 0 {
		fmt.Fprintf(&b, "\t\ttimeout %s\n", life(s.life))
	}
	return b.String()
}

// life writes a duration of whole seconds as nft does.
func life(d time.Duration) string {
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= u.d && d%u.d == 0 {
			return strconv.Itoa(int(d/u.d)) + u.name
		}
	}
	return strconv.Itoa(int(d/time.Second)) + "s"
}

func join(list []kind) string {
	var out []string
	for _, k := range list {
		out = append(out, string(k))
	}
	return strings.Join(out, concat)
}

// text writes an element, without its time, which passes.
func (s *set) text(e elem) string {
	var from, to []string
	key, end := e.key, e.last
	for _, k := range s.key {
		var f, l string
		f, key = field(k, key)
		if end != "" {
			l, end = field(k, end)
		}
		from, to = append(from, f), append(to, l)
	}
	for i, k := range s.key {
		if to[i] == "" || to[i] == from[i] {
			continue
		}
		from[i] = span(k, from[i], to[i])
	}
	out := strings.Join(from, concat)
	if s.data != nil {
		var words []string
		data := e.data
		for _, k := range s.data {
			var w string
			w, data = field(k, data)
			words = append(words, w)
		}
		out += " : " + strings.Join(words, concat)
	}
	return out
}

// field reads the first field of b and returns what follows it.
func field(k kind, b string) (text, rest string) {
	n := k.width()
	rest = b[min(len(b), (n+3)/4*4):]
	v := []byte(b[:n])
	switch k {
	case addr4, addr6:
		a, _ := netip.AddrFromSlice(v)
		return a.String(), rest
	case port:
		return strconv.Itoa(int(binary.BigEndian.Uint16(v))), rest
	case proto:
		return protoName(v[0]), rest
	case icmp6:
		return icmp6Name(v[0]), rest
	case icmp4:
		return icmp4Name(v[0]), rest
	}
	return strconv.Itoa(int(v[0])), rest
}

// span writes a range: a network where it is one.
func span(k kind, from, to string) string {
	if k == addr4 || k == addr6 {
		a, b := netip.MustParseAddr(from), netip.MustParseAddr(to)
		for bits := range a.BitLen() {
			if p := netip.PrefixFrom(a, bits); p.Masked().Addr() == a && last(p) == b {
				return p.String()
			}
		}
	}
	return from + "-" + to
}

func protoName(p byte) string {
	switch p {
	case policy.ICMP:
		return "icmp"
	case policy.TCP:
		return "tcp"
	case policy.UDP:
		return "udp"
	case policy.ICMPv6:
		return "ipv6-icmp"
	}
	return strconv.Itoa(int(p))
}

// String writes the set as `nft list` would.
func (s *set) String() string {
	var b strings.Builder
	b.WriteString(s.head())
	if n := s.count(); n > 0 {
		words := make([]string, 0, n)
		for e := range s.all {
			words = append(words, s.text(e))
		}
		fmt.Fprintf(&b, "\t\telements = { %s }\n", strings.Join(words, ", "))
	}
	b.WriteString("\t}\n")
	return b.String()
}
