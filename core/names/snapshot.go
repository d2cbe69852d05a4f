package names

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// A Snapshot is what was visible at one moment. It never changes, and costs a
// reader no lock. Nobody may write to what its methods return.
type Snapshot struct {
	hosts []entry
	index map[string]int          // of hosts, by name
	above map[string]struct{}     // names that have a visible one below them
	by    map[netip.Addr][]string // names by address, best first
}

type entry struct {
	Host
	src Source
}

// Lookup returns the host of that name. The name is compared without regard to
// case, and may have a last dot.
func (s *Snapshot) Lookup(name string) (Host, bool) {
	i, ok := s.index[name]
	if !ok {
		if i, ok = s.index[canonical(name)]; !ok {
			return Host{}, false
		}
	}
	return s.hosts[i].Host, true
}

// Addrs returns the addresses of the host of that name, nil if there is none.
func (s *Snapshot) Addrs(name string) []netip.Addr {
	h, _ := s.Lookup(name)
	return h.Addrs
}

// Exists reports whether there is a host of that name or below it. A name that
// exists without being a host is an empty non-terminal (RFC 8020): it has no
// addresses, yet must not be denied.
func (s *Snapshot) Exists(name string) bool {
	name = canonical(name)
	if _, ok := s.index[name]; ok {
		return true
	}
	_, ok := s.above[name]
	return ok
}

// Names returns the names of the hosts that have that address: by rank of their
// source, then in the order in which the source published them.
func (s *Snapshot) Names(a netip.Addr) []string { return s.by[a.Unmap()] }

// Each yields all hosts by rank of their source, then in the order in which the
// source published them.
func (s *Snapshot) Each() iter.Seq2[Source, Host] {
	return func(yield func(Source, Host) bool) {
		for _, e := range s.hosts {
			if !yield(e.src, e.Host) {
				return
			}
		}
	}
}

// Len returns the number of hosts.
func (s *Snapshot) Len() int { return len(s.hosts) }

// A builder makes one snapshot; hosts are added in the order of rank.
type builder struct {
	zone     string
	linked   []string
	reserved func(string) bool

	hosts []entry
	index map[string]int
}

// add takes a host in, or says in one sentence why not.
func (b *builder) add(src Source, h Host) string {
	if reason := check(h); reason != "" {
		return reason
	}
	if reason := b.belongs(src, h.Name); reason != "" {
		return reason
	}
	if i, ok := b.index[h.Name]; ok {
		if b.hosts[i].src == src {
			return fmt.Sprintf("%s has that name already", src)
		}
		return fmt.Sprintf("%s has that name, and goes first", b.hosts[i].src)
	}
	addrs := make([]netip.Addr, 0, len(h.Addrs))
	for _, a := range h.Addrs {
		if a = a.Unmap(); !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	h.Addrs, h.TTL = addrs, min(max(h.TTL, 0), maxTTL)
	b.index[h.Name] = len(b.hosts)
	b.hosts = append(b.hosts, entry{h, src})
	return ""
}

// belongs says why a source may not publish the name.
func (b *builder) belongs(src Source, name string) string {
	if b.reserved != nil && b.reserved(name) {
		return "the cell itself has that name"
	}
	switch src {
	case Links:
		for _, d := range b.linked {
			if name == d || below(name, d) {
				return ""
			}
		}
		return "the name is not in the domain of a linked cell"
	default:
		if !below(name, b.zone) {
			return "the name is not below the cell's domain " + b.zone
		}
	}
	return ""
}

func (b *builder) snapshot() *Snapshot {
	s := &Snapshot{hosts: b.hosts, index: b.index, above: map[string]struct{}{}, by: map[netip.Addr][]string{}}
	for _, e := range b.hosts {
		for _, a := range e.Addrs {
			s.by[a] = append(s.by[a], e.Name)
		}
		for name := e.Name; ; {
			_, parent, ok := strings.Cut(name, ".")
			if !ok {
				break
			}
			if _, ok := s.above[parent]; ok {
				break
			}
			s.above[parent] = struct{}{}
			name = parent
		}
	}
	return s
}

func below(name, zone string) bool {
	return zone != "" && len(name) > len(zone)+1 && strings.HasSuffix(name, zone) && name[len(name)-len(zone)-1] == '.'
}

// check says what is wrong with a host by itself.
func check(h Host) string {
	if !valid(h.Name) {
		return "the name is not a host name: labels of a-z, 0-9 and inner hyphens, at most 63 characters each and 253 in all"
	}
	if len(h.Addrs) == 0 {
		return "the name has no address"
	}
	if len(h.Addrs) > MaxAddrs {
		return fmt.Sprintf("the name has more than %d addresses", MaxAddrs)
	}
	for _, a := range h.Addrs {
		a := a.Unmap()
		if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Zone() != "" || a == broadcast {
			return fmt.Sprintf("%s cannot be the address of a host", a)
		}
	}
	return ""
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// valid reports whether name is an absolute host name: RFC 1123 §2.1, lower
// case, without the last dot.
func valid(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !ValidLabel(label) {
			return false
		}
	}
	return true
}

// ValidLabel reports whether s can be one label of a host name: 1 to 63 of a-z,
// 0-9 and hyphens, which do not come first or last.
func ValidLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
