package fw

import (
	"slices"
	"strings"

	"pic/netstack/policy"
)

// of are the addresses and networks of a peer in a family.
func of(p *policy.Peer, v family, yield func(prefix) bool) {
	for _, a := range p.Addrs {
		if v.has(a) && !yield(single(a)) {
			return
		}
	}
	for _, n := range p.Site {
		if v.has(n.Addr()) && !yield(n.Masked()) {
			return
		}
	}
}

// A roll has the addresses of peers, and the networks behind them, once and in
// order, as many sets have them.
type roll struct {
	keys  string // records, as of [set]
	whose []*policy.Peer
}

func (c *compiler) roll(v family) roll {
	s := &set{key: []kind{v.kind()}, nets: c.behind[v]}
	var b []byte
	whose := make([]*policy.Peer, 0, len(c.m.Rules.Peers))
	for i := range c.m.Rules.Peers {
		p := &c.m.Rules.Peers[i]
		of(p, v, func(n prefix) bool {
			b = appendAddr(b, n.Addr())
			if s.nets {
				b = appendAddr(b, last(n))
			}
			whose = append(whose, p)
			return true
		})
	}
	r, n := roll{string(b), whose}, s.record()
	at := func(i int) string { return r.keys[i*n : i*n+n] }
	order := make([]int, len(whose))
	for i := range order {
		order[i] = i
	}
	by := func(i, j int) int { return strings.Compare(at(i), at(j)) }
	if slices.IsSortedFunc(order, by) {
		return r
	}
	slices.SortStableFunc(order, by)
	b, r.whose = b[:0], make([]*policy.Peer, len(whose))
	for i, j := range order {
		b, r.whose[i] = append(b, at(j)...), whose[j]
	}
	r.keys = string(b)
	return r
}

// members makes sets of the peers that something is true of.
func (c *compiler) members(name string, is func(*policy.Peer) bool) {
	c.both(name, func(v family, s *set) {
		s.nets = c.behind[v]
		r, n := c.rolls[v], s.record()
		b := make([]byte, 0, len(r.keys))
		for i, p := range r.whose {
			if key := r.keys[i*n : i*n+n]; is(p) && (len(b) == 0 || string(b[len(b)-n:]) != key) {
				b = append(b, key...)
			}
		}
		s.crowd = string(b)
	})
}
