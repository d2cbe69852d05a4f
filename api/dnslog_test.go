package api

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/api/wire"
	"pic/core/config"
	"pic/core/event"
	"pic/dnssrv"
	"pic/internal/listen"
)

// asking lets the household's name server listen, and returns who asks it.
func (h *household) asking(edit func(*config.Document)) func(name string, typ uint16) {
	h.t.Helper()
	doc := h.deps.Store.Resolved().Clone()
	edit(doc)
	c := dnssrv.From(doc)
	c.Sockets, c.TLS = []listen.Socket{{Net: "udp", Addr: netip.MustParseAddrPort("127.0.0.1:0")}}, nil
	s := h.deps.DNS.(someDNS)
	must(h.t, s.Apply(h.t.Context(), c))
	_, at, _ := strings.Cut(s.Sockets()[0], " ")
	return func(name string, typ uint16) {
		h.t.Helper()
		c := dns.Client{Timeout: 5 * time.Second}
		_, _, err := c.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), typ), at)
		must(h.t, err)
	}
}

func blockingAds(d *config.Document) {
	d.DNS.Filter.Rules = []string{"||ads.example.net^"}
	d.DNS.Filter.Clients = []config.Client{{Name: "desk", IDs: []string{"127.0.0.1"}}}
}

func TestTheQueryLogIsSearchedPageByPage(t *testing.T) {
	h := newHousehold(t)
	ask := h.asking(blockingAds)
	ask("oak.home.arpa", dns.TypeA)
	ask("a.ads.example.net", dns.TypeA)
	ask("a.ads.example.net", dns.TypeAAAA)
	vera := h.as("vera")
	var page wire.DNSQueries
	vera.do("GET", "/api/dns/log", nil).want(t, 200, &page)
	if len(page.Queries) != 3 || page.Next != "" {
		t.Fatalf("%+v", page)
	}
	q := page.Queries[0]
	if q.Name != "a.ads.example.net" || q.Type != "AAAA" || q.Verdict != "blocked" || q.Rule != "||ads.example.net^" || q.Source != "policy" || q.Device != "desk" ||
		q.Client != "127.0.0.1" || q.Proto != "udp" || q.Rcode != "NOERROR" || q.Reason == "" || time.Since(q.Time) > time.Minute {
		t.Errorf("%+v", q)
	}
	for query, want := range map[string]int{
		"name=ADS": 2, "verdict=blocked": 2, "verdict=answered": 1, "verdict=blocked,answered": 3, "type=aaaa": 1, "type=TYPE28": 1,
		"client=desk": 3, "client=127.0.0.0/8": 3, "client=192.168.1.1": 0,
		"since=2100-01-01T00:00:00Z": 0, "until=2001-01-01T00:00:00Z": 0,
	} {
		vera.do("GET", "/api/dns/log?"+query, nil).want(t, 200, &page)
		if len(page.Queries) != want {
			t.Errorf("%s: %d queries, want %d", query, len(page.Queries), want)
		}
	}
	var types []string
	for at := "/api/dns/log?limit=2"; at != ""; {
		page = wire.DNSQueries{}
		vera.do("GET", at, nil).want(t, 200, &page)
		for _, q := range page.Queries {
			types = append(types, q.Name+" "+q.Type)
		}
		if at = ""; page.Next != "" {
			at = "/api/dns/log?limit=2&before=" + page.Next
		}
	}
	if !slices.Equal(types, []string{"a.ads.example.net AAAA", "a.ads.example.net A", "oak.home.arpa A"}) {
		t.Errorf("page by page: %q", types)
	}
	for _, bad := range []string{"verdict=nice", "type=NOPE", "before=x", "limit=0", "since=yesterday", "nam=x"} {
		vera.do("GET", "/api/dns/log?"+bad, nil).problem(t, 422)
	}
	h.as("bob").do("GET", "/api/dns/log", nil).problem(t, 403)
}

func TestQueriesAreCounted(t *testing.T) {
	h := newHousehold(t)
	ask := h.asking(blockingAds)
	for range 3 {
		ask("a.ads.example.net", dns.TypeA)
	}
	ask("oak.home.arpa", dns.TypeA)
	var s wire.DNSStats
	h.as("vera").do("GET", "/api/dns/stats", nil).want(t, 200, &s)
	if s.Queries != 4 || s.Blocked != 3 || len(s.Series) != 144 || s.Step != 600 || len(s.Names) != 2 || s.Names[0] != (wire.DNSCount{Key: "a.ads.example.net", Count: 3}) ||
		len(s.Refused) != 1 || len(s.Clients) != 1 || s.Clients[0] != (wire.DNSCount{Key: "127.0.0.1", Device: "desk", Count: 4}) {
		t.Errorf("%+v", s)
	}
	var n uint64
	for _, b := range s.Latency {
		n += b.Count
	}
	if n != 4 {
		t.Errorf("the histogram has %d answers", n)
	}
	h.as("vera").do("GET", "/api/dns/stats?hours=168", nil).want(t, 200, &s)
	if len(s.Series) != 168 || s.Queries != 4 {
		t.Errorf("a week: %+v", s)
	}
	h.as("vera").do("GET", "/api/dns/stats?hours=1000", nil).problem(t, 422)
	h.as("bob").do("GET", "/api/dns/stats", nil).problem(t, 403)
}

func TestQueriesAreToldLiveToWhoAsksForThem(t *testing.T) {
	h := newHousehold(t)
	ask := h.asking(blockingAds)
	live := h.as("vera").listen("/api/events?types=dns,status")
	others := h.as("vera").listen("/api/events")
	nobody := h.as("bob").listen("/api/events?types=dns,status")
	if _, ok := live.next("status"); !ok {
		t.Fatal("the stream ended")
	}
	ask("a.ads.example.net", dns.TypeA)
	m, ok := live.next("dns")
	var q wire.DNSQuery
	if err := json.Unmarshal([]byte(m.data), &q); !ok || err != nil || q.Name != "a.ads.example.net" || q.Device != "desk" || q.Verdict != "blocked" {
		t.Errorf("%v, %v: %+v", ok, err, m)
	}
	// Had they been told, it would stand before what comes now.
	h.deps.Events.Append(event.Event{Kind: "test.after"})
	for who, e := range map[string]*ear{"who did not ask for it": others, "who may not": nobody} {
		kinds := map[string]bool{}
		for !kinds["status"] || who == "who did not ask for it" && !kinds["event"] {
			m, ok := e.any()
			if !ok {
				t.Fatal("the stream ended")
			}
			kinds[m.kind] = true
		}
		if kinds["dns"] {
			t.Errorf("%s was told", who)
		}
	}
}

func TestALookupMayBeAsAnotherDevice(t *testing.T) {
	h := newHousehold(t)
	h.asking(func(d *config.Document) {
		d.DNS.Upstreams = []string{"127.0.0.1:1"} // nobody
		d.DNS.Filter.Groups = []config.Group{{Name: "kids", Rules: []string{"||games.example.net^"}}}
		d.DNS.Filter.Clients = []config.Client{{Name: "tablet", IDs: []string{"192.168.1.7"}, Groups: []string{"kids"}}}
	})
	s := h.deps.DNS.(someDNS).Server
	for from, want := range map[string]string{"192.168.1.7": "NOERROR", "192.168.1.8": "SERVFAIL"} {
		r, err := s.Lookup(t.Context(), "games.example.net", "A", netip.MustParseAddr(from))
		if err != nil || r.Rcode != want {
			t.Errorf("%s: %+v, %v", from, r, err)
		}
	}
	var a wire.DNSAnswer
	h.as("vera").do("GET", "/api/dns/lookup?name=games.example.net&client=192.168.1.7", nil).want(t, 200, &a)
	h.as("vera").do("GET", "/api/dns/lookup?name=games.example.net&client=tablet", nil).problem(t, 422)
}
