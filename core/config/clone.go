package config

import "slices"

// Clone returns a copy that shares nothing with d that could be changed.
func (d *Document) Clone() *Document {
	c := *d
	c.Cell.Listen = slices.Clone(d.Cell.Listen)
	c.Network = d.Network.clone()

	c.DNS = d.DNS.clone()

	c.DHCP.Enabled = copied(d.DHCP.Enabled)
	c.DHCP.DNS = slices.Clone(d.DHCP.DNS)
	c.DHCP.Reservations = slices.Clone(d.DHCP.Reservations)

	c.NTP.Enabled = copied(d.NTP.Enabled)
	c.NTP.Listen = slices.Clone(d.NTP.Listen)
	c.NTP.Sources = slices.Clone(d.NTP.Sources)

	c.WireGuard.Enabled, c.WireGuard.OpenPort = copied(d.WireGuard.Enabled), copied(d.WireGuard.OpenPort)
	c.Peers = each(d.Peers, func(p *Peer) {
		p.Rights = p.Rights.clone()
		p.Groups, p.DNS, p.Site = slices.Clone(p.Groups), slices.Clone(p.DNS), slices.Clone(p.Site)
	})
	c.Users = each(d.Users, func(u *User) { u.Groups = slices.Clone(u.Groups) })

	c.Mail.Enabled = copied(d.Mail.Enabled)
	c.Mail.Listen = slices.Clone(d.Mail.Listen)
	c.Mail.Domains = slices.Clone(d.Mail.Domains)
	c.Mail.Smarthost = copied(d.Mail.Smarthost)
	c.Mail.DKIM = slices.Clone(d.Mail.DKIM)
	c.Mail.Aliases = each(d.Mail.Aliases, func(a *Alias) { a.To = slices.Clone(a.To) })

	c.DAV.Enabled = copied(d.DAV.Enabled)
	c.DAV.Listen = slices.Clone(d.DAV.Listen)

	c.Proxy.Enabled = copied(d.Proxy.Enabled)
	c.Proxy.Listen = slices.Clone(d.Proxy.Listen)
	c.Proxy.Routes = slices.Clone(d.Proxy.Routes)

	c.CA.Names = slices.Clone(d.CA.Names)
	c.Links = each(d.Links, func(l *Link) {
		l.Endpoints = slices.Clone(l.Endpoints)
		l.Subnets = slices.Clone(l.Subnets)
		l.Services = slices.Clone(l.Services)
	})
	c.Web.Listen = slices.Clone(d.Web.Listen)
	return &c
}

func (n Network) clone() Network {
	c := n
	c.Bridge = slices.Clone(n.Bridge)
	c.Allow = slices.Clone(n.Allow)
	c.WAN.Delegation = copied(n.WAN.Delegation)
	c.Router, c.Reflect, c.Accounting = copied(n.Router), copied(n.Reflect), copied(n.Accounting)
	c.Forwards = each(n.Forwards, func(f *PortForward) { f.From = slices.Clone(f.From) })
	c.Groups = each(n.Groups, func(g *PeerGroup) { g.Rights = g.Rights.clone() })
	c.Exits = each(n.Exits, func(e *Exit) { e.Addresses, e.DNS = slices.Clone(e.Addresses), slices.Clone(e.DNS) })
	c.Blocked = slices.Clone(n.Blocked)
	c.Public = slices.Clone(n.Public)
	c.PortMapping.Enabled = copied(n.PortMapping.Enabled)
	c.PortMapping.Allow = slices.Clone(n.PortMapping.Allow)
	c.Dynamic = each(n.Dynamic, func(d *DynamicName) { d.Families = slices.Clone(d.Families) })
	return c
}

func (r Rights) clone() Rights {
	c := r
	c.Internet, c.LAN, c.Fallback = copied(r.Internet), copied(r.LAN), copied(r.Fallback)
	c.Services, c.Peers, c.Cells = slices.Clone(r.Services), slices.Clone(r.Peers), slices.Clone(r.Cells)
	return c
}

func (d DNS) clone() DNS {
	c := d
	c.Enabled, c.TLS, c.HTTPS, c.Rebind = copied(d.Enabled), copied(d.TLS), copied(d.HTTPS), copied(d.Rebind)
	c.Rate, c.Responses = copied(d.Rate), copied(d.Responses)
	c.Listen = slices.Clone(d.Listen)
	c.Roots = slices.Clone(d.Roots)
	c.Upstreams = slices.Clone(d.Upstreams)
	c.Forwards = each(d.Forwards, func(f *Forward) { f.Upstreams = slices.Clone(f.Upstreams) })
	c.Anchors = slices.Clone(d.Anchors)
	c.Private = slices.Clone(d.Private)
	c.Records = slices.Clone(d.Records)
	c.Own = d.Own.clone()
	c.Zones = each(d.Zones, func(z *Zone) {
		z.Records = slices.Clone(z.Records)
		z.Options = z.Options.clone()
		z.Primaries = slices.Clone(z.Primaries)
	})
	c.Keys = slices.Clone(d.Keys)
	c.Filter = d.Filter.clone()
	c.Log.Enabled = copied(d.Log.Enabled)
	return c
}

func (o ZoneOptions) clone() ZoneOptions {
	c := o
	c.Secondaries = slices.Clone(o.Secondaries)
	c.Updates = each(o.Updates, func(u *Update) { u.Names, u.Types = slices.Clone(u.Names), slices.Clone(u.Types) })
	return c
}

func (f Filter) clone() Filter {
	c := f
	c.Enabled = copied(f.Enabled)
	c.Lists = slices.Clone(f.Lists)
	c.Rules = slices.Clone(f.Rules)
	c.Rewrites = slices.Clone(f.Rewrites)
	c.Services = slices.Clone(f.Services)
	c.Groups = each(f.Groups, func(g *Group) {
		g.Lists, g.Rules, g.Services = slices.Clone(g.Lists), slices.Clone(g.Rules), slices.Clone(g.Services)
		g.Rewrites = slices.Clone(g.Rewrites)
		g.SafeSearch = copied(g.SafeSearch)
		g.Schedules = each(g.Schedules, func(s *Schedule) { s.Days, s.Services = slices.Clone(s.Days), slices.Clone(s.Services) })
	})
	c.Clients = each(f.Clients, func(c *Client) { c.IDs, c.Groups = slices.Clone(c.IDs), slices.Clone(c.Groups) })
	return c
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// each clones s and lets deep unshare what lies below each element.
func each[T any](s []T, deep func(*T)) []T {
	s = slices.Clone(s)
	for i := range s {
		deep(&s[i])
	}
	return s
}
