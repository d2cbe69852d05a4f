package api

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/dhcpsrv"
	"pic/dnssrv"
	"pic/ntpsrv"
	"pic/proxy"
)

// DNS is the resolver.
type DNS interface {
	Stats() dnssrv.Stats
	Records() []dnssrv.Entry
	Lookup(ctx context.Context, name, typ string, from netip.Addr) (dnssrv.Result, error)
}

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
	route(a, Viewers, "GET /api/dns", "The resolver and how it is doing", a.dns)
	route(a, Viewers, "GET /api/dns/records", "All that the cell answers with", a.dnsRecords)
	route(a, Viewers, "GET /api/dns/lookup", "What a device would be told", a.dnsLookup)
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

func (a *API) dns(context.Context, *struct{}) (*body[wire.DNS], error) {
	doc, s := a.Store.Resolved(), a.DNS.Stats()
	out := wire.DNS{
		Enabled: config.On(doc.DNS.Enabled), Zone: doc.Cell.Domain, Zones: []string{}, Upstreams: []wire.Upstream{},
		Stats: map[string]uint64{
			"udp": s.UDP, "tcp": s.TCP, "local": s.Local, "cached": s.Cached, "forwarded": s.Forwarded,
			"refused": s.Refused, "dropped": s.Dropped,
		},
		CacheEntries: s.CacheEntries, CacheBytes: s.CacheBytes,
	}
	for _, z := range doc.DNS.Zones {
		out.Zones = append(out.Zones, z.Name)
	}
	for _, u := range s.Upstreams {
		out.Upstreams = append(out.Upstreams, wire.Upstream{
			Address: u.Address, OK: u.Up, LatencyMs: milliseconds(u.RTT), Asked: u.Asked, Failed: u.Failed,
			Error: u.Error, Answered: u.Answered,
		})
	}
	return &body[wire.DNS]{out}, nil
}

func (a *API) dnsRecords(context.Context, *struct{}) (*body[[]wire.DNSRecord], error) {
	out := []wire.DNSRecord{}
	for _, e := range a.DNS.Records() {
		out = append(out, wire.DNSRecord{
			Zone: e.Zone, Name: e.Name, Type: e.Type, TTL: e.TTL, Value: e.Value, Source: string(e.Source), Asker: e.Asker,
		})
	}
	return &body[[]wire.DNSRecord]{out}, nil
}

type dnsLookupInput struct {
	Name string `query:"name" required:"true" minLength:"1" maxLength:"254" example:"home.oak.home.arpa"`
	Type string `query:"type" default:"A" maxLength:"16" example:"AAAA"`
}

func (a *API) dnsLookup(ctx context.Context, in *dnsLookupInput) (*body[wire.DNSAnswer], error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := a.DNS.Lookup(ctx, in.Name, strings.ToUpper(in.Type), callerOf(ctx).from)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, wrong("name", err.Error())
	}
	out := wire.DNSAnswer{
		Name: in.Name, Type: strings.ToUpper(in.Type), Rcode: r.Rcode, Authoritative: r.Authoritative,
		Answers: []wire.DNSRecord{}, Authority: list(r.Authority), Reason: r.Reason, Source: r.Source, DurationMs: milliseconds(r.Took),
	}
	for _, line := range r.Answer {
		if rec, ok := parseRecord(line); ok {
			out.Answers = append(out.Answers, rec)
		}
	}
	return &body[wire.DNSAnswer]{out}, nil
}

// parseRecord reads a record in presentation format: name, TTL, class, type,
// value.
func parseRecord(line string) (wire.DNSRecord, bool) {
	f := strings.SplitN(line, " ", 5)
	if len(f) < 5 {
		return wire.DNSRecord{}, false
	}
	ttl, err := strconv.ParseUint(f[1], 10, 32)
	return wire.DNSRecord{Name: strings.TrimSuffix(f[0], "."), TTL: uint32(ttl), Type: f[3], Value: f[4]}, err == nil
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
	return &body[wire.Routing]{out}, nil
}

func (a *API) cells(context.Context, *struct{}) (*body[wire.Cells], error) {
	return &body[wire.Cells]{wire.Cells{Links: list(a.Store.Current().Links)}}, nil
}
