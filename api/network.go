package api

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/dhcpsrv"
	"pic/ntpsrv"
	"pic/proxy"
)

// DHCP is the address server.
type DHCP interface {
	Leases() []dhcpsrv.Lease
	Release(ctx context.Context, a netip.Addr) error
	Usage() (used, size int)
}

// NTP is the time server.
type NTP interface {
	Status() ntpsrv.Status
	Sources() []ntpsrv.SourceStatus
	Served() ntpsrv.Counters
}

// Proxy is the reverse proxy.
type Proxy interface {
	Routes() []proxy.RouteStatus
}

func (a *API) networkRoutes() {
	route(a, Viewers, "GET /api/dhcp", "The address server and its pool", a.dhcp)
	route(a, Viewers, "GET /api/dhcp/leases", "The addresses that devices have", a.leases)
	route(a, Admins, "DELETE /api/dhcp/leases/{address}", "Forget a lease; the device asks anew", a.release)
	route(a, Viewers, "GET /api/ntp", "The time server and what it compares its clock with", a.ntp)
	route(a, Viewers, "GET /api/routing", "Where requests and packets go", a.routing)
	route(a, Viewers, "GET /api/cells", "The other cells that this one trusts", a.cells)
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

func (a *API) dhcp(context.Context, *struct{}) (*body[wire.DHCP], error) {
	d := a.Store.Resolved().DHCP
	out := wire.DHCP{Enabled: config.On(d.Enabled), Interface: d.Interface, First: d.First, Last: d.Last}
	out.Used, out.Size = a.DHCP.Usage()
	return &body[wire.DHCP]{out}, nil
}

func (a *API) leases(context.Context, *struct{}) (*body[[]wire.Lease], error) {
	out := []wire.Lease{}
	for _, l := range a.DHCP.Leases() {
		out = append(out, wire.Lease{
			Address: l.Address, MAC: l.MAC, ClientID: l.ClientID, Name: l.Name, State: string(l.State), Expires: l.Expires, Reserved: l.Reserved,
		})
	}
	return &body[[]wire.Lease]{out}, nil
}

type releaseInput struct {
	Address netip.Addr `path:"address" example:"192.168.1.117"`
}

func (a *API) release(ctx context.Context, in *releaseInput) (*struct{}, error) {
	err := a.DHCP.Release(ctx, in.Address)
	if errors.Is(err, dhcpsrv.ErrNoLease) {
		return nil, missing("lease of " + in.Address.String())
	} else if err != nil {
		return nil, err
	}
	a.tell(ctx, "lease.released", in.Address.String(), "the lease of "+in.Address.String()+" was forgotten by hand")
	return nil, nil
}

func (a *API) ntp(context.Context, *struct{}) (*body[wire.NTP], error) {
	st, n := a.NTP.Status(), a.NTP.Served()
	out := wire.NTP{
		Enabled: config.On(a.Store.Resolved().NTP.Enabled), Stratum: st.Stratum, Leap: st.Leap, Synchronised: st.Clock.Synchronised,
		Source: st.Source, OffsetSeconds: st.Offset.Seconds(), DispersionSeconds: st.Dispersion.Seconds(),
		Served: n.Answered, Refused: n.Refused + n.Limited, Sources: []wire.TimeSource{},
	}
	for _, s := range a.NTP.Sources() {
		w := wire.TimeSource{
			Name: s.Source, Address: s.Address, State: string(s.State), Selected: s.Selected, Stratum: s.Stratum, Reach: s.Reach,
			OffsetSeconds: s.Offset.Seconds(), DelaySeconds: s.Delay.Seconds(), JitterSeconds: s.Jitter.Seconds(), Error: s.Error,
		}
		if s.Reach&1 != 0 {
			w.LastSeen = s.Polled
		}
		out.Sources = append(out.Sources, w)
	}
	return &body[wire.NTP]{out}, nil
}

func (a *API) routing(context.Context, *struct{}) (*body[wire.Routing], error) {
	doc := a.Store.Resolved()
	out := wire.Routing{Routes: []wire.RouteState{}, Own: []wire.OwnHost{}, NAT: list(a.Network.NAT())}
	names := map[string]string{}
	for _, r := range doc.Proxy.Routes {
		names[r.Host(doc.Cell.Domain)] = r.Name
	}
	for _, r := range a.Proxy.Routes() {
		out.Routes = append(out.Routes, wire.RouteState{
			Name: names[r.Host], Host: r.Host, Upstream: r.Upstream, Access: r.Access, OK: r.OK, Error: r.LastError, Since: r.Since,
			Requests: r.Requests, Active: r.Active,
		})
	}
	for _, s := range config.Services() {
		out.Own = append(out.Own, wire.OwnHost{Host: s + "." + doc.Cell.Domain, What: s})
	}
	a.kernelRoutes(&out)
	return &body[wire.Routing]{out}, nil
}

func (a *API) cells(context.Context, *struct{}) (*body[wire.Cells], error) {
	return &body[wire.Cells]{wire.Cells{Links: list(a.Store.Current().Links)}}, nil
}
