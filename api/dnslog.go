package api

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pic/api/wire"
	"pic/dnssrv"
	"pic/dnssrv/querylog"
)

func (a *API) queryRoutes() {
	route(a, Viewers, "GET /api/dns/log", "What was asked, the newest first", a.dnsLog)
	route(a, Viewers, "GET /api/dns/stats", "How much was asked, by whom and for what", a.dnsStats)
}

type dnsLogInput struct {
	Client  string    `query:"client" maxLength:"64" example:"192.168.1.117" doc:"An address, a network, or the name of a device"`
	Name    string    `query:"name" maxLength:"254" doc:"A part of the name"`
	Verdict []string  `query:"verdict" maxItems:"7" doc:"Any of answered, blocked, rewritten, allowed, refused, failed, limited"`
	Type    string    `query:"type" maxLength:"16" example:"AAAA"`
	Since   time.Time `query:"since"`
	Until   time.Time `query:"until"`
	Before  string    `query:"before" maxLength:"20" doc:"next of the page before"`
	Limit   int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

func (a *API) dnsLog(ctx context.Context, in *dnsLogInput) (*body[wire.DNSQueries], error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	f := dnssrv.QueryFilter{Client: in.Client, Query: querylog.Query{Name: in.Name, Since: in.Since, Until: in.Until, Limit: in.Limit}}
	for _, s := range in.Verdict {
		v, ok := querylog.ParseVerdict(s)
		if !ok {
			return nil, wrong("verdict", "there are answered, blocked, rewritten, allowed, refused, failed and limited")
		}
		f.Verdicts = append(f.Verdicts, v)
	}
	if in.Type != "" {
		t, ok := typeOf(in.Type)
		if !ok {
			return nil, wrong("type", "is no record type; there are A, AAAA, HTTPS and others")
		}
		f.Types = []uint16{t}
	}
	if in.Before != "" {
		var err error
		if f.Before, err = strconv.ParseUint(in.Before, 10, 64); err != nil || f.Before == 0 {
			return nil, wrong("before", "must be next of the page before")
		}
	}
	p, err := a.DNS.Queries(ctx, f)
	if err != nil {
		return nil, err
	}
	out := wire.DNSQueries{Queries: []wire.DNSQuery{}}
	for i := range p.Records {
		out.Queries = append(out.Queries, asked(&p.Records[i]))
	}
	if p.Next != 0 {
		out.Next = strconv.FormatUint(p.Next, 10)
	}
	return &body[wire.DNSQueries]{out}, nil
}

// asked writes a line of the query log.
func asked(r *querylog.Record) wire.DNSQuery {
	q := wire.DNSQuery{
		ID: strconv.FormatUint(r.ID, 10), Time: r.Time, Device: r.Device, Name: r.Name, Type: dns.Type(r.Type).String(),
		Proto: r.Proto.String(), Rcode: rcode(r.Rcode), Verdict: r.Verdict.String(), Source: r.Source.String(),
		List: r.List, Rule: r.Rule, Reason: r.Reason, Upstream: r.Upstream, Answer: r.Answer, Secure: r.Secure,
		DurationMs: milliseconds(r.Took),
	}
	switch {
	case r.Client.IsSingleIP():
		q.Client = r.Client.Addr().String()
	case r.Client.IsValid():
		q.Client = r.Client.String()
	}
	return q
}

func rcode(n uint16) string {
	if s, ok := dns.RcodeToString[int(n)]; ok && n != dns.RcodeBadVers {
		return s
	}
	if n == dns.RcodeBadVers {
		return "BADVERS" // the library has the other name of 16
	}
	return "RCODE" + strconv.Itoa(int(n))
}

// typeOf reads a mnemonic or TYPEnnn (RFC 3597 §5).
func typeOf(s string) (uint16, bool) {
	s = strings.ToUpper(s)
	if t, ok := dns.StringToType[s]; ok {
		return t, true
	}
	rest, ok := strings.CutPrefix(s, "TYPE")
	t, err := strconv.ParseUint(rest, 10, 16)
	return uint16(t), ok && err == nil
}

type dnsStatsInput struct {
	Hours int `query:"hours" default:"24" minimum:"1" maximum:"168" doc:"How far back"`
}

func (a *API) dnsStats(_ context.Context, in *dnsStatsInput) (*body[wire.DNSStats], error) {
	s := a.DNS.Asked(time.Duration(in.Hours) * time.Hour)
	out := wire.DNSStats{
		Since: s.Since, Queries: s.Queries, Blocked: s.Blocked, Names: counts(s.Names), Refused: counts(s.BlockedNames),
		Lists: counts(s.Lists), Upstreams: counts(s.Upstreams), Clients: counts(s.Clients),
		Latency: []wire.DNSBucket{}, Series: []wire.DNSPoint{}, Step: int(s.Step / time.Second),
	}
	var at []netip.Addr
	for _, c := range out.Clients {
		addr, _ := netip.ParseAddr(c.Key) // invalid for a network
		at = append(at, addr.Unmap())
	}
	devices := a.DNS.Devices(at...)
	for i := range out.Clients {
		out.Clients[i].Device = devices[at[i]]
	}
	for _, b := range s.Latency {
		out.Latency = append(out.Latency, wire.DNSBucket{UpToMs: milliseconds(b.UpTo), Count: b.Count})
	}
	for _, p := range s.Series {
		out.Series = append(out.Series, wire.DNSPoint{Time: p.Time, Queries: p.Queries, Blocked: p.Blocked})
	}
	return &body[wire.DNSStats]{out}, nil
}

func counts(all []querylog.Count) []wire.DNSCount {
	out := []wire.DNSCount{}
	for _, c := range all {
		out = append(out, wire.DNSCount{Key: c.Key, Count: c.Count})
	}
	return out
}
