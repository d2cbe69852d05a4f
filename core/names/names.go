// Package names holds the host names that the cell found out, as opposed to
// those in its document: leases, hosts of other cells.
//
// A source publishes its whole set at once with [Registry.Publish]; readers take
// a [Snapshot], which never changes and costs no lock. Sources are ranked, so
// that no DHCP client can take the name of a service: what the document says
// wins over every source, and a higher source over a lower one. A name outside
// the zone of its source is refused: leases live below the cell's own domain,
// what a linked cell tells lives in the domains of linked cells.
//
// A name that loses is kept and comes up once the winner is gone, so sources
// need not publish again when another set or the zone changes.
//
// Invariants: every name of a snapshot is a valid host name (RFC 1123 §2.1) of
// at most 253 bytes, lower case, and has at least one address; no address is
// loopback, unspecified or multicast, so that nobody outside can point a name at
// the reader's own machine. Sets are bounded by [MaxHosts] and [MaxAddrs].
//
// The package knows nothing of DNS messages and keeps nothing on disk.
package names

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Source is who found a name out. The zero Source is not valid.
type Source int

// Sources in the order of their rank, highest first.
const (
	Links  Source = iota + 1 // told by a linked cell
	Leases                   // asked for by a DHCP client
)

func (s Source) String() string {
	switch s {
	case Links:
		return "a linked cell"
	case Leases:
		return "a lease"
	}
	return fmt.Sprintf("Source(%d)", int(s))
}

// Bounds of one set.
const (
	MaxHosts = 8192 // hosts of one source
	MaxAddrs = 16   // addresses of one host
)

// maxTTL bounds how long a reader may believe a name that was found out.
const maxTTL = 24 * time.Hour

// A Host is a name and the addresses behind it.
type Host struct {
	Name  string // absolute, lower case, without the last dot: tv.lan.oak.home.arpa
	Addrs []netip.Addr
	TTL   time.Duration // brought into 0 to 24 h
}

// A Rejected is a host that was published and is not visible, and why.
type Rejected struct {
	Host   Host
	Reason string
}

// A Registry collects what the sources publish. Its methods are safe for
// concurrent use; [Registry.Snapshot] never waits for the others.
type Registry struct {
	snap atomic.Pointer[Snapshot]

	mu       sync.Mutex
	zone     string
	linked   []string
	reserved func(string) bool
	sets     map[Source][]Host
}

// New returns an empty registry for a cell of that domain.
func New(zone string) *Registry {
	r := &Registry{zone: canonical(zone), sets: map[Source][]Host{}}
	r.snap.Store(&Snapshot{})
	return r
}

// SetZone changes the cell's domain and which names the document has taken;
// reserved gets absolute names, lower case and without the last dot, must be
// pure, and may be nil. Names that no longer fit vanish at once, names that fit
// again come back.
func (r *Registry) SetZone(domain string, reserved func(name string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.zone, r.reserved = canonical(domain), reserved
	r.rebuild()
}

// SetLinked says which domains belong to linked cells: [Links] may publish
// there and nowhere else. There are none at first.
func (r *Registry) SetLinked(domains []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.linked = nil
	for _, d := range domains {
		r.linked = append(r.linked, canonical(d))
	}
	r.rebuild()
}

// Publish replaces the whole set of a source, from now on and at once. It
// returns the hosts of the set that are not visible. Hosts beyond [MaxHosts]
// are refused.
func (r *Registry) Publish(src Source, hosts []Host) []Rejected {
	var out []Rejected
	set := make([]Host, 0, min(len(hosts), MaxHosts))
	for _, h := range hosts {
		switch {
		case src != Links && src != Leases:
			out = append(out, Rejected{h, "nobody of this rank may publish names"})
		case len(set) == MaxHosts:
			out = append(out, Rejected{h, fmt.Sprintf("there are more than %d names already", MaxHosts)})
		default:
			// The caller may go on using what it passed.
			h.Addrs = slices.Clone(h.Addrs[:min(len(h.Addrs), MaxAddrs+1)])
			set = append(set, h)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(set) > 0 {
		r.sets[src] = set
	} else {
		delete(r.sets, src)
	}
	return append(out, r.rebuild()[src]...)
}

// Snapshot returns what is visible now.
func (r *Registry) Snapshot() *Snapshot { return r.snap.Load() }

// rebuild makes the snapshot follow the sets and returns who lost.
func (r *Registry) rebuild() map[Source][]Rejected {
	lost := map[Source][]Rejected{}
	b := builder{zone: r.zone, linked: r.linked, reserved: r.reserved, index: map[string]int{}}
	for _, src := range []Source{Links, Leases} {
		for _, h := range r.sets[src] {
			if reason := b.add(src, h); reason != "" {
				lost[src] = append(lost[src], Rejected{h, reason})
			}
		}
	}
	r.snap.Store(b.snapshot())
	return lost
}

func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
