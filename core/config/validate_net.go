package config

import (
	"net/netip"
	"slices"
	"strings"
)

var rfc1918 = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
}

var ula = netip.MustParsePrefix("fc00::/7")

func (d *Document) validateVPN(p *problems) {
	w := d.WireGuard
	if w.Subnet.IsValid() {
		inside := false
		for _, r := range rfc1918 {
			inside = inside || r.Contains(w.Subnet.Addr()) && w.Subnet.Bits() >= r.Bits()
		}
		switch {
		case !inside:
			p.add("wireguard.subnet", "%s is not private (RFC 1918): choose within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", w.Subnet)
		case w.Subnet.Bits() > 30:
			p.add("wireguard.subnet", "%s has no room for peers", w.Subnet)
		}
		if lan := d.Network.LAN.Address; lan.IsValid() && lan.Overlaps(w.Subnet) {
			p.add("wireguard.subnet", "%s overlaps the LAN %s; choose another one", w.Subnet, lan.Masked())
		}
	}
	if w.Subnet6.IsValid() && (!ula.Contains(w.Subnet6.Addr()) || w.Subnet6.Bits() < 8 || w.Subnet6.Bits() > 112) {
		p.add("wireguard.subnet6", "must be a ULA such as fd12:3456:789a::/64")
	}
	if w.MTU < 1280 || w.MTU > 9000 {
		p.add("wireguard.mtu", "must be from 1280 to 9000")
	}
	switch {
	case !linkName.MatchString(w.Interface), w.Interface == ".", w.Interface == "..":
		p.add("wireguard.interface", "is not a name that a network interface can have")
	case w.Interface == "lo", w.Interface == d.Network.LAN.Name, w.Interface == d.Network.WAN.Name:
		p.add("wireguard.interface", "%s is an interface of the host; choose a name of its own, such as pic0", w.Interface)
	}
	if w.Backend != BackendUser && w.Backend != BackendKernel {
		p.add("wireguard.backend", "must be user or kernel")
	}
	if w.Endpoint != "" && !hostPort(w.Endpoint) {
		p.add("wireguard.endpoint", "must be a host or host:port that devices can reach from outside")
	}
	if w.PublicKey != "" && !base64of.MatchString(w.PublicKey) {
		p.add("wireguard.publicKey", "is not a WireGuard public key (44 characters of base64)")
	}
	d.validatePeers(p)
}

func (d *Document) validatePeers(p *problems) {
	w := d.WireGuard
	cell, cell6 := w.VPN()
	p.few("peers", len(d.Peers), 10000)
	names, keys := map[string]bool{}, map[string]bool{w.PublicKey: true}
	addrs := map[netip.Addr]bool{cell: true, cell6: true}
	for i, e := range d.Peers {
		path := at("peers", i, e.Name)
		if !Label(e.Name) {
			p.add(path+".name", labelRule)
		}
		unique(p, path+".name", names, e.Name)
		if !base64of.MatchString(e.PublicKey) {
			p.add(path+".publicKey", "is not a WireGuard public key (44 characters of base64)")
		} else {
			unique(p, path+".publicKey", keys, e.PublicKey)
		}
		switch next := e.Next; {
		case next.PublicKey == "" && next != (Keys{}):
			p.add(path+".next.publicKey", "is missing")
		case next.PublicKey != "" && !base64of.MatchString(next.PublicKey):
			p.add(path+".next.publicKey", "is not a WireGuard public key (44 characters of base64)")
		case next.PublicKey != "":
			unique(p, path+".next.publicKey", keys, next.PublicKey)
		}
		switch {
		case !e.Address.Is4() || !w.Subnet.Contains(e.Address):
			p.add(path+".address", "must be an address in the VPN %s", w.Subnet)
		case e.Address == w.Subnet.Masked().Addr() || e.Address == broadcast(w.Subnet):
			p.add(path+".address", "%s is the first or last address of the VPN, which no device can have", e.Address)
		}
		unique(p, path+".address", addrs, e.Address)
		if e.Address6.IsValid() {
			if !w.Subnet6.Contains(e.Address6) {
				p.add(path+".address6", "must be an address in the VPN %s", w.Subnet6)
			}
			unique(p, path+".address6", addrs, e.Address6)
		}
		if e.Owner != "" && d.User(e.Owner) == nil {
			p.add(path+".owner", "there is no user %q", e.Owner)
		}
	}
}

func broadcast(p netip.Prefix) netip.Addr {
	if !p.IsValid() || !p.Addr().Is4() {
		return netip.Addr{}
	}
	return nth(p, 1<<(32-p.Bits())-1)
}

// validateLinks checks linked cells, and the networks behind peers: no two may
// claim one domain or subnet, and
// the message names the cell to reconfigure.
func (d *Document) validateLinks(p *problems) {
	type claim struct {
		who string
		net netip.Prefix
	}
	claims := []claim{{"this cell", d.WireGuard.Subnet}, {"this cell", d.WireGuard.Subnet6}}
	for _, lan := range []netip.Prefix{d.Network.LAN.Address, d.Network.LAN.Address6} {
		if lan.IsValid() {
			claims = append(claims, claim{"this cell's LAN", lan.Masked()})
		}
	}
	// What is behind a device has its rights, so it can be behind one only.
	for i := range d.Peers {
		e := &d.Peers[i]
		path := at("peers", i, e.Name) + ".site"
		p.few(path, len(e.Site), 100)
		for _, s := range e.Site {
			if !s.IsValid() || s.Addr().Is4In6() {
				p.add(path, "an entry is not a network such as 192.168.50.0/24")
				continue
			}
			if s.Bits() == 0 {
				p.add(path, "%s is the whole internet; an exit leads there", s)
				continue
			}
			for _, c := range claims {
				if c.net.IsValid() && c.net.Overlaps(s) {
					p.add(path, "%s overlaps %s of %s", s, c.net, c.who)
				}
			}
			claims = append(claims, claim{"what is behind " + e.Name, s})
		}
	}
	domains := map[string]string{d.Cell.Domain: "this cell"}
	names, keys := map[string]bool{d.Cell.Name: true}, map[string]bool{d.WireGuard.PublicKey: true}
	p.few("links", len(d.Links), 100)
	for i, l := range d.Links {
		path := at("links", i, l.Name)
		if !Label(l.Name) {
			p.add(path+".name", labelRule)
		}
		unique(p, path+".name", names, l.Name)
		if !Hostname(l.Domain) {
			p.add(path+".domain", "must be a domain in lower case")
		}
		for dom, who := range domains {
			if l.Domain == dom || strings.HasSuffix(l.Domain, "."+dom) || strings.HasSuffix(dom, "."+l.Domain) {
				p.add(path+".domain", "%s clashes with %s of %s; one of the two cells needs another domain", l.Domain, dom, who)
			}
		}
		domains[l.Domain] = l.Name
		if !base64of.MatchString(l.PublicKey) {
			p.add(path+".publicKey", "is not a WireGuard public key (44 characters of base64)")
		}
		unique(p, path+".publicKey", keys, l.PublicKey)
		p.few(path+".endpoints", len(l.Endpoints), 16)
		p.few(path+".subnets", len(l.Subnets), 100)
		for _, e := range l.Endpoints {
			if !hostPort(e) {
				p.add(path+".endpoints", "%q is not a host:port", e)
			}
		}
		if len(l.Subnets) == 0 {
			p.add(path+".subnets", "must name the networks of the other cell")
		}
		for _, s := range l.Subnets {
			if !s.IsValid() {
				p.add(path+".subnets", "an entry is not a network such as 10.70.3.0/24")
				continue
			}
			for _, c := range claims {
				if c.net.IsValid() && c.net.Overlaps(s) {
					p.add(path+".subnets", "%s overlaps %s of %s; one of the two cells needs another network", s, c.net, c.who)
				}
			}
			claims = append(claims, claim{l.Name, s})
		}
	}
}

// validatePorts finds two services that want one port of one address.
func (d *Document) validatePorts(p *problems) {
	type want struct {
		path, net string
		addr      netip.Addr
		port      uint16
	}
	var all []want
	take := func(on *bool, path, nets string, addrs []netip.Addr, port uint16) {
		if !On(on) {
			return
		}
		for _, n := range strings.Fields(nets) {
			for _, a := range addrs {
				w := want{path, n, a, port}
				for _, o := range all {
					if o.net == n && o.port == port && (o.addr == a || o.addr.IsUnspecified() || a.IsUnspecified()) {
						p.add(path, "port %d is taken by %s", port, o.path)
						return
					}
				}
				all = append(all, w)
			}
		}
	}
	// In the tunnel services keep their standard ports, unless a wildcard has them
	// there already.
	inTunnel := func(on *bool, path, nets string, addrs []netip.Addr, port, standard uint16) {
		take(on, path, nets, addrs, port)
		covered := port == standard && slices.ContainsFunc(addrs, netip.Addr.IsUnspecified)
		if vpn := d.Tunnel(); !covered && len(vpn) > 0 {
			take(on, path, nets, vpn, standard)
		}
	}
	yes := true
	any4 := []netip.Addr{netip.IPv6Unspecified()}
	inTunnel(d.DNS.Enabled, "dns.port", "udp tcp", d.DNS.Listen, d.DNS.Port, 53)
	tls := On(d.DNS.Enabled) && On(d.DNS.TLS)
	inTunnel(&tls, "dns.tlsPort", "udp tcp", d.DNS.Listen, d.DNS.TLSPort, 853)
	take(d.DHCP.Enabled, "dhcp.port", "udp", any4, d.DHCP.Port)
	inTunnel(d.NTP.Enabled, "ntp.port", "udp", d.NTP.Listen, d.NTP.Port, 123)
	take(d.WireGuard.Enabled, "wireguard.port", "udp", any4, d.WireGuard.Port)
	inTunnel(d.Mail.Enabled, "mail.smtpPort", "tcp", d.Mail.Listen, d.Mail.SMTPPort, 25)
	inTunnel(d.Mail.Enabled, "mail.submissionPort", "tcp", d.Mail.Listen, d.Mail.SubmissionPort, 587)
	inTunnel(d.Mail.Enabled, "mail.submissionsPort", "tcp", d.Mail.Listen, d.Mail.SubmissionsPort, 465)
	inTunnel(d.Mail.Enabled, "mail.imapPort", "tcp", d.Mail.Listen, d.Mail.IMAPPort, 993)
	take(d.DAV.Enabled, "dav.caldavPort", "tcp", d.DAV.Listen, d.DAV.CalDAVPort)
	take(d.DAV.Enabled, "dav.webdavPort", "tcp", d.DAV.Listen, d.DAV.WebDAVPort)
	inTunnel(d.Proxy.Enabled, "proxy.httpPort", "tcp", d.Proxy.Listen, d.Proxy.HTTPPort, 80)
	inTunnel(d.Proxy.Enabled, "proxy.httpsPort", "tcp udp", d.Proxy.Listen, d.Proxy.HTTPSPort, 443)
	inTunnel(&yes, "web.uiPort", "tcp", d.Web.Listen, d.Web.UIPort, d.Web.UIPort)
	take(&yes, "web.apiPort", "tcp", []netip.Addr{loopback}, d.Web.APIPort)
	inTunnel(&yes, "web.mailPort", "tcp", d.Web.Listen, d.Web.MailPort, d.Web.MailPort)
	inTunnel(&yes, "web.filesPort", "tcp", d.Web.Listen, d.Web.FilesPort, d.Web.FilesPort)
}
