package fw

import (
	"slices"
	"strings"

	"pic/internal/order"
	"pic/netstack/policy"
)

// places makes the sets of where things are.
func (c *compiler) places() {
	r := &c.m.Rules
	c.networks("lan_nets", r.LAN)
	c.networks("nowhere", policy.NoHost)
	var sites, links, out []prefix
	for i := range r.Peers {
		sites = append(sites, r.Peers[i].Site...)
	}
	for i := range r.Links {
		links = append(links, r.Links[i].Subnets...)
		if r.Links[i].Out {
			out = append(out, r.Links[i].Subnets...)
		}
	}
	if len(sites)+len(links) > 0 {
		c.networks("remote", sites, links)
	}
	var own []prefix
	for _, a := range slices.Concat(r.Cell, r.Host) {
		own = append(own, single(a))
	}
	c.networks("inside", r.LAN, r.VPN, sites, links, own, policy.NoHost)
	// What the internet could not answer leaves with the cell's address.
	hidden := slices.Concat(r.VPN, sites, out)
	if r.Router {
		hidden = append(hidden, r.LAN...)
	}
	hidden = slices.DeleteFunc(hidden, func(p prefix) bool { return p.Addr().Is6() && !p.Addr().IsPrivate() })
	c.networks("hidden", hidden)
	var public, split []prefix
	for _, a := range r.Public {
		public = append(public, single(a))
	}
	for _, a := range c.m.Split {
		split = append(split, single(a))
	}
	c.networks("public", public)
	c.networks("split", split)
	c.both("blocked", func(v family, s *set) {
		s.nets, s.timed = true, true
		bans := slices.Clone(c.m.Bans)
		for _, p := range r.Blocked {
			bans = append(bans, Ban{Net: p})
		}
		s.elems = carve(bans, v)
	})
}

// ports makes the sets of open ports and of kinds of ICMP.
func (c *compiler) ports() {
	if !c.m.Rules.Router {
		return
	}
	s := c.newSet("open", proto, port)
	for _, p := range c.m.Rules.Open {
		s.add(elem{key: protoBytes(p.Proto) + portBytes(p.Number)})
	}
	for name, types := range map[string][]byte{"icmp4": icmp4Let, "icmp6": icmp6Let, "icmp6_through": icmp6Through} {
		k := icmp6
		if name == "icmp4" {
			k = icmp4
		}
		s := c.newSet(name, k)
		for _, t := range types {
			s.add(elem{key: string([]byte{t})})
		}
	}
	order.Stable(c.t.sets[len(c.t.sets)-3:], func(a, b *set) int { return strings.Compare(a.name, b.name) })
}
