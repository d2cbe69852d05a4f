package netstack

import (
	"net/netip"
	"slices"

	"pic/netstack/fw"
	"pic/netstack/policy"
)

// rules are the policy's, from the document. onLink are the networks that the
// host's LAN interface is in.
func (c Config) rules(onLink []netip.Prefix) policy.Rules {
	r := policy.Rules{LAN: policy.Disjoint(slices.Concat(c.LANNets, onLink))}
	if len(r.LAN) == 0 {
		r.LAN = policy.Private
	}
	for _, a := range c.Addresses {
		r.Cell = append(r.Cell, a.Addr())
		r.VPN = append(r.VPN, a.Masked())
	}
	for _, p := range c.Peers {
		r.Peers = append(r.Peers, policy.Peer{
			Name: p.Name, Addrs: p.Addrs, Internet: p.Internet, LAN: p.LAN, Services: []string{"all"},
		})
	}
	return r
}

// model is what the packet filter is made of.
func (c Config) model(onLink []netip.Prefix) fw.Model {
	return fw.Model{Rules: c.rules(onLink), Interface: c.Interface, WAN: c.WAN}
}
