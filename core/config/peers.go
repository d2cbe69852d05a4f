package config

import (
	"errors"
	"fmt"
	"net/netip"
)

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
