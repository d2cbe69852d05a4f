package fw

import "pic/netstack/policy"

// inputs is what may reach the cell itself.
func (c *compiler) inputs() {
	links := len(c.m.Rules.Links) > 0
	ch := c.chain("to_cell", jumped)
	ch.add(
		when(known).then(accept),
		when(diverted).then(accept).called("port forwards"),
		when(protocol(policy.ICMP)).then(accept),
		when(protocol(policy.ICMPv6)).then(accept),
	)
	for _, v := range families {
		ch.add(
			when(from(v, "all_services")).then(accept).called("all services"),
			when(lookup{v.six, []part{src, l4, dport}, v.set("services")}).then(accept).called("services"),
		)
		if links {
			ch.add(
				when(from(v, "link_all_services")).then(accept).called("services for linked cells"),
				when(lookup{v.six, []part{src, l4, dport}, v.set("link_services")}).then(accept).called("services for linked cells"),
			)
		}
	}
	ch.add(when().then(reject).called("no right to a service"))
	if c.m.Rules.Router {
		ch := c.chain("public", jumped)
		ch.add(
			when(known).then(accept),
			when(diverted).then(accept).called("port forwards"),
			when(invalid).then(drop),
			when(pings{}, rate{n: pingRate}).then(accept),
			when(pings{six: true}, rate{n: pingRate}).then(accept),
			when(family{}, sport(67), ports{policy.UDP, 68, 68}).then(accept).called("DHCP"),
			when(family{true}, ports{policy.UDP, 546, 546}, sport(547)).then(accept).called("DHCPv6"),
			when(lookup{parts: []part{l4, dport}, set: "open"}).then(accept).called("public services"),
			when().then(drop).called("not public"),
		)
	}
	if c.foreign() {
		ch := c.chain("exit_to_cell", jumped)
		ch.add(when(known).then(accept), when(protocol(policy.ICMP)).then(accept), when().then(drop).called("from an exit"))
	}
	ch = c.chain("input", input)
	ch.add(when(in(c.m.Interface)).then(jump("to_cell")))
	for _, e := range c.m.Exits {
		if e.Interface != c.m.Interface {
			ch.add(when(in(e.Interface)).then(jump("exit_to_cell")))
		}
	}
	if c.m.Rules.Router {
		ch.add(when(in(c.m.WAN)).then(jump("public")))
	}
}

// foreign reports whether an exit has an interface of its own.
func (c *compiler) foreign() bool {
	for _, e := range c.m.Exits {
		if e.Interface != c.m.Interface {
			return true
		}
	}
	return false
}

// forwarding is what may pass through the cell.
func (c *compiler) forwarding() {
	tun := c.m.Interface
	links := len(c.m.Rules.Links) > 0
	c.between()
	ch := c.chain("from_vpn", jumped)
	ch.add(when(known).then(accept), when(diverted).then(accept).called("port forwards"))
	for _, v := range families {
		ch.add(when(to(v, "nowhere")).then(reject))
	}
	ch.add(when().then(jump("let_in")), when(out(tun)).then(jump("between")))
	for _, v := range families {
		ch.add(when(from(v, "lan"), to(v, "lan_nets")).then(accept).called("LAN"))
		if links {
			ch.add(when(from(v, "link_lan"), to(v, "lan_nets")).then(accept).called("LAN for linked cells"))
		}
		ch.add(
			when(to(v, "lan_nets")).then(reject).called("no right to the LAN"),
			when(flag{not: true}, from(v, "by_exit")).then(accept).called("internet by an exit"),
			when(c.wan, from(v, "internet")).then(accept).called("internet"),
		)
		if links {
			ch.add(when(c.wan, from(v, "link_out")).then(accept).called("internet for linked cells"))
		}
	}
	ch.add(when().then(reject).called("no right to the internet"))

	ch = c.chain("to_vpn", jumped)
	ch.add(when(known).then(accept), when(diverted).then(accept).called("port forwards"), when().then(jump("let_in")))
	if c.t.set("remote4") != nil {
		side := []condition{in(c.m.LAN)}
		switch {
		case c.m.OneCard:
			side = []condition{in(c.m.WAN)}
		case c.m.LAN == "" && c.m.WAN == "":
			side = nil
		case c.m.LAN == "":
			side = []condition{in(c.m.WAN).other()}
		}
		for _, v := range families {
			ch.add(when(append(side, from(v, "lan_nets"), to(v, "remote"))...).then(accept).called("LAN to linked cells and networks"))
		}
	}
	ch.add(when().then(drop).called("into the VPN"))

	if c.m.Rules.Router {
		ch := c.chain("from_wan", jumped)
		ch.add(
			when(known).then(accept),
			when(diverted).then(accept).called("port forwards"),
			when(invalid).then(drop),
			when().then(jump("let_in")),
			when(through{}, rate{n: throughRate}).then(accept),
			when().then(drop).called("into the LAN"),
		)
	}
	if c.foreign() {
		ch := c.chain("from_exit", jumped)
		ch.add(when(known).then(accept), when().then(drop).called("from an exit"))
	}
	ch = c.chain("forward", forward)
	for _, e := range c.m.Exits {
		ch.add(when(in(tun), flag{value: e.Mark()}, out(e.Interface).other()).then(reject).called("past the exit " + e.Name))
	}
	ch.add(stray(in(tun)), stray(out(tun)))
	if c.m.Rules.Router {
		ch.add(stray(out(c.m.WAN)))
	}
	c.nameless(ch)
	ch.add(when(in(tun)).then(jump("from_vpn")), when(out(tun)).then(jump("to_vpn")))
	for _, e := range c.m.Exits {
		if e.Interface != tun {
			ch.add(when(in(e.Interface)).then(jump("from_exit")))
		}
	}
	if c.m.Rules.Router {
		ch.add(when(in(c.m.WAN)).then(jump("from_wan")))
	}
	c.late()
	ch = c.chain("clamp", clamp)
	// What either end may send is told to the other.
	for _, name := range c.narrow() {
		ch.add(when(out(name), syn{answers: true}).then(fit{}), when(in(name), syn{answers: true}).then(fit{}))
	}
}

// nameless drops what the kernel finds no connection for, where addresses are
// translated: it would leave as it is, with the address of the device.
func (c *compiler) nameless(ch *chain) {
	side := []condition{in(c.m.Interface), c.wan}
	if c.m.Rules.Router {
		side = side[1:]
	}
	ch.add(when(append(side, invalid)...).then(drop).called("belongs to nothing"))
	for _, e := range c.m.Exits {
		if e.Interface != c.m.Interface {
			ch.add(when(out(e.Interface), invalid).then(drop).called("belongs to nothing"))
		}
	}
}

// late is what the cell sends into the tunnel without having been asked. A datagram
// of a service would open the connection anew whose right was taken away, and make
// what the peer sends an answer: as [stray], for UDP.
func (c *compiler) late() {
	links := len(c.m.Rules.Links) > 0
	ch := c.chain("late", jumped)
	for _, v := range families {
		ch.add(when(to(v, "all_services")).then(accept), when(lookup{v.six, []part{dst, l4, source}, v.set("services")}).then(accept))
		if links {
			ch.add(when(to(v, "link_all_services")).then(accept), when(lookup{v.six, []part{dst, l4, source}, v.set("link_services")}).then(accept))
		}
	}
	ch.add(when().then(drop).called("not open any more"))
	tun := out(c.m.Interface)
	ch = c.chain("output", output)
	ch.add(stray(tun))
	seen := map[uint16]bool{}
	for _, o := range c.m.Rules.Services {
		for _, p := range o.Ports {
			if p.Proto == policy.UDP && !seen[p.Number] {
				seen[p.Number] = true
				ch.add(when(tun, opening, sport(p.Number)).then(jump("late")))
			}
		}
	}
}

// stray ends what goes on without having been opened. The kernel takes any packet
// of TCP for the beginning of a connection, and by an answer one would come back
// that was ended because it lost its right.
func stray(by card) rule {
	return when(by, opening, syn{not: true}).then(reset).called("not open any more")
}

// narrow are the interfaces that may take less than others.
func (c *compiler) narrow() []string {
	list := []string{c.m.Interface}
	if c.m.Rules.Router {
		list = append(list, c.m.WAN)
	}
	for _, e := range c.m.Exits {
		if e.Interface != c.m.Interface {
			list = append(list, e.Interface)
		}
	}
	return list
}

// between is what passes from the tunnel into the tunnel: to peers, to linked
// cells, and by exits that are linked cells.
func (c *compiler) between() {
	ch := c.chain("between", jumped)
	for _, v := range families {
		ch.add(
			when(from(v, "all_peers"), to(v, "members")).then(accept).called("peers"),
			when(lookup{v.six, []part{src, dst}, v.set("pairs")}).then(accept).called("peers"),
		)
		for _, g := range c.groups {
			ch.add(when(from(v, "to_"+g), to(v, "in_"+g)).then(accept).called("group " + g))
		}
		if len(c.m.Rules.Links) > 0 {
			ch.add(when(from(v, "all_cells"), to(v, "link_nets")).then(accept).called("linked cells"))
		}
		for _, l := range c.m.Rules.Links {
			if c.named(l.Name) {
				ch.add(when(from(v, "to_"+cellSet(l.Name)), to(v, cellSet(l.Name))).then(accept).called("cell " + l.Name))
			}
		}
		for _, e := range c.m.Exits {
			if e.Interface == c.m.Interface {
				ch.add(when(flag{value: e.Mark()}, from(v, "by_exit")).then(accept).called("internet by an exit"))
			}
		}
	}
	ch.add(when().then(reject).called("no right to a peer"))
}

// translation is what leaves with the cell's address instead of its own.
func (c *compiler) translation() {
	ch := c.chain("postrouting", srcnat)
	tun := c.m.Interface
	for _, v := range families {
		ch.add(when(c.wan, from(v, "hidden")).then(masquerade).called("the cell's address"))
		for _, e := range c.m.Exits {
			if e.Interface != tun {
				ch.add(when(out(e.Interface), v).then(masquerade).called("exit " + e.Name))
			}
		}
		// What came by a port forward must come back through the cell.
		ch.add(when(out(tun), diverted, to(v, "split")).then(masquerade).called("port forwards"))
		if c.m.Rules.Router {
			// Private networks count as the LAN, but answers to these come by the cell anyway.
			ch.add(
				when(out(tun).other(), diverted, from(v, "members")).then(accept),
				when(diverted, from(v, "lan_nets"), to(v, "lan_nets")).then(masquerade).called("port forwards from within"),
			)
		} else {
			ch.add(when(out(tun).other(), diverted, to(v, "lan_nets")).then(masquerade).called("port forwards"))
		}
	}
}

// counting keeps the bytes of each device's traffic through the cell.
func (c *compiler) counting() {
	if !c.m.Accounting {
		return
	}
	c.both("sent", func(_ family, s *set) { s.size, s.life = mostNoted, countLife })
	c.both("received", func(_ family, s *set) { s.size, s.life = mostNoted, countLife })
	cards := []string{c.m.Interface}
	if c.m.Rules.Router && c.m.LAN != "" {
		cards = append(cards, c.m.LAN)
	}
	ch := c.chain("account", account)
	for _, name := range cards {
		for _, v := range families {
			ch.add(
				rule{when: []condition{in(name)}, do: []action{note{v.six, src, v.set("sent"), 0}}},
				rule{when: []condition{out(name)}, do: []action{note{v.six, dst, v.set("received"), 0}}},
			)
		}
	}
}
