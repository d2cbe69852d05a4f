package api

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack/router"
	"pic/netstack/traffic"
)

// Router is the router between the LAN and the WAN.
type Router interface {
	Status() router.Status
	// Routes and Rules are those of the host.
	Routes() ([]router.Route, error)
	Rules() ([]router.Rule, error)
}

// Traffic is the history of what devices sent and received.
type Traffic interface {
	Since(from time.Time) (traffic.Step, []traffic.Series)
}

func (a *API) routerRoutes() {
	route(a, Viewers, "GET /api/router", "The line to the provider, and the LAN, of a cell that is the router", a.router)
	route(a, Viewers, "GET /api/traffic", "How much each device sent and received", a.trafficHistory)
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

type trafficInput struct {
	Hours int `query:"hours" default:"24" minimum:"1" maximum:"9600" doc:"How far back. Up to 3 are told in minutes, up to 192 in hours, more in days"`
}

func (a *API) trafficHistory(_ context.Context, in *trafficInput) (*body[wire.TrafficHistory], error) {
	doc := a.Store.Resolved()
	since := time.Now().Add(-time.Duration(in.Hours) * time.Hour)
	out := wire.TrafficHistory{Enabled: traffic.From(doc).On, Since: since, Devices: []wire.DeviceTraffic{}}
	step, all := a.Traffic.Since(since)
	out.Step = string(step)
	leases := map[string]wire.DeviceTraffic{}
	for _, l := range a.DHCP.Leases() {
		leases[l.MAC] = wire.DeviceTraffic{Name: l.Name, Address: l.Address}
	}
	for _, s := range all {
		d := wire.DeviceTraffic{}
		switch s.Kind {
		case traffic.LAN:
			d = leases[s.Name]
			if a, err := netip.ParseAddr(s.Name); err == nil {
				d.Address = a
			} else {
				d.MAC = s.Name
			}
		case traffic.Peer:
			d.PublicKey = s.Name
			d.Name = peerOfKey(doc, s.Name)
		}
		d.Kind, d.Sent, d.Received = string(s.Kind), s.Total.Sent, s.Total.Received
		d.SentRate, d.ReceivedRate = s.Rate.Sent, s.Rate.Received
		d.Series = []wire.TrafficBucket{}
		for _, b := range s.Buckets {
			d.Series = append(d.Series, wire.TrafficBucket{At: b.At, Sent: b.Sent, Received: b.Received})
		}
		out.Devices = append(out.Devices, d)
	}
	return &body[wire.TrafficHistory]{out}, nil
}

// peerOfKey names the peer that has a key now; empty where it is gone.
func peerOfKey(d *config.Document, key string) string {
	for i := range d.Peers {
		if d.Peers[i].PublicKey == key {
			return d.Peers[i].Name
		}
	}
	return ""
}

// kernelRoutes adds to out where the host's packets go. A host that does not tell
// is no reason to tell nothing.
func (a *API) kernelRoutes(out *wire.Routing) {
	routes, err := a.Router.Routes()
	if err != nil {
		a.Log.Warn("routes not read", "err", err)
	}
	out.Kernel = []wire.KernelRoute{}
	for _, r := range routes {
		out.Kernel = append(out.Kernel, wire.KernelRoute{
			To: r.To, Via: r.Via, Interface: r.Interface, Source: r.Source, Metric: r.Metric, Table: r.Table, Origin: r.Origin, Unreachable: r.Unreachable,
		})
	}
	rules, err := a.Router.Rules()
	if err != nil {
		a.Log.Warn("routing rules not read", "err", err)
	}
	out.Rules = []wire.RoutingRule{}
	for _, r := range rules {
		w := wire.RoutingRule{Priority: r.Priority, From: r.From, To: r.To, Interface: r.In, Table: r.Table, Six: r.Six}
		if r.Mark != 0 {
			w.Mark = fmt.Sprintf("0x%x/0x%x", r.Mark, r.Mask)
		}
		out.Rules = append(out.Rules, w)
	}
	out.Forwards = []wire.PortForward{}
	for _, f := range a.Store.Resolved().Network.Forwards {
		out.Forwards = append(out.Forwards, wire.PortForward{
			Name: f.Name, Protocol: f.Protocol, Port: f.Port, Last: f.Last, To: netip.AddrPortFrom(f.To, f.ToPort), Disabled: f.Disabled,
		})
	}
}
