package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

func (d *Document) validateNetwork(p *problems) {
	n := &d.Network
	validateCard(p, "network.lan", n.LAN.Name, n.LAN.Address, n.LAN.Address6)
	validateCard(p, "network.wan", n.WAN.Name, n.WAN.Address, n.WAN.Address6)
	p.few("network.allow", len(n.Allow), 256)
	for _, a := range n.Allow {
		if !a.IsValid() || a.Addr().Is4In6() {
			p.add("network.allow", "an entry is not a network such as 192.168.1.0/24")
		}
	}
	d.validateRouter(p)
	d.validatePublic(p)
	d.validatePortForwards(p)
	d.validateRights(p)
	d.validateExits(p)
	p.few("network.blocked", len(n.Blocked), 10000)
	for _, b := range n.Blocked {
		switch {
		case !b.Net.IsValid() || b.Net.Addr().Is4In6():
			p.add("network.blocked", "an entry is not a network such as 203.0.113.0/24")
		case b.Net.Bits() == 0:
			p.add("network.blocked", "%s is the whole internet", b.Net)
		}
	}
	d.validateShaping(p)
	d.validateDynamic(p)
}

// validatePublic checks what is opened to the internet. What manages the cell, or
// would serve attacks on others, is not to be had.
func (d *Document) validatePublic(p *problems) {
	const path = "network.public"
	p.few(path, len(d.Network.Public), 16)
	seen := map[string]bool{}
	for _, name := range d.Network.Public {
		unique(p, path, seen, name)
		switch name {
		case "mail":
			if port := d.Mail.SMTPPort; On(d.Network.Router) && port != 25 {
				p.add(path, "others deliver mail to port 25 only, and mail.smtpPort is %d", port)
			}
			d.validateHeard(p, name, d.Mail.Listen)
		case "proxy":
			d.validateHeard(p, name, d.Proxy.Listen)
		case "web", "files":
			p.add(path, "%s manages the cell or holds its files, and is not for the internet; devices on the road reach it by the VPN", name)
		case "dns", "ntp":
			p.add(path, "%s answers anybody by UDP and would be misused to flood others; devices on the road reach it by the VPN", name)
		default:
			p.add(path, "there is no service %q that can be public; choose of mail and proxy", name)
		}
	}
}

// validateHeard checks that a service that is to be public hears the WAN.
func (d *Document) validateHeard(p *problems, name string, listen []netip.Addr) {
	for _, a := range listen {
		if a.IsUnspecified() || a == d.Network.WAN.Address.Addr() || a == d.Network.WAN.Address6.Addr() || !On(d.Network.Router) && !a.IsLoopback() {
			return
		}
	}
	p.add("network.public", "%s listens only where the internet is not; leave %s.listen out", name, name)
}

func validateCard(p *problems, path, name string, four, six netip.Prefix) {
	if name != "" && !linkName.MatchString(name) {
		p.add(path+".name", "is not the name of a network interface")
	}
	if four.IsValid() && !hostAddr(four.Addr()) {
		p.add(path+".address", "%s is not an address that a host can have", four.Addr())
	}
	if four.IsValid() && four.Masked().Addr() == four.Addr() && four.Bits() < 31 && four.Addr().Is4() {
		p.add(path+".address", "%s is the address of the network; give that of the host, such as %s/%d", four, four.Addr().Next(), four.Bits())
	}
	if six.IsValid() && (!six.Addr().Is6() || six.Addr().Is4In6() || !hostAddr(six.Addr())) {
		p.add(path+".address6", "%s is not an IPv6 address that a host can have", six.Addr())
	}
}

func (d *Document) validateRouter(p *problems) {
	n := &d.Network
	p.few("network.bridge", len(n.Bridge), 16)
	seen := map[string]bool{}
	for _, b := range n.Bridge {
		switch {
		case !linkName.MatchString(b):
			p.add("network.bridge", "%q is not the name of a network interface", b)
		case b == n.WAN.Name, b == n.LAN.Name, b == d.WireGuard.Interface:
			p.add("network.bridge", "%s is another part of the network", b)
		}
		unique(p, "network.bridge", seen, b)
	}
	if n.WAN.Method != WANDHCP && n.WAN.Method != WANStatic {
		p.add("network.wan.method", "must be dhcp or static")
	}
	for _, g := range []struct {
		path string
		addr netip.Addr
		net  netip.Prefix
	}{{"network.wan.gateway", n.WAN.Gateway, n.WAN.Address}, {"network.wan.gateway6", n.WAN.Gateway6, n.WAN.Address6}} {
		if g.addr.IsValid() && !g.net.Masked().Contains(g.addr) && !g.addr.IsLinkLocalUnicast() {
			p.add(g.path, "%s is not in the network of the WAN", g.addr)
		}
	}
	if !On(n.Router) {
		return
	}
	switch {
	case d.Cell.Mode == Trial:
		p.add("network.router", "a trial touches nothing of the host; set cell.mode to appliance first")
	case n.WAN.Name == "":
		p.add("network.wan.name", "a router needs a card towards the internet")
	case n.LAN.Name == "":
		p.add("network.lan.name", "a router needs a card towards the LAN")
	case n.WAN.Name == n.LAN.Name:
		p.add("network.wan.name", "a router needs two cards; %s is the LAN already", n.LAN.Name)
	}
	if !n.LAN.Address.IsValid() {
		p.add("network.lan.address", "a router needs an address in the LAN, such as 192.168.1.1/24")
	}
	if n.WAN.Method == WANStatic && !n.WAN.Address.IsValid() && !n.WAN.Address6.IsValid() {
		p.add("network.wan.address", "is needed where the method is static")
	}
	d.validateLine(p, "network.wan.address", n.WAN.Address)
	d.validateLine(p, "network.wan.address6", n.WAN.Address6)
}

// validateLine refuses a WAN whose network would take addresses of the household's.
// One that only has the household's within it works: the narrower one wins.
func (d *Document) validateLine(p *problems, path string, wan netip.Prefix) {
	homes := map[string][]netip.Prefix{
		"the LAN": {d.Network.LAN.Address, d.Network.LAN.Address6},
	}
	if On(d.WireGuard.Enabled) {
		homes["the VPN"] = []netip.Prefix{d.WireGuard.Subnet, d.WireGuard.Subnet6}
	}
	for name, nets := range homes {
		for _, h := range nets {
			if wan.IsValid() && h.IsValid() && h.Overlaps(wan) && (wan.Bits() >= h.Bits() || h.Contains(wan.Addr())) {
				p.add(path, "%s overlaps %s, %s; one of the two needs another network", wan, name, h.Masked())
			}
		}
	}
}

func (d *Document) validatePortForwards(p *problems) {
	n := &d.Network
	p.few("network.forwards", len(n.Forwards), 1000)
	names := map[string]bool{}
	type span struct {
		name, protocol string
		first, last    uint16
	}
	var all []span
	for i, f := range n.Forwards {
		path := at("network.forwards", i, f.Name)
		if !Label(f.Name) {
			p.add(path+".name", labelRule)
		}
		unique(p, path+".name", names, f.Name)
		if !slices.Contains([]string{"tcp", "udp", "both"}, f.Protocol) {
			p.add(path+".protocol", "must be tcp, udp or both")
		}
		switch {
		case f.Port == 0:
			p.add(path+".port", "must be from 1 to 65535")
		case f.Last < f.Port:
			p.add(path+".last", "must not be before the first port")
		case int(f.ToPort)+int(f.Last-f.Port) > 65535:
			p.add(path+".toPort", "the range ends beyond 65535")
		}
		if !f.To.IsValid() || !hostAddr(f.To) || f.To.IsLoopback() || f.To.IsLinkLocalUnicast() {
			p.add(path+".to", "must be the address of a device in the LAN or the VPN")
		}
		p.few(path+".from", len(f.From), 100)
		for _, a := range f.From {
			if !a.IsValid() || a.Addr().Is4In6() {
				p.add(path+".from", "an entry is not a network such as 203.0.113.0/24")
			}
		}
		if f.Disabled {
			continue
		}
		d.validateTaken(p, path, f)
		for _, o := range all {
			if (o.protocol == f.Protocol || o.protocol == "both" || f.Protocol == "both") && f.Port <= o.last && o.first <= f.Last {
				p.add(path+".port", "is forwarded by %s already", o.name)
			}
		}
		all = append(all, span{f.Name, f.Protocol, f.Port, f.Last})
	}
}

// validateTaken refuses a forward that takes a port of the cell's from it without
// which nobody could undo the forward: that of WireGuard, and those of the UI. One
// to a device's own address of IPv6 takes none.
func (d *Document) validateTaken(p *problems, path string, f PortForward) {
	direct := f.To.Is6() && !f.To.IsPrivate()
	holds := func(first, port uint16, protocol string) bool {
		return port != 0 && (f.Protocol == protocol || f.Protocol == "both") && first <= port && int(port) <= int(first)+int(f.Last-f.Port)
	}
	if w := d.WireGuard; On(w.Enabled) && !direct && holds(f.Port, w.Port, "udp") {
		p.add(path+".port", "UDP port %d is WireGuard's own (wireguard.port), without which no device would find the cell; choose another port", w.Port)
	}
	own := d.own(f.To)
	for _, g := range []struct {
		field string
		port  uint16
		needs bool // somebody who has to undo the forward
	}{
		{"web.uiPort", d.Web.UIPort, true},
		{"web.apiPort", d.Web.APIPort, true},
		{"web.mailPort", d.Web.MailPort, false},
		{"web.filesPort", d.Web.FilesPort, false},
	} {
		switch {
		case own && holds(f.ToPort, g.port, "tcp"):
			p.add(path+".toPort", "TCP port %d of the cell is that of its own pages (%s), which are for the LAN and the VPN, not for the internet", g.port, g.field)
		case g.needs && !direct && holds(f.Port, g.port, "tcp"):
			p.add(path+".port", "TCP port %d is that of the cell's own pages (%s), by which the forward could be undone; choose another port", g.port, g.field)
		}
	}
}

// own reports whether a is an address of the cell that the document knows.
func (d *Document) own(a netip.Addr) bool {
	four, six := d.WireGuard.VPN()
	n := &d.Network
	return slices.Contains([]netip.Addr{
		four, six, n.LAN.Address.Addr(), n.LAN.Address6.Addr(), n.WAN.Address.Addr(), n.WAN.Address6.Addr(),
	}, a) && a.IsValid()
}

// validateRights checks the names in the rights of peers and groups.
func (d *Document) validateRights(p *problems) {
	known := map[string]map[string]bool{"services": {}, "peers": {}, "cells": {}, "exit": {}, "groups": {}}
	for _, o := range Offers(d) {
		known["services"][o.Name] = true
	}
	for i := range d.Peers {
		known["peers"][d.Peers[i].Name] = true
	}
	groups := map[string]bool{}
	for i, g := range d.Network.Groups {
		path := at("network.groups", i, g.Name)
		if !Label(g.Name) || g.Name == All || g.Name == None {
			p.add(path+".name", labelRule)
		}
		unique(p, path+".name", groups, g.Name)
		known["peers"][g.Name], known["groups"][g.Name] = true, true
	}
	for _, l := range d.Links {
		known["cells"][l.Name] = true
	}
	for _, e := range d.Network.Exits {
		known["exit"][e.Name] = true
	}
	p.few("network.groups", len(d.Network.Groups), 100)
	check := func(path, what string, names []string) {
		p.few(path+"."+what, len(names), 256)
		for _, n := range names {
			switch {
			case (n == All || n == None) && what != "groups":
				if len(names) > 1 {
					p.add(path+"."+what, "%q must stand alone", n)
				}
			case !known[what][n]:
				p.add(path+"."+what, "there is no %q", n)
			}
		}
	}
	rights := func(path string, r Rights) {
		check(path, "services", r.Services)
		check(path, "peers", r.Peers)
		check(path, "cells", r.Cells)
		if r.Exit != "" && r.Exit != None && !known["exit"][r.Exit] {
			p.add(path+".exit", "there is no exit %q", r.Exit)
		}
	}
	for i, g := range d.Network.Groups {
		rights(at("network.groups", i, g.Name), g.Rights)
	}
	devices := []string{"", "phone", "laptop", "desktop", "tablet", "tv", "server", "router", "other"}
	for i := range d.Peers {
		e := &d.Peers[i]
		path := at("peers", i, e.Name)
		rights(path, e.Rights)
		check(path, "groups", e.Groups)
		if known["groups"][e.Name] {
			p.add(path+".name", "there is a group of this name")
		}
		if !slices.Contains(devices, e.Device) {
			p.add(path+".device", "must be one of%s", strings.Join(devices, " "))
		}
		if e.MAC != "" && !macAddr.MatchString(e.MAC) {
			p.add(path+".mac", "must be written as aa:bb:cc:dd:ee:ff")
		}
		p.few(path+".dns", len(e.DNS), 4)
		for _, a := range e.DNS {
			if !a.IsValid() || !hostAddr(a) {
				p.add(path+".dns", "an entry is not the address of a name server")
			}
		}
		if e.Keepalive > 65535 {
			p.add(path+".keepalive", "must be at most 65535 seconds")
		}
	}
	for i, l := range d.Links {
		check(at("links", i, l.Name), "services", l.Services)
	}
}

func (d *Document) validateExits(p *problems) {
	p.few("network.exits", len(d.Network.Exits), 16)
	names := map[string]bool{All: true, None: true}
	for i, e := range d.Network.Exits {
		path := at("network.exits", i, e.Name)
		if !Label(e.Name) {
			p.add(path+".name", labelRule)
		}
		unique(p, path+".name", names, e.Name)
		if e.Link != "" {
			if !slices.ContainsFunc(d.Links, func(l Link) bool { return l.Name == e.Link }) {
				p.add(path+".link", "there is no linked cell %q", e.Link)
			}
			continue
		}
		if e.Key == "" {
			p.add(path+".key", "is missing; import the provider's .conf")
		}
		if !base64of.MatchString(e.PublicKey) {
			p.add(path+".publicKey", "is not a WireGuard public key (44 characters of base64)")
		}
		if !hostPort(e.Endpoint) || e.Endpoint == "" {
			p.add(path+".endpoint", "must be the provider's host:port")
		}
		p.few(path+".addresses", len(e.Addresses), 8)
		if len(e.Addresses) == 0 {
			p.add(path+".addresses", "must be those that the provider gave")
		}
		for _, a := range e.Addresses {
			if !a.IsValid() || !hostAddr(a.Addr()) {
				p.add(path+".addresses", "an entry is not an address such as 10.2.0.2/32")
			}
		}
		p.few(path+".dns", len(e.DNS), 4)
		if e.MTU != 0 && (e.MTU < 1280 || e.MTU > 9000) {
			p.add(path+".mtu", "must be from 1280 to 9000")
		}
	}
}

func (d *Document) validateShaping(p *problems) {
	n := &d.Network
	for path, rate := range map[string]int{"network.shaping.down": n.Shaping.Down, "network.shaping.up": n.Shaping.Up} {
		if rate < 0 || rate > 100_000_000 || rate > 0 && rate < 100 {
			p.add(path, "must be from 100 kbit/s to 100000000, or 0 for no shaping")
		}
	}
	if !slices.Contains([]string{"auto", "cake", "fq_codel"}, n.Shaping.Queue) {
		p.add("network.shaping.queue", "must be auto, cake or fq_codel")
	}
	p.few("network.portMapping.allow", len(n.PortMapping.Allow), 100)
	if n.PortMapping.Most < 1 || n.PortMapping.Most > 1000 {
		p.add("network.portMapping.most", "must be from 1 to 1000")
	}
}

func (d *Document) validateDynamic(p *problems) {
	p.few("network.dynamic", len(d.Network.Dynamic), 16)
	names := map[string]bool{}
	for i, n := range d.Network.Dynamic {
		path := at("network.dynamic", i, n.Name)
		if !Hostname(n.Name) {
			p.add(path+".name", "must be a host name in lower case, such as oak.dyn.example")
		}
		unique(p, path+".name", names, n.Name)
		switch n.Protocol {
		case "dyndns2":
			if u, err := url.Parse(n.Server); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || !portOf(u) {
				p.add(path+".server", "must be the service's https:// address")
			}
		case "rfc2136":
			if !hostPort(n.Server) || n.Server == "" {
				p.add(path+".server", "must be the name server's host or host:port")
			}
		default:
			p.add(path+".protocol", "must be dyndns2 or rfc2136")
		}
		for _, f := range n.Families {
			if f != "4" && f != "6" {
				p.add(path+".families", "must be 4, 6 or both")
			}
		}
	}
}
