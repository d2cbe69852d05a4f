package config

import (
	"net/netip"
	"slices"
)

// Clone returns a copy that shares nothing with d that could be changed.
func (d *Document) Clone() *Document {
	c := *d
	c.Cell.Listen = slices.Clone(d.Cell.Listen)
	c.Network.Allow = slices.Clone(d.Network.Allow)

	c.DNS.Enabled = copied(d.DNS.Enabled)
	c.DNS.Listen = slices.Clone(d.DNS.Listen)
	c.DNS.Upstreams = slices.Clone(d.DNS.Upstreams)
	c.DNS.Records = slices.Clone(d.DNS.Records)
	c.DNS.Zones = each(d.DNS.Zones, func(z *Zone) { z.Records = slices.Clone(z.Records) })

	c.DHCP.Enabled = copied(d.DHCP.Enabled)
	c.DHCP.DNS = slices.Clone(d.DHCP.DNS)
	c.DHCP.Reservations = slices.Clone(d.DHCP.Reservations)

	c.NTP.Enabled = copied(d.NTP.Enabled)
	c.NTP.Listen = slices.Clone(d.NTP.Listen)
	c.NTP.Sources = slices.Clone(d.NTP.Sources)

	c.WireGuard.Enabled = copied(d.WireGuard.Enabled)
	c.Peers = each(d.Peers, func(p *Peer) { p.Internet, p.LAN = copied(p.Internet), copied(p.LAN) })
	c.Users = each(d.Users, func(u *User) { u.Groups = slices.Clone(u.Groups) })

	c.Mail.Enabled = copied(d.Mail.Enabled)
	c.Mail.Listen = slices.Clone(d.Mail.Listen)
	c.Mail.Domains = slices.Clone(d.Mail.Domains)
	c.Mail.Aliases = each(d.Mail.Aliases, func(a *Alias) { a.To = slices.Clone(a.To) })

	c.DAV.Enabled = copied(d.DAV.Enabled)
	c.DAV.Listen = slices.Clone(d.DAV.Listen)

	c.Proxy.Enabled = copied(d.Proxy.Enabled)
	c.Proxy.Listen = slices.Clone(d.Proxy.Listen)
	c.Proxy.Routes = slices.Clone(d.Proxy.Routes)

	c.CA.Names = slices.Clone(d.CA.Names)
	c.Links = each(d.Links, func(l *Link) {
		l.Endpoints = slices.Clone(l.Endpoints)
		l.Subnets = slices.Clone[[]netip.Prefix](l.Subnets)
	})
	c.Web.Listen = slices.Clone(d.Web.Listen)
	return &c
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
