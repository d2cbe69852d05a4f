package api

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"pic/api/wire"
	"pic/core/config"
)

func (h *household) rules() []string { return h.deps.Store.Current().DNS.Filter.Rules }

func TestANameIsBlockedAndAllowedByOneRule(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var out wire.Outcome
	alice.do("POST", "/api/dns/block?dry-run=1", `{"name":"Ads.Example.com."}`).want(t, 200, &out)
	if !out.DryRun || len(out.Diff) != 1 || h.rules() != nil {
		t.Errorf("a dry run said %+v and left %q", out, h.rules())
	}
	for _, step := range []struct {
		verb, name string
		want       []string
	}{
		{"block", "ads.example.com", []string{"||ads.example.com^"}},
		{"block", "ads.example.com", []string{"||ads.example.com^"}},
		{"block", "_dmarc.example.com", []string{"||ads.example.com^", "||_dmarc.example.com^"}},
		{"allow", "ads.example.com", []string{"||_dmarc.example.com^", "@@||ads.example.com^"}},
		{"block", "ads.example.com", []string{"||_dmarc.example.com^", "||ads.example.com^"}},
		{"allow", "a.ads.example.com", []string{"||_dmarc.example.com^", "||ads.example.com^", "@@||a.ads.example.com^"}},
		// What a rule above lets through is blocked by force.
		{"block", "x.a.ads.example.com", []string{
			"||_dmarc.example.com^", "||ads.example.com^", "@@||a.ads.example.com^", "||x.a.ads.example.com^$important",
		}},
		{"allow", "y.x.a.ads.example.com", []string{
			"||_dmarc.example.com^", "||ads.example.com^", "@@||a.ads.example.com^", "||x.a.ads.example.com^$important",
			"@@||y.x.a.ads.example.com^$important",
		}},
		{"allow", "x.a.ads.example.com", []string{
			"||_dmarc.example.com^", "||ads.example.com^", "@@||a.ads.example.com^", "@@||y.x.a.ads.example.com^$important",
			"@@||x.a.ads.example.com^",
		}},
	} {
		alice.do("POST", "/api/dns/"+step.verb, `{"name":"`+step.name+`"}`).want(t, 200, &out)
		if got := h.rules(); !slices.Equal(got, step.want) {
			t.Errorf("%s %s: %q, want %q", step.verb, step.name, got, step.want)
		}
	}
	alice.do("POST", "/api/dns/block", `{"name":"no name"}`).problem(t, 422)
	alice.do("POST", "/api/dns/block", `{"name":"a.example","group":"kids"}`).problem(t, 404)
	h.as("vera").do("POST", "/api/dns/block", `{"name":"a.example"}`).problem(t, 403)
}

func TestARuleMayBeForAGroup(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("PUT", "/api/config/value", `{"path":"dns.filter.groups.kids","value":{}}`).want(t, 200, nil)
	alice.do("POST", "/api/dns/block", `{"name":"games.example","group":"kids"}`).want(t, 200, nil)
	g := h.deps.Store.Current().DNS.Filter.Groups
	if len(g) != 1 || !slices.Equal(g[0].Rules, []string{"||games.example^"}) || h.rules() != nil {
		t.Errorf("groups %+v, rules %q", g, h.rules())
	}
}

func TestTheFilterPausesAndGoesOn(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var d wire.DNS
	alice.do("POST", "/api/dns/pause", `{"minutes":10}`).want(t, 200, &d)
	if d.PausedUntil.IsZero() {
		t.Errorf("not paused: %+v", d)
	}
	d = wire.DNS{}
	alice.do("POST", "/api/dns/pause", `{"minutes":0}`).want(t, 200, &d)
	if !d.PausedUntil.IsZero() {
		t.Errorf("still paused: %+v", d)
	}
	alice.do("POST", "/api/dns/pause", `{"minutes":1,"group":"nobody"}`).problem(t, 422)
	alice.do("POST", "/api/dns/pause", `{"minutes":-1}`).problem(t, 422)
	h.as("bob").do("POST", "/api/dns/pause", `{"minutes":1}`).problem(t, 403)
}

func TestServicesThatCanBeBlockedAreListed(t *testing.T) {
	h := newHousehold(t)
	var all []wire.DNSService
	h.as("vera").do("GET", "/api/dns/services", nil).want(t, 200, &all)
	if !slices.ContainsFunc(all, func(s wire.DNSService) bool { return s.ID == "youtube" && s.Name == "YouTube" && s.Kind == "video" }) {
		t.Errorf("services %+v", all)
	}
	h.as("alice").do("POST", "/api/dns/lists/none/refresh", nil).problem(t, 404)
}

func TestRecordsComeInAndZonesGoOut(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	body := `{"text":"$TTL 300\nprinter A 192.168.1.77\n@ SOA a. b. 1 2 3 4 5\n"}`
	var out wire.DNSImported
	alice.do("POST", "/api/dns/zones/oak.home.arpa/import?dry-run=1", body).want(t, 200, &out)
	if len(out.Records) != 1 || len(out.Notes) != 1 || h.deps.Store.Current().DNS.Records != nil {
		t.Errorf("a dry run said %+v", out)
	}
	alice.do("POST", "/api/dns/zones/oak.home.arpa/import", body).want(t, 200, nil)
	alice.do("POST", "/api/dns/zones/oak.home.arpa/import", body).want(t, 200, nil)
	if r := h.deps.Store.Current().DNS.Records; len(r) != 1 || r[0].Name != "printer" || r[0].Value != "192.168.1.77" {
		t.Errorf("records %+v", r)
	}
	e := alice.do("POST", "/api/dns/zones/oak.home.arpa/import", `{"text":"printer A 192.168.1\n"}`).problem(t, 422)
	if !strings.Contains(e.Detail, "line 1") {
		t.Errorf("a mistake is told as %q", e.Detail)
	}
	alice.do("POST", "/api/dns/zones/other.example/import", body).problem(t, 404)
	var cleared wire.DNSCleared
	alice.do("DELETE", "/api/dns/zones/oak.home.arpa/updates", nil).want(t, 200, &cleared)
	if cleared.Records != 0 {
		t.Errorf("%d records of updates that nobody made", cleared.Records)
	}
	h.as("vera").do("GET", "/api/dns/zones/other.example/export", nil).problem(t, 404)
	var zones []wire.DNSZone
	h.as("vera").do("GET", "/api/dns/zones", nil).want(t, 200, &zones)
	if !slices.ContainsFunc(zones, func(z wire.DNSZone) bool { return z.Name == "oak.home.arpa" && z.Kind == "own" && z.Serial > 0 }) {
		t.Errorf("zones %+v", zones)
	}
}

func TestATSIGSecretIsShownOnceAndKeptInTheVault(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var out wire.DNSKeyOutcome
	alice.do("POST", "/api/dns/keys?dry-run=1", `{"name":"acme"}`).want(t, 200, &out)
	if out.Key != nil || h.deps.Store.Current().DNS.Keys != nil {
		t.Errorf("a dry run made %+v", out)
	}
	alice.do("POST", "/api/dns/keys", `{"name":"acme"}`).want(t, 200, &out)
	if b, err := base64.StdEncoding.DecodeString(out.Key.Secret); err != nil || len(b) != 32 || out.Key.Algorithm != "hmac-sha256" {
		t.Errorf("key %+v: %v", out.Key, err)
	}
	keys := h.deps.Store.Current().DNS.Keys
	if len(keys) != 1 || keys[0].Name != "acme" {
		t.Fatalf("keys %+v", keys)
	}
	if kept, err := h.deps.Vault.Get(keys[0].Secret); err != nil || string(kept) != out.Key.Secret {
		t.Errorf("the vault has %q, %v", kept, err)
	}
	alice.do("POST", "/api/dns/keys", `{"name":"acme"}`).problem(t, 422)
	alice.do("POST", "/api/dns/keys", `{"name":"weak","secret":"c2hvcnQ="}`).problem(t, 422)
	alice.do("DELETE", "/api/dns/keys/none", nil).problem(t, 404)
	alice.do("DELETE", "/api/dns/keys/acme", nil).want(t, 200, nil)
	if k := h.deps.Store.Current().DNS.Keys; len(k) != 0 {
		t.Errorf("keys %+v", k)
	}
}

func TestAZoneTellsWhoElseHasIt(t *testing.T) {
	h := newHousehold(t)
	h.asking(func(d *config.Document) {
		d.DNS.Zones = []config.Zone{{
			Name: "garden.home.arpa", Options: config.ZoneOptions{Secondaries: []config.NameServer{{Address: "127.0.0.1:1"}}},
		}}
	})
	alice := h.as("alice")
	var zones []wire.DNSZone
	alice.do("GET", "/api/dns/zones", nil).want(t, 200, &zones)
	i := slices.IndexFunc(zones, func(z wire.DNSZone) bool { return z.Name == "garden.home.arpa" })
	if i < 0 || len(zones[i].Secondaries) != 1 || zones[i].Secondaries[0].Address != "127.0.0.1:1" {
		t.Errorf("%+v", zones)
	}
	alice.do("POST", "/api/dns/zones/garden.home.arpa/transfer", nil).want(t, 204, nil)
	alice.do("POST", "/api/dns/zones/oak.home.arpa/transfer", nil).problem(t, 422)
	h.as("vera").do("POST", "/api/dns/zones/garden.home.arpa/transfer", nil).problem(t, 403)
}
