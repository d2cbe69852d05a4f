package api

import (
	"context"

	"pic/api/wire"
	"pic/netstack/router"
)

// Router is the router between the LAN and the WAN.
type Router interface {
	Status() router.Status
}

func (a *API) routerRoutes() {
	route(a, Viewers, "GET /api/router", "The line to the provider, and the LAN, of a cell that is the router", a.router)
}

func (a *API) router(context.Context, *struct{}) (*body[wire.Router], error) {
	st := a.Router.Status()
	out := wire.Router{Enabled: st.On}
	if !st.On {
		return &body[wire.Router]{out}, nil
	}
	w := st.WAN
	out.WAN = &wire.RouterWAN{
		Interface: w.Interface, Method: "static", Plugged: w.Plugged, Address: w.Address, Gateway: w.Gateway,
		Addresses6: list(w.Addresses6), Gateway6: w.Gateway6, DNS: list(w.DNS), State: string(w.State), State6: string(w.State6),
		Prefixes: []wire.Delegated{},
	}
	if w.DHCP {
		out.WAN.Method = "dhcp"
	}
	if l := w.Lease; l != nil {
		out.WAN.Lease = &wire.WANLease{Server: l.Server.String(), Got: l.Got, Renew: l.Renew, Rebind: l.Rebind, Until: l.Until}
	}
	if l := w.Lease6; l != nil {
		for _, p := range l.Prefixes {
			out.WAN.Prefixes = append(out.WAN.Prefixes, wire.Delegated{Prefix: p.Net, Preferred: p.Preferred, Until: p.Valid})
		}
		out.WAN.Lease6 = &wire.WANLease{Got: l.Got, Renew: l.Renew, Rebind: l.Rebind, Until: l.Until()}
	}
	out.LAN = &wire.RouterLAN{Interface: st.LAN.Interface, Bridge: list(st.LAN.Bridge), Addresses: list(st.LAN.Addresses)}
	if s := st.Shaping; s.Queue != "" {
		out.Shaping = &wire.Shaping{Up: s.Up, Down: s.Down, Queue: s.Queue, Where: s.Where}
	}
	return &body[wire.Router]{out}, nil
}
