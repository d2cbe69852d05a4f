package dnssrv

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/iterate"
	"pic/dnssrv/upstream"
)

// A route says who is asked about the names of a domain.
type route struct {
	domain    name
	upstreams []upstream.Address
	tunnel    bool // through the VPN alone
	validate  bool // by DNSSEC
	own       bool // a domain of the document: private addresses are expected there
	recurse   bool // from the root on, without upstreams
	roots     []netip.AddrPort
}

// A group is a set of upstreams that are asked about the names of a domain, and
// whose answers are kept apart from those of others.
type group struct {
	route
	id  uint32
	ups []*remote
	// iter finds out the answers where the route says so; nil: ups are asked.
	iter *iterate.Resolver

	revived atomic.Int64 // when one that had failed answered again, in Unix nanoseconds
}

// routing is the groups at one moment. It never changes.
type routing struct {
	by   map[name]*group
	root *group // of all names that no other group is about
	care care
}

// group returns the group that is asked q.
func (r *routing) group(q question) *group {
	if len(r.by) == 1 {
		return r.root
	}
	n := q.name
	if q.typ == dns.TypeDS {
		// The parent's side knows, but for a domain that is nobody else's business.
		if g := r.by[n]; g != nil && g.validate {
			n = n.parent()
		}
	}
	return r.of(n)
}

// of returns the group with the longest domain at or above n.
func (r *routing) of(n name) *group {
	for ; n != root; n = n.parent() {
		if g := r.by[n]; g != nil {
			return g
		}
	}
	return r.root
}

// leaves returns what tells the names that g is not asked about, nil where
// there are none.
func (r *routing) leaves(g *group) func(name) bool {
	if len(r.by) == 1 {
		return nil
	}
	return func(n name) bool { return r.of(n) != g }
}

// up is when one of the group began to answer again.
func (g *group) up() time.Time {
	if at := g.revived.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// same reports whether two routes ask the same in the same way.
func (r route) same(o route) bool {
	return r.domain == o.domain && slices.Equal(r.upstreams, o.upstreams) &&
		r.tunnel == o.tunnel && r.validate == o.validate && r.own == o.own &&
		r.recurse == o.recurse && slices.Equal(r.roots, o.roots)
}
