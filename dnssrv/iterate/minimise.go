package iterate

import (
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A minimiser chooses how much of a name the servers of a zone are told
// (RFC 9156).
type minimiser struct {
	name  string
	count int  // names asked with less than the whole
	whole bool // the servers of this zone do not understand less
}

// next returns the name to ask for when known, which is at or above the one that
// is wanted, is all that is known to exist. whole says that it is that one, to
// be asked about as the client did.
func (m *minimiser) next(known string) (name string, whole bool) {
	at := dns.Split(m.name) // where its labels begin
	have := dns.CountLabel(known)
	left := len(at) - have
	if m.whole || left <= 1 || m.count >= maxMinimised {
		return m.name, true
	}
	step := 1
	if m.count >= oneByOne {
		step = max(1, (left-1)/(maxMinimised-m.count))
	}
	for ; step < left; step++ {
		name = m.name[at[left-step]:]
		if !strings.HasPrefix(name, "_") { // no zone begins there
			m.count++
			return name, false
		}
	}
	return m.name, true
}

// A step is what came of asking for a part of a name: it is within the zone, or
// the zone's servers must be asked for whole names below it.
type step struct {
	zone  string
	whole bool
	until time.Time
}

// begin returns how much of name is known to be within the zone of c, and whether
// its servers must be asked for the whole.
func (r *Resolver) begin(c *cut, name string) (known string, whole bool) {
	now := time.Now()
	for at := parent(name); len(at) > len(c.zone) && below(at, c.zone); at = parent(at) {
		if s, ok := r.steps.get(at, now); ok && s.zone == c.zone {
			return at, s.whole
		}
	}
	return c.zone, false
}

// stepped remembers what came of asking for a part of a name.
func (r *Resolver) stepped(name string, s step, o *outcome) {
	ttl := uint32(60)
	for _, rr := range o.ns {
		if soa, ok := rr.(*dns.SOA); ok {
			ttl = min(bound(soa.Hdr.Ttl), soa.Minttl)
		}
	}
	s.until = time.Now().Add(min(lifeOf(ttl), maxStep))
	r.steps.put(name, s)
}

// parent returns the name without its first label; that of the root is the root.
func parent(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

// below reports whether name is zone or ends in it.
func below(name, zone string) bool { return dns.IsSubDomain(zone, name) }
