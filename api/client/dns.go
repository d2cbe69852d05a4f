package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"pic/api/wire"
	"pic/core/config"
)

// DNS returns the resolver and how it is doing.
func (c *Client) DNS(ctx context.Context) (wire.DNS, error) {
	return call[wire.DNS](ctx, c, http.MethodGet, "/api/dns", nil)
}

// LookUp asks what a device would be told; from is its address, or empty for who
// asks.
func (c *Client) LookUp(ctx context.Context, name, typ, from string) (wire.DNSAnswer, error) {
	q := map[string]string{"name": name, "type": typ, "client": from}
	return call[wire.DNSAnswer](ctx, c, http.MethodGet, query("/api/dns/lookup", q), nil)
}

// FlushDNS forgets all answers of upstream resolvers.
func (c *Client) FlushDNS(ctx context.Context) error {
	_, err := call[none](ctx, c, http.MethodPost, "/api/dns/flush", nil)
	return err
}

// A DNSQuery picks lines of the query log; what is zero does not matter.
type DNSQuery struct {
	Client   string // an address, a network, or the name of a device
	Name     string // a part of it
	Verdicts []string
	Type     string
	Since    time.Time
	Before   string // next of the page before
	Limit    int
}

// DNSLog returns what was asked, the newest first.
func (c *Client) DNSLog(ctx context.Context, q DNSQuery) (wire.DNSQueries, error) {
	v := url.Values{}
	add := func(key, value string) {
		if value != "" {
			v.Add(key, value)
		}
	}
	add("client", q.Client)
	add("name", q.Name)
	add("type", q.Type)
	add("before", q.Before)
	for i, s := range q.Verdicts {
		if i > 0 {
			s = v.Get("verdict") + "," + s
		}
		v.Set("verdict", s)
	}
	if !q.Since.IsZero() {
		add("since", q.Since.Format(time.RFC3339))
	}
	if q.Limit > 0 {
		add("limit", strconv.Itoa(q.Limit))
	}
	return call[wire.DNSQueries](ctx, c, http.MethodGet, "/api/dns/log?"+v.Encode(), nil)
}

// DNSStats counts what was asked in the last hours.
func (c *Client) DNSStats(ctx context.Context, hours int) (wire.DNSStats, error) {
	q := map[string]string{"hours": strconv.Itoa(hours)}
	return call[wire.DNSStats](ctx, c, http.MethodGet, query("/api/dns/stats", q), nil)
}

// BlockName blocks a name and all below it.
func (c *Client) BlockName(ctx context.Context, j wire.DNSJudgement, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPost, "/api/dns/block", j, e)
}

// AllowName lets a name and all below it through.
func (c *Client) AllowName(ctx context.Context, j wire.DNSJudgement, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPost, "/api/dns/allow", j, e)
}

// PauseFilter stops filtering for a while; no minutes end the pause.
func (c *Client) PauseFilter(ctx context.Context, p wire.DNSPause) (wire.DNS, error) {
	return call[wire.DNS](ctx, c, http.MethodPost, "/api/dns/pause", p)
}

// DNSLists returns the block and allow lists and how they are doing.
func (c *Client) DNSLists(ctx context.Context) ([]wire.DNSList, error) {
	return call[[]wire.DNSList](ctx, c, http.MethodGet, "/api/dns/lists", nil)
}

// AddDNSList adds a list, or replaces the one of that name.
func (c *Client) AddDNSList(ctx context.Context, l config.List, e Edit) (wire.Outcome, error) {
	value, err := json.Marshal(l)
	if err != nil {
		return wire.Outcome{}, err
	}
	return c.Set(ctx, wire.Put{Path: listPath(l.Name), Value: value, Reason: "add list " + l.Name}, e)
}

// RemoveDNSList removes a list.
func (c *Client) RemoveDNSList(ctx context.Context, name string, e Edit) (wire.Outcome, error) {
	return c.Delete(ctx, listPath(name), "remove list "+name, 0, e)
}

func listPath(name string) string { return `dns.filter.lists."` + name + `"` }

// RefreshDNSList looks at a list now.
func (c *Client) RefreshDNSList(ctx context.Context, name string) (wire.DNSList, error) {
	return call[wire.DNSList](ctx, c, http.MethodPost, at("/api/dns/lists/", name)+"/refresh", nil)
}

// DNSServices returns what can be blocked as a whole.
func (c *Client) DNSServices(ctx context.Context) ([]wire.DNSService, error) {
	return call[[]wire.DNSService](ctx, c, http.MethodGet, "/api/dns/services", nil)
}

// Zones returns the zones that the cell answers for.
func (c *Client) Zones(ctx context.Context) ([]wire.DNSZone, error) {
	return call[[]wire.DNSZone](ctx, c, http.MethodGet, "/api/dns/zones", nil)
}

// ExportZone returns a zone as a master file.
func (c *Client) ExportZone(ctx context.Context, zone string) ([]byte, error) {
	return c.text(ctx, at("/api/dns/zones/", zone)+"/export")
}

// ImportZone puts the records of a master file into a zone.
func (c *Client) ImportZone(ctx context.Context, zone string, in wire.DNSImport, e Edit) (wire.DNSImported, error) {
	return call[wire.DNSImported](ctx, c, http.MethodPost, at("/api/dns/zones/", zone)+"/import", in, e)
}

// TransferZone has the primaries of a zone asked, and its secondaries told, now.
func (c *Client) TransferZone(ctx context.Context, zone string) error {
	_, err := call[none](ctx, c, http.MethodPost, at("/api/dns/zones/", zone)+"/transfer", nil)
	return err
}

// RollZone begins to exchange the keys that sign a zone.
func (c *Client) RollZone(ctx context.Context, zone string) error {
	_, err := call[none](ctx, c, http.MethodPost, at("/api/dns/zones/", zone)+"/rollover", nil)
	return err
}

// ClearZone removes what programs put into a zone by updates and returns how many
// records that were.
func (c *Client) ClearZone(ctx context.Context, zone string) (int, error) {
	got, err := call[wire.DNSCleared](ctx, c, http.MethodDelete, at("/api/dns/zones/", zone)+"/updates", nil)
	return got.Records, err
}

// AddDNSKey adds a TSIG key.
func (c *Client) AddDNSKey(ctx context.Context, k wire.NewDNSKey, e Edit) (wire.DNSKeyOutcome, error) {
	return call[wire.DNSKeyOutcome](ctx, c, http.MethodPost, "/api/dns/keys", k, e)
}

// RemoveDNSKey removes a TSIG key.
func (c *Client) RemoveDNSKey(ctx context.Context, name string, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodDelete, at("/api/dns/keys/", name), nil, e)
}
