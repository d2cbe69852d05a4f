package api

import (
	"cmp"
	"context"

	"pic/api/wire"
	"pic/core/config"
)

func (a *API) wireguard(context.Context, *struct{}) (*body[wire.WireGuard], error) {
	doc := a.Store.Resolved()
	w := doc.WireGuard
	out := wire.WireGuard{
		Enabled: config.On(w.Enabled), Backend: "tun", Interface: w.Interface, PublicKey: w.PublicKey, Port: w.Port,
		Endpoint: w.Endpoint, Subnet: w.Subnet, Subnet6: w.Subnet6, MTU: cmp.Or(a.Network.MTU(), w.MTU), OpenPort: config.On(w.OpenPort),
		NAT: list(a.Network.NAT()), Peers: a.view(doc, doc.Peers),
	}
	if doc.Cell.Mode == config.Trial {
		out.Backend, out.Interface = "netstack", ""
	}
	return &body[wire.WireGuard]{out}, nil
}
