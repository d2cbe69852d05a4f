package fw

import (
	"fmt"
	"slices"
	"strings"

	"pic/netstack/policy"
)

// Compile writes a model down as a table. It is pure.
//
// Packets are told apart by where they come in and go out: the tunnel (VPN), the
// WAN, exits, and the rest, which is the LAN. On a server only what touches the
// tunnel is looked at; a router also keeps the WAN from the LAN and from itself.
// What other tables say of a packet is theirs.
func Compile(m Model) Table {
	c := compiler{m: m, wan: card{out: true, name: m.WAN}}
	if m.WAN == "" {
		c.wan = out(m.Interface).other()
	}
	c.behind = map[family]bool{}
	for i := range m.Rules.Peers {
		for _, n := range m.Rules.Peers[i].Site {
			c.behind[family{n.Addr().Is6()}] = true
		}
	}
	c.groups = reached(m.Rules.Peers)
	c.rolls = map[family]roll{}
	for _, v := range families {
		c.rolls[v] = c.roll(v)
	}
	c.people()
	c.places()
	c.ports()
	c.screening()
	c.marking()
	c.forwards()
	c.inputs()
	c.forwarding()
	c.translation()
	c.counting()
	for _, s := range c.t.sets {
		s.tidy()
	}
	return c.t
}

type compiler struct {
	m      Model
	t      Table
	wan    card            // a condition: out by the WAN
	behind map[family]bool // some peer has a network behind it: sets of peers are of ranges then, and else hashes
	groups []string        // that somebody may reach and that have somebody in them
	rolls  map[family]roll
}

var families = []family{{false}, {true}}

func (c *compiler) chain(name string, h hook) *chain {
	ch := &chain{name: name, hook: h}
	c.t.chains = append(c.t.chains, ch)
	return ch
}

func (c *compiler) newSet(name string, key ...kind) *set {
	s := &set{name: name, key: key}
	c.t.sets = append(c.t.sets, s)
	return s
}

// both makes a set for each family and fills it.
func (c *compiler) both(name string, fill func(v family, s *set), more ...kind) {
	for _, v := range families {
		fill(v, c.newSet(v.set(name), append([]kind{v.kind()}, more...)...))
	}
}

// networks makes sets of ranges.
func (c *compiler) networks(name string, nets ...[]prefix) {
	c.both(name, func(v family, s *set) {
		s.nets = true
		for _, p := range policy.Disjoint(slices.Concat(nets...)) {
			if v.has(p.Addr()) {
				s.net(p)
			}
		}
	})
}

func has(list []string, name string) bool { return slices.Contains(list, name) }

// people makes the sets of who may what.
func (c *compiler) people() {
	r := &c.m.Rules
	anyone := func(*policy.Peer) bool { return true }
	c.members("members", anyone)
	c.members("internet", func(p *policy.Peer) bool { return p.Internet && p.Exit == "" })
	c.members("by_exit", func(p *policy.Peer) bool { return p.Internet && p.Exit != "" })
	c.members("lan", func(p *policy.Peer) bool { return p.LAN })
	c.members("all_services", func(p *policy.Peer) bool { return has(p.Services, "all") })
	c.members("all_peers", func(p *policy.Peer) bool { return has(p.Peers, "all") })
	c.members("all_cells", func(p *policy.Peer) bool { return has(p.Cells, "all") })
	for _, g := range c.groups {
		c.members("in_"+g, func(p *policy.Peer) bool { return has(p.Groups, g) })
		c.members("to_"+g, func(p *policy.Peer) bool { return has(p.Peers, g) })
	}
	c.both("services", func(v family, s *set) {
		s.nets = c.behind[v]
		tails := map[string][]string{} // many peers have the same list
		everyone, n := c.rolls[v], (&set{key: s.key[:1], nets: s.nets}).record()
		for i, p := range everyone.whose {
			if has(p.Services, "all") {
				continue
			}
			list := strings.Join(p.Services, " ")
			t, ok := tails[list]
			if !ok {
				t = offered(r.Services, append(slices.Clone(p.Services), "dns"))
				tails[list] = t
			}
			s.services(s.of(everyone.keys[i*n:i*n+n]), t)
		}
	}, proto, port)
	byName := make(map[string]*policy.Peer, len(r.Peers))
	for i := range r.Peers {
		byName[r.Peers[i].Name] = &r.Peers[i]
	}
	c.pairs(byName)
	c.goers()
	if len(r.Links) > 0 {
		c.links()
	}
}

// reached are the groups that somebody may reach and that have somebody in them.
func reached(peers []policy.Peer) []string {
	in, to := map[string]bool{}, map[string]bool{}
	for i := range peers {
		for _, g := range peers[i].Groups {
			in[g] = true
		}
		for _, n := range peers[i].Peers {
			to[n] = true
		}
	}
	var out []string
	for g := range to {
		if in[g] {
			out = append(out, g)
		}
	}
	slices.Sort(out)
	return out
}

// pairs makes the sets of who may reach whom by name.
func (c *compiler) pairs(byName map[string]*policy.Peer) {
	for _, v := range families {
		s := c.newSet(v.set("pairs"), v.kind(), v.kind())
		s.nets = c.behind[v]
		for i := range c.m.Rules.Peers {
			p := &c.m.Rules.Peers[i]
			for _, n := range p.Peers {
				o := byName[n]
				if o == nil {
					continue
				}
				of(p, v, func(a prefix) bool {
					of(o, v, func(b prefix) bool { s.pair(a, b); return true })
					return true
				})
			}
		}
	}
}

// goers makes the sets of who goes by which exit.
func (c *compiler) goers() {
	for _, e := range c.m.Exits {
		c.members(exitSet(e), func(p *policy.Peer) bool { return p.Internet && p.Exit == e.Name })
	}
}

func exitSet(e Exit) string { return "exit_" + e.Name + "_" }

// links makes the sets of linked cells and of what their people may.
func (c *compiler) links() {
	r := &c.m.Rules
	pick := func(is func(*policy.Link) bool) (out []prefix) {
		for i := range r.Links {
			if is(&r.Links[i]) {
				out = append(out, r.Links[i].Subnets...)
			}
		}
		return out
	}
	c.networks("link_nets", pick(func(*policy.Link) bool { return true }))
	c.networks("link_lan", pick(func(l *policy.Link) bool { return l.LAN }))
	c.networks("link_out", pick(func(l *policy.Link) bool { return l.Out }))
	c.networks("link_all_services", pick(func(l *policy.Link) bool { return has(l.Services, "all") }))
	c.both("link_services", func(v family, s *set) {
		s.nets = true
		for i := range r.Links {
			for _, n := range r.Links[i].Subnets {
				if v.has(n.Addr()) {
					e := elem{key: addrBytes(n.Masked().Addr()), last: addrBytes(last(n))}
					s.services(e, offered(r.Services, r.Links[i].Services))
				}
			}
		}
	}, proto, port)
	for i := range r.Links {
		l := &r.Links[i]
		if c.named(l.Name) {
			c.networks(cellSet(l.Name), l.Subnets)
			c.members("to_"+cellSet(l.Name), func(p *policy.Peer) bool { return has(p.Cells, l.Name) })
		}
	}
}

// named reports whether some peer may reach the cell by its name.
func (c *compiler) named(link string) bool {
	return slices.ContainsFunc(c.m.Rules.Peers, func(p policy.Peer) bool { return has(p.Cells, link) })
}

func cellSet(name string) string { return "cell_" + name + "_" }

// screening drops what is blocked before anything is kept about it, and slows
// floods down.
func (c *compiler) screening() {
	ch := c.chain("screen", screen)
	ch.add(when(in("lo")).then(accept))
	// Rights go by addresses, so nobody else may use those of the tunnel's people.
	ours := []string{"members"}
	if len(c.m.Rules.Links) > 0 {
		ours = append(ours, "link_nets")
	}
	for _, v := range families {
		for _, name := range ours {
			ch.add(when(in(c.m.Interface).other(), from(v, name)).then(drop).called("not by the tunnel"))
		}
		ch.add(
			when(from(v, "blocked")).then(drop).called("blocked"),
			when(to(v, "blocked")).then(drop).called("blocked"),
		)
	}
}

func (c *compiler) marking() {
	ch := c.chain("classify", classify)
	if c.m.NewRate > 0 {
		c.both("opened", func(_ family, s *set) { s.size, s.life = mostNoted, rateLife })
		cards := []card{in(c.m.Interface)}
		if c.m.Rules.Router {
			cards = append(cards, in(c.m.WAN))
		}
		for _, i := range cards {
			for _, v := range families {
				ch.add(when(i, opening, note{v.six, src, v.set("opened"), c.m.NewRate}).then(drop).called("flood of connections"))
			}
		}
	}
	// After the former, so that one address alone does not use up what is for all.
	if c.m.Rules.Router && c.m.SynRate > 0 {
		ch.add(when(in(c.m.WAN), syn{}, rate{c.m.SynRate, true}).then(drop).called("flood of TCP connections"))
	}
	// Answers go home by the main table, so they get no mark.
	ch.add(
		when(in(c.m.Interface).other()).then(accept),
		when(answer).then(accept),
		when(flag{ct: true, not: true}).then(keep{back: true}, accept),
	)
	for _, v := range families {
		ch.add(when(to(v, "inside")).then(accept))
	}
	for _, e := range c.m.Exits {
		for _, v := range families {
			ch.add(when(opening, from(v, exitSet(e))).then(stamp(e.Mark()), keep{}).called("exit " + e.Name))
		}
	}
}

// forwards leads the ports of the public addresses to devices.
func (c *compiler) forwards() {
	for _, v := range families {
		s := c.newSet(v.set("mapped"), proto, port)
		s.data, s.timed = []kind{v.kind(), port}, true
		for _, m := range c.m.Mappings {
			if w := m.Forward(); v.has(m.To.Addr()) && !w.Direct() {
				s.add(elem{
					key:  protoBytes(m.Proto) + portBytes(m.Port),
					data: addrBytes(m.To.Addr()) + portBytes(m.To.Port()), end: m.Until,
				})
			}
		}
	}
	s := c.newSet("let_in6", addr6, proto, port)
	s.timed = true
	for _, m := range c.m.Mappings {
		if w := m.Forward(); w.Direct() {
			s.add(elem{key: addrBytes(m.To.Addr()) + protoBytes(m.Proto) + portBytes(m.To.Port()), end: m.Until})
		}
	}
	lists := map[family]*chain{}
	for _, v := range families {
		lists[v] = c.chain(v.set("forwards"), jumped)
	}
	through := c.chain("let_in", jumped)
	seen := map[string]int{}
	for i := range c.m.Rules.Forwards {
		w := &c.m.Rules.Forwards[i]
		if c.isMapping(w) {
			continue
		}
		v := family{w.To.Is6()}
		seen[w.Name]++
		id := fmt.Sprintf("%s_%s", w.Name, protoName(w.Proto))
		var when []condition
		if len(w.From) > 0 {
			name := "from_" + id + "_"
			c.networks(name, w.From)
			when = append(when, from(v, name))
		}
		r := rule{when: when, note: "forward " + w.Name}
		if w.Direct() {
			r.when = append(r.when, target(w.To), ports{w.Proto, w.ToPort, w.ToPort + (w.Last - w.First)})
			through.add(r.then(accept))
			continue
		}
		r.when = append(r.when, ports{w.Proto, w.First, w.Last})
		way := lead{to: w.To}
		switch {
		case w.First == w.Last:
			way.port = w.ToPort
		case w.First != w.ToPort:
			s := c.newSet("ports_"+id, port)
			s.data = []kind{port}
			for n := range int(w.Last-w.First) + 1 {
				s.add(elem{key: bareBytes(w.First + uint16(n)), data: bareBytes(w.ToPort + uint16(n))})
			}
			way.ports, way.proto = s.name, w.Proto
		}
		lists[v].add(r.then(way))
	}
	for _, v := range families {
		lists[v].add(when().then(mapped{v}).called("mapped ports"))
	}
	through.add(when(lookup{true, []part{dst, l4, dport}, "let_in6"}).then(accept).called("mapped ports"))
	ch := c.chain("prerouting", dstnat)
	for _, v := range families {
		ch.add(when(to(v, "public")).then(jump(v.set("forwards"))))
	}
}

// isMapping reports whether the forward is there for a mapping, whose place is
// in a set.
func (c *compiler) isMapping(w *policy.Forward) bool {
	return slices.ContainsFunc(c.m.Mappings, func(m Mapping) bool {
		f := m.Forward()
		return f.Name == w.Name && f.Proto == w.Proto && f.First == w.First && f.To == w.To
	})
}
