package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Set is all that counts at one time. It is safe for concurrent use. Use
// [Engine.Current].
type Set struct {
	c   *compiled
	lib *library
	mac func(netip.Addr) string

	lists  []string // by number in lib: what the document calls it
	use    bits     // those that the document uses
	allow  bits     // those whose names are let through
	lead   bits     // those that may send names to other names and addresses
	paused func(group string) bool
	now    time.Time

	mu          sync.Mutex // of what is made when first wanted
	rules       map[string]*rules
	views       map[string]*View
	of          []*View // by client + 1, where that says it all
	alone       *View   // for all, where nothing tells clients apart
	conditional bool    // rules may hold for an address or not
	seen        [1024]atomic.Pointer[seen]
	turn        atomic.Uint32 // what is seen is believed for one turn
}

// A seen is a client that was told by its address.
type seen struct {
	addr netip.Addr
	turn uint32
	sure bool // it is this very device, whatever it says itself
	mac  string
	view *View
}

// newSet makes the Set of a moment. paused says whether a group is, and with ""
// whether everybody is.
func newSet(c *compiled, lib *library, mac func(netip.Addr) string, paused func(string) bool, now time.Time) *Set {
	s := &Set{c: c, lib: lib, mac: mac, paused: paused, now: now, rules: map[string]*rules{}, views: map[string]*View{}}
	if lib != nil {
		s.lists = make([]string, len(lib.urls))
		for i, url := range lib.urls {
			for _, l := range c.conf.Filter.Lists {
				if l.URL == url && !l.Disabled {
					s.lists[i] = l.Name
					s.use.set(i)
					if l.Allow {
						s.allow.set(i)
					}
					if l.Rewrite {
						s.lead.set(i)
					}
					break
				}
			}
		}
	}
	if s.conditional = len(c.conds) > 0 || lib != nil && len(lib.conds) > 0; s.conditional {
		return s
	}
	s.of = make([]*View, len(c.clients)+1)
	for i := range s.of {
		s.of[i] = s.make(i-1, netip.Addr{}, "")
	}
	if len(c.clients) == 0 {
		s.alone = s.of[0]
	}
	return s
}

// View returns what counts for a client at addr, which called itself id; either
// may be missing. It is quick, takes no lock and no memory for a client that was
// seen a moment ago. Views of clients for whom the same counts have the same ID.
func (s *Set) View(addr netip.Addr, id string) *View {
	if s.alone != nil {
		return s.alone
	}
	addr = addr.Unmap().WithZone("")
	at, turn := &s.seen[place(addr)], s.turn.Load()
	k := at.Load()
	if k == nil || k.addr != addr || k.turn != turn {
		client, mac, sure := s.client(addr)
		k = &seen{addr, turn, sure, mac, s.viewOf(client, addr, mac)}
		at.Store(k)
	}
	if id != "" && !k.sure {
		if i, ok := s.c.byID[strings.ToLower(id)]; ok {
			return s.viewOf(i, addr, k.mac)
		}
	}
	return k.view
}

// place is where a client is looked for among those seen.
func place(a netip.Addr) int {
	b := a.As16()
	h := uint32(2166136261)
	for _, c := range b[4:] {
		h = (h ^ uint32(c)) * 16777619
	}
	return int(h>>22 ^ h&1023)
}

// client tells a client by its address: its number, -1 for one that is none of
// the document's, and its MAC address where that was asked for. It is sure but
// where only the network is known.
func (s *Set) client(a netip.Addr) (i int, mac string, sure bool) {
	c := s.c
	i, sure = c.byAddr[a]
	if (len(c.byMAC) > 0 && !sure || s.conditional) && s.mac != nil && a.IsValid() && !a.IsLoopback() {
		mac = strings.ToLower(s.mac(a))
	}
	if !sure && mac != "" {
		i, sure = c.byMAC[mac]
	}
	if sure {
		return i, mac, true
	}
	for _, n := range c.nets {
		if n.prefix.Contains(a) {
			return n.client, mac, false
		}
	}
	return -1, mac, false
}

func (s *Set) viewOf(client int, a netip.Addr, mac string) *View {
	if !s.conditional {
		return s.of[client+1]
	}
	return s.make(client, a, mac)
}

// make returns the view of a client, making it if need be.
func (s *Set) make(client int, a netip.Addr, mac string) *View {
	name := ""
	if client >= 0 {
		name = s.c.clients[client].Name
	}
	var user, lib bits
	if len(s.c.conds) > 0 {
		user = s.c.conds.of(name, a, mac)
	}
	if s.lib != nil && len(s.lib.conds) > 0 {
		lib = s.lib.conds.of(name, a, mac)
	}
	key := fmt.Sprint(client, user, lib)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.views[key]; v != nil {
		return v
	}
	r, logged := s.compose(client)
	r.user, r.conds = user, lib
	content := r.key()
	if have := s.rules[content]; have != nil {
		r = have
	} else {
		r.id = uint32(len(s.rules) + 1)
		s.rules[content] = r
	}
	v := &View{rules: r, client: name, logged: logged}
	s.views[key] = v
	return v
}

// compose joins what the groups of a client say.
func (s *Set) compose(client int) (r *rules, logged bool) {
	r = &rules{set: s, use: s.use, safe: s.c.safe}
	logged = true
	r.paused = s.paused("")
	r.off = !s.c.on
	var member []int
	if client >= 0 {
		member = s.c.member[client]
	}
	said, safe, all := false, false, len(member) == 0
	names := map[string]bool{}
	for _, i := range member {
		g := &s.c.groups[i]
		r.off = r.off || g.off
		r.paused = r.paused || s.paused(g.name)
		logged = logged && !g.unlogged
		if g.safe != nil {
			said, safe = true, safe || *g.safe
		}
		if !g.rules.empty() || len(g.rewrites.self)+len(g.rewrites.below) > 0 {
			r.groups = append(r.groups, i)
		}
		for j := range g.services {
			r.services[j] |= g.services[j]
		}
		for j := range g.schedules {
			if g.schedules[j].active(s.now) {
				r.schedules = append(r.schedules, timed{i, j})
			}
		}
		all = all || g.lists == nil
		for _, l := range g.lists {
			names[l] = true
		}
	}
	if said {
		r.safe = safe
	}
	if !all {
		for i, l := range s.lists {
			if !names[l] {
				r.use[i>>6] &^= 1 << (i & 63)
			}
		}
	}
	if r.off || r.paused { // only rewrites are left
		r.use, r.services, r.schedules, r.safe = bits{}, bits{}, nil, false
	}
	r.gone = s.takenBack(r)
	return r, logged
}

// takenBack returns what knows the rules that $badfilter takes back for r, nil
// if there are none.
func (s *Set) takenBack(r *rules) func(string) bool {
	all := map[string]bool{}
	for _, i := range r.groups {
		for key := range s.c.groups[i].rules.bad {
			all[key] = true
		}
	}
	for key := range s.c.rules.bad {
		all[key] = true
	}
	if s.lib != nil {
		for key, lists := range s.lib.full.bad {
			for j := range lists {
				if lists[j]&r.use[j] != 0 {
					all[key] = true
				}
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return func(key string) bool { return all[key] }
}

// key tells rules apart that differ in what they say.
func (r *rules) key() string {
	return fmt.Sprint(r.off, r.paused, r.safe, r.use, r.services, r.groups, r.schedules, r.user, r.conds)
}

// Names is how many names the lists in use have.
func (s *Set) Names() int { return s.lib.names() }
