package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Expired reports whether the peer's time is over at now. A zero now is before
// everything.
func (p *Peer) Expired(now time.Time) bool {
	return !p.Expires.IsZero() && !now.Before(p.Expires)
}

// GroupsOf returns the groups that give p rights: those named by it and by its
// owner, in the document's order.
func (d *Document) GroupsOf(p *Peer) []PeerGroup {
	names := p.Groups
	if u := d.User(p.Owner); u != nil {
		names = append(slices.Clone(names), u.Groups...)
	}
	var out []PeerGroup
	for _, g := range d.Network.Groups {
		if slices.Contains(names, g.Name) {
			out = append(out, g)
		}
	}
	return out
}

// Group returns the group of peers of that name, or nil.
func (d *Document) Group(name string) *PeerGroup {
	return find(d.Network.Groups, func(g *PeerGroup) bool { return g.Name == name })
}

// A Source is where a right of a peer comes from: itself, groups, or neither of
// them, which is the default.
type Source struct {
	Own    bool
	Groups []string
}

// Sources says where each right of p comes from, by the name of its field in
// JSON. d and p are as chosen, not resolved: there every right is the peer's own.
func (d *Document) Sources(p *Peer) map[string]Source {
	out := map[string]Source{}
	groups := d.GroupsOf(p)
	for name, set := range map[string]func(*Rights) bool{
		"internet": func(r *Rights) bool { return r.Internet != nil },
		"lan":      func(r *Rights) bool { return r.LAN != nil },
		"services": func(r *Rights) bool { return r.Services != nil },
		"peers":    func(r *Rights) bool { return r.Peers != nil },
		"cells":    func(r *Rights) bool { return r.Cells != nil },
		"exit":     func(r *Rights) bool { return r.Exit != "" },
		"fallback": func(r *Rights) bool { return r.Fallback != nil },
	} {
		s := Source{Own: set(&p.Rights)}
		for i := range groups {
			if !s.Own && set(&groups[i].Rights) {
				s.Groups = append(s.Groups, groups[i].Name)
			}
		}
		out[name] = s
	}
	return out
}

// Due returns the first moment after now at which the resolved document is
// another without having been changed, zero where there is none.
func (d *Document) Due(now time.Time) time.Time {
	var first time.Time
	for i := range d.Peers {
		if at := d.Peers[i].Expires; at.After(now) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// NextAddress returns the lowest address of wireguard.subnet that neither the
// cell nor a peer has, disabled peers included. d is a resolved document. The
// IPv6 address of the peer follows from it.
func NextAddress(d *Document) (netip.Addr, error) {
	net := d.WireGuard.Subnet.Masked()
	if !net.IsValid() || !net.Addr().Is4() {
		return netip.Addr{}, errors.New("wireguard.subnet: there is no IPv4 subnet to take an address from")
	}
	taken := map[netip.Addr]bool{}
	cell, _ := d.WireGuard.VPN()
	taken[cell] = true
	for i := range d.Peers {
		taken[d.Peers[i].Address] = true
	}
	// The first address names the network and the last is for broadcast.
	for a := net.Addr().Next(); net.Contains(a.Next()); a = a.Next() {
		if !taken[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("wireguard.subnet: all addresses of %s are taken; remove a peer", net)
}
