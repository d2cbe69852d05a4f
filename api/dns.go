package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/dnssrv"
	"pic/dnssrv/policy"
	"pic/dnssrv/querylog"
)

// DNS is the resolver.
type DNS interface {
	Stats() dnssrv.Stats
	Records() []dnssrv.Entry
	Lookup(ctx context.Context, name, typ string, from netip.Addr) (dnssrv.Result, error)
	Flush()

	Queries(ctx context.Context, f dnssrv.QueryFilter) (querylog.Page, error)
	Tail(ctx context.Context) <-chan querylog.Record // until ctx ends
	Asked(back time.Duration) querylog.Stats
	Devices(at ...netip.Addr) map[netip.Addr]string // names by address

	Lists() []policy.ListStatus
	RefreshList(ctx context.Context, name string) error
	Pause(d time.Duration, group string) error
	Paused() map[string]time.Time
	BlockServices() []policy.ServiceInfo

	Zones() []dnssrv.ZoneInfo
	Transfer(ctx context.Context, zone string) error
	Export(zone string) (string, error)
	Import(text, zone string) (records []config.Record, notes []string, err error)
	Rollover(ctx context.Context, zone string) error
	ClearUpdates(ctx context.Context, zone string) (int, error)
}

func (a *API) dnsRoutes() {
	route(a, Viewers, "GET /api/dns", "The resolver and how it is doing", a.dns)
	route(a, Viewers, "GET /api/dns/records", "All that the cell answers with", a.dnsRecords)
	route(a, Viewers, "GET /api/dns/lookup", "What a device would be told", a.dnsLookup)
	route(a, Admins, "POST /api/dns/flush", "Forget all answers of upstream resolvers", a.dnsFlush)
	a.queryRoutes()
	a.filterRoutes()
	a.zoneRoutes()
}

func (a *API) dns(context.Context, *struct{}) (*body[wire.DNS], error) {
	doc, s := a.Store.Resolved(), a.DNS.Stats()
	out := wire.DNS{
		Enabled: config.On(doc.DNS.Enabled), Resolver: string(doc.DNS.Resolver), Zone: doc.Cell.Domain, Zones: []string{}, Upstreams: []wire.Upstream{},
		Stats: map[string]uint64{
			"udp": s.UDP, "tcp": s.TCP, "tls": s.TLS, "https": s.HTTPS, "quic": s.QUIC,
			"local": s.Local, "cached": s.Cached, "forwarded": s.Forwarded, "stale": s.Stale,
			"blocked": s.Blocked, "rewritten": s.Rewritten, "refused": s.Refused, "dropped": s.Dropped, "limited": s.Slipped,
		},
		Validating:   s.Validating,
		CacheEntries: s.CacheEntries, CacheBytes: s.CacheBytes,
		Filtering: config.On(doc.DNS.Enabled) && config.On(doc.DNS.Filter.Enabled), PausedUntil: a.DNS.Paused()[""],
	}
	if r := s.Recursion; r != nil {
		out.Recursion = &wire.Recursion{Sent: r.Sent, Failed: r.Failed, Delegations: r.Delegations, Servers: r.Servers, Silent: r.Silent}
	}
	for g, until := range a.DNS.Paused() {
		if g == "" {
			continue
		}
		if out.PausedGroups == nil {
			out.PausedGroups = map[string]time.Time{}
		}
		out.PausedGroups[g] = until
	}
	for _, l := range a.DNS.Lists() {
		if !l.Disabled && !l.Allow {
			out.BlockedNames += l.Rules
		}
	}
	for _, z := range doc.DNS.Zones {
		out.Zones = append(out.Zones, z.Name)
	}
	for _, u := range s.Upstreams {
		out.Upstreams = append(out.Upstreams, wire.Upstream{
			Address: u.Address, For: u.For, OK: u.Up, LatencyMs: milliseconds(u.RTT), Asked: u.Asked, Failed: u.Failed,
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
	Name   string `query:"name" required:"true" minLength:"1" maxLength:"254" example:"home.oak.home.arpa"`
	Type   string `query:"type" default:"A" maxLength:"16" example:"AAAA"`
	Client string `query:"client" maxLength:"64" example:"192.168.1.117" doc:"The address of the device that asks; absent: the caller's"`
}

func (a *API) dnsLookup(ctx context.Context, in *dnsLookupInput) (*body[wire.DNSAnswer], error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if !config.On(a.Store.Resolved().DNS.Enabled) {
		return nil, fail(http.StatusConflict, "refused", "DNS is off, so nobody is told anything; switch dns.enabled on")
	}
	from := callerOf(ctx).from
	if in.Client != "" {
		var err error
		if from, err = netip.ParseAddr(in.Client); err != nil {
			return nil, wrong("client", "must be the address of a device, such as 192.168.1.117")
		}
	}
	r, err := a.DNS.Lookup(ctx, in.Name, strings.ToUpper(in.Type), from)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		if errors.Is(err, dnssrv.ErrType) {
			return nil, wrong("type", err.Error())
		}
		return nil, wrong("name", err.Error())
	}
	out := wire.DNSAnswer{
		Name: in.Name, Type: strings.ToUpper(in.Type), Rcode: r.Rcode, Authoritative: r.Authoritative,
		Answers: []wire.DNSRecord{}, Authority: list(r.Authority), Reason: r.Reason, Source: r.Source, DurationMs: milliseconds(r.Took),
		Secure: r.Secure, Verdict: r.Verdict, List: r.List, Rule: r.Rule,
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

func (a *API) dnsFlush(context.Context, *struct{}) (*struct{}, error) {
	a.DNS.Flush()
	return nil, nil
}
