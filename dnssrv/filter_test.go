package dnssrv

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/listen"
	"pic/internal/nettest"
)

// anything answers for every name: CNAMEs lead where their first label says.
func anything(w dns.ResponseWriter, r *dns.Msg) {
	m := new(dns.Msg).SetReply(r)
	m.RecursionAvailable = true
	q := r.Question[0]
	name := strings.ToLower(q.Name)
	add := func(s string) {
		rr, err := dns.NewRR(s)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	switch {
	case strings.HasPrefix(name, "cloak."):
		add(name + " 300 IN CNAME x.tracker.test.")
		name = "x.tracker.test."
	case q.Qtype == dns.TypeHTTPS && strings.HasPrefix(name, "svc."):
		add(name + " 300 IN HTTPS 1 x.tracker.test. alpn=h2")
	}
	switch q.Qtype {
	case dns.TypeA:
		add(name + " 300 IN A 192.0.2.80")
	case dns.TypeAAAA:
		add(name + " 300 IN AAAA 2001:db8::80")
	case dns.TypeMX:
		add(name + " 300 IN MX 10 mx.example.")
	}
	w.WriteMsg(m)
}

// filtering runs a server of d whose list "ads" has these rules; the list is in
// force.
func filtering(t *testing.T, d *config.Document, rules string) *Server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ads")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	d.DNS.Filter.Lists = append(d.DNS.Filter.Lists, config.List{Name: "ads", URL: path, Rewrite: true})
	return serving(t, conf(d), Options{Dir: t.TempDir()})
}

// serving runs a server of c until the test ends, its lists in force.
func serving(t *testing.T, c Config, o Options) *Server {
	t.Helper()
	o.Log, o.Pool = slog.New(slog.DiscardHandler), listen.NewPool(nil)
	s := New(o)
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err := s.RefreshList(ctx, ""); err != nil {
		t.Fatal(err)
	}
	return s
}

// upstreams below test. must be on this host, which those of the tests are.
const adRules = `||ads.test^

||tracker.test^
@@||good.ads.test^
||client.test^$client=192.168.1.2
||typed.test^$dnstype=AAAA
||deny.test^$denyallow=ok.deny.test
||vital.test^$important
@@||vital.test^
||moved.test^$dnsrewrite=192.0.2.99
||alias.test^$dnsrewrite=www.example.test
||none.test^$dnsrewrite=NXDOMAIN
/^banner[0-9]+\./
0.0.0.0 hosts.test
||oak.home.arpa^
`

func TestBlockedNamesAreAnsweredAsConfigured(t *testing.T) {
	for mode, want := range map[config.Blocking][3]string{ // A, AAAA and HTTPS of a blocked name
		config.BlockNull:     {"NOERROR | ads.test. A 0.0.0.0", "NOERROR | ads.test. AAAA ::", "NOERROR"},
		config.BlockNXDomain: {"NXDOMAIN", "NXDOMAIN", "NXDOMAIN"},
		config.BlockNoData:   {"NOERROR", "NOERROR", "NOERROR"},
		config.BlockRefused:  {"REFUSED", "REFUSED", "REFUSED"},
	} {
		t.Run(string(mode), func(t *testing.T) {
			d := lab(source(t, anything).addr)
			d.DNS.Filter.Answer = mode
			s := filtering(t, d, adRules)
			for range 2 { // anew, and from what is kept
				for i, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS} {
					m := ask(t, s, "udp", "ads.test.", typ, edns)
					if got := brief(m); got != want[i]+" EDE 15" {
						t.Errorf("%s: got %s, want %s", typeName(typ), got, want[i])
					}
					if e := reason(m); e == nil || e.text != "list ads: ||ads.test^" {
						t.Errorf("the reason is %+v", e)
					}
					if mode != config.BlockRefused && len(m.Answer) == 0 && (len(m.Ns) != 1 || m.Ns[0].Header().Ttl != blockedTTL) {
						t.Errorf("no SOA with a short TTL: %v", m.Ns)
					}
				}
			}
		})
	}
}

func TestDigFindsWhatRulesSay(t *testing.T) {
	d := lab(source(t, anything).addr)
	d.DNS.Filter.Rewrites = []config.Rewrite{
		{Domain: "nas.test", Value: "192.168.1.9"},
		{Domain: "*.dev.test", Value: "nas.oak.home.arpa"},
		{Domain: "gone.test", Value: "NXDOMAIN"},
		{Domain: "www.oak.home.arpa", Value: "192.168.1.77"},
		{Domain: "far.test", Value: "www.example.test"},
	}
	d.DNS.Filter.Rules = []string{"mine.test", "@@||hosts2.test^"}
	d.DNS.Filter.SafeSearch = true
	d.DNS.Filter.Services = []string{"tiktok"}
	s := filtering(t, d, adRules)
	for name, tt := range map[string]struct {
		args string
		want []string
	}{
		"blocked":             {"ads.test", []string{"NOERROR", "0.0.0.0", "EDE: 15 (Blocked): (list ads: ||ads.test^)"}},
		"below":               {"a.b.ads.test AAAA", []string{"AAAA\t::", "EDE: 15"}},
		"not blocked":         {"notads.test", []string{"192.0.2.80"}},
		"exception":           {"good.ads.test", []string{"192.0.2.80"}},
		"CNAME":               {"cloak.test", []string{"cloak.test.\t\t10\tIN\tA\t0.0.0.0", "(list ads: ||tracker.test^)"}},
		"CNAME again":         {"cloak.test", []string{"cloak.test.\t\t10\tIN\tA\t0.0.0.0"}},
		"HTTPS target":        {"svc.test HTTPS", []string{"ANSWER: 0", "(list ads: ||tracker.test^)"}},
		"HTTPS of it":         {"ads.test HTTPS", []string{"ANSWER: 0", "SOA\tblocked.invalid.", "EDE: 15"}},
		"other client":        {"client.test", []string{"192.0.2.80"}},
		"type":                {"typed.test AAAA", []string{"\t::\n"}},
		"other type":          {"typed.test A", []string{"192.0.2.80"}},
		"denyallow":           {"deny.test", []string{"0.0.0.0"}},
		"denyallow, let out":  {"a.ok.deny.test", []string{"192.0.2.80"}},
		"important":           {"vital.test", []string{"0.0.0.0", "(list ads: ||vital.test^$important)"}},
		"dnsrewrite":          {"moved.test", []string{"192.0.2.99"}},
		"dnsrewrite, no v6":   {"moved.test AAAA", []string{"ANSWER: 0", "NOERROR"}},
		"dnsrewrite, mail":    {"moved.test MX", []string{"mx.example."}},
		"dnsrewrite to name":  {"alias.test", []string{"CNAME\twww.example.test.", "192.0.2.80"}},
		"dnsrewrite, none":    {"none.test", []string{"NXDOMAIN", "EDE: 15"}},
		"expression":          {"banner12.test", []string{"0.0.0.0", "(list ads: /^banner[0-9]+"}},
		"hosts":               {"hosts.test", []string{"0.0.0.0"}},
		"hosts, below":        {"a.hosts.test", []string{"192.0.2.80"}},
		"rewrite":             {"nas.test", []string{"192.168.1.9"}},
		"rewrite, HTTPS":      {"nas.test HTTPS", []string{"ANSWER: 0"}},
		"rewrite to own name": {"x.dev.test", []string{"CNAME\tnas.oak.home.arpa.", "192.168.1.9", "192.168.1.10"}},
		"rewrite to far name": {"far.test", []string{"CNAME\twww.example.test.", "192.0.2.80"}},
		"rewrite to none":     {"gone.test", []string{"NXDOMAIN"}},
		"rewrite of own name": {"www.oak.home.arpa", []string{"192.168.1.77"}},
		"own zone":            {"home.oak.home.arpa", []string{"127.0.0.1", "aa"}},
		"special name":        {"localhost", []string{"127.0.0.1"}},
		"rule":                {"a.mine.test", []string{"0.0.0.0", "EDE: 15 (Blocked): (rule: mine.test)"}},
		"service":             {"www.tiktok.com", []string{"0.0.0.0", "EDE: 17 (Filtered): (service TikTok)"}},
		"safe search":         {"www.google.de", []string{"CNAME\tforcesafesearch.google.com.", "192.0.2.80"}},
		"safe search, mail":   {"google.com MX", []string{"mx.example."}},
		"without recursion":   {"+norec ads.test", []string{"0.0.0.0"}},
		"case":                {"AdS.TeSt", []string{"AdS.TeSt.\t\t10\tIN\tA\t0.0.0.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := dig(t, s, strings.Fields(tt.args)...)
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("dig %s: no %q in\n%s", tt.args, w, got)
				}
			}
		})
	}
}

// Two clients that ask for the same in turn never get each other's answer,
// whoever came first.
func TestClientsGetTheirOwnAnswers(t *testing.T) {
	lab := nettest.New(t)
	cell, kid, adult := lab.Self(), lab.Host("kid"), lab.Host("adult")
	br := lab.Bridge("switch")
	br.Join(cell, "lan0", "192.168.1.1/24")
	br.Join(kid, "eth0", "192.168.1.2/24")
	br.Join(adult, "eth0", "192.168.1.3/24")
	d := oak()
	d.DNS.Port = 53
	d.DNS.Upstreams = []string{source(t, anything).addr}
	d.DNS.Filter.Groups = []config.Group{{Name: "kids", Rules: []string{"chat.test"}}}
	d.DNS.Filter.Clients = []config.Client{{Name: "tablet", IDs: []string{"192.168.1.2"}, Groups: []string{"kids"}}}
	s := filtering(t, d, adRules)
	short := func(h *nettest.Host, name string) string {
		return strings.TrimSpace(h.Run(t, "dig", "+short", "+time=3", "+tries=1", "@192.168.1.1", name))
	}
	hosts := []*nettest.Host{kid, adult}
	for round := range 2 {
		for range 3 {
			for i, h := range hosts {
				want := "192.0.2.80"
				if h == kid {
					want = "0.0.0.0"
				}
				for _, name := range []string{"chat.test", "client.test"} {
					if got := short(h, name); got != want {
						t.Errorf("round %d, %d: %s got %s for %s", round, i, h.Name, got, name)
					}
				}
			}
		}
		hosts[0], hosts[1] = hosts[1], hosts[0]
		s.Flush()
	}
	if err := s.Pause(time.Minute, "kids"); err != nil {
		t.Fatal(err)
	}
	if got := short(kid, "chat.test"); got != "192.0.2.80" {
		t.Errorf("paused, and still %s", got)
	}
	if err := s.Pause(0, "kids"); err != nil {
		t.Fatal(err)
	}
	if got := short(kid, "chat.test"); got != "0.0.0.0" {
		t.Errorf("no longer paused, and still %s", got)
	}
}

func TestUnreadableRulesAreRefused(t *testing.T) {
	d := lab("127.0.0.1:1")
	d.DNS.Filter.Rules = []string{"good.test", "||bad.test^$script", "/(/"}
	d.DNS.Filter.Services = []string{"tiktok", "nothing"}
	d.DNS.Filter.Groups = []config.Group{{Name: "kids", Rules: []string{"||x^$client=nobody"}}}
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
	var got []string
	for _, e := range config.FieldErrors(s.Check(t.Context(), From(d))) {
		got = append(got, e.Path)
	}
	want := "dns.filter.rules.1 dns.filter.rules.2 dns.filter.services dns.filter.groups.kids.rules.0"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// An answer is judged by where it leads, not its name by where it once led.
func TestAnswersAreJudgedByWhereTheyLead(t *testing.T) {
	var target atomic.Pointer[string]
	set := func(s string) { target.Store(&s) }
	set("x.tracker.test.")
	up := source(t, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		for _, s := range []string{r.Question[0].Name + " 1 IN CNAME " + *target.Load(), *target.Load() + " 1 IN A 192.0.2.80"} {
			rr, err := dns.NewRR(s)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		w.WriteMsg(m)
	})
	s := filtering(t, lab(up.addr), adRules)
	for range 3 {
		if got := brief(ask(t, s, "udp", "shop.test.", dns.TypeA)); got != "NOERROR | shop.test. A 0.0.0.0" {
			t.Errorf("got %s", got)
		}
	}
	set("www.fine.test.")
	s.Flush()
	if got := brief(ask(t, s, "udp", "shop.test.", dns.TypeA)); !strings.HasSuffix(got, "A 192.0.2.80") {
		t.Errorf("it leads elsewhere now, and the answer is %s", got)
	}
}

func TestLookupSaysWhoDecided(t *testing.T) {
	d := lab(source(t, anything).addr)
	d.DNS.Filter.Rewrites = []config.Rewrite{{Domain: "nas.test", Value: "192.168.1.9"}}
	s := filtering(t, d, adRules)
	for name, want := range map[string]string{
		"ads.test": "blocked policy ads ||ads.test^", "good.ads.test": "allowed upstream ads @@||good.ads.test^", "nas.test": "rewritten policy  nas.test",
		"cloak.test": "blocked policy ads ||tracker.test^", "home.oak.home.arpa": " zone  ", "www.test": " upstream  ",
	} {
		r, err := s.Lookup(t.Context(), name, "A", netip.MustParseAddr(fromLAN))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join([]string{r.Verdict, r.Source, r.List, r.Rule}, " "); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if st := s.Stats(); s.BlockedNames() == 0 {
		t.Errorf("no names in lists: %+v", st)
	}
}
