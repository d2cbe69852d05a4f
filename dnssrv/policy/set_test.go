package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
)

// house is a household with all that there is.
func house() Config {
	return Config{
		Filter: config.Filter{
			Enabled:  new(true),
			Lists:    []config.List{{Name: "ads", URL: "a"}, {Name: "adult", URL: "b"}, {Name: "off", URL: "c", Disabled: true}, {Name: "fine", URL: "d", Allow: true}},
			Rules:    []string{"ours.test", "@@||both.test^", "||cond.test^$client=tablet|192.168.1.40", "||ads.test^$dnstype=TXT", "192.168.1.7 nas.test", "||taken.test^$badfilter"},
			Rewrites: []config.Rewrite{{Domain: "lead.test", Value: "192.0.2.1"}, {Domain: "lead.test", Value: "192.0.2.2"}, {Domain: "*.lead.test", Value: "other.test"}, {Domain: "keep.lead.test", Value: "keep.lead.test"}},
			Services: []string{"x"},
			Groups: []config.Group{
				{Name: "kids", Rules: []string{"both.test", "@@||school.test^"}, Services: []string{"tiktok"}, SafeSearch: new(true), Schedules: []config.Schedule{{From: "21:00", To: "07:00"}, {Days: []string{"wed"}, From: "12:00", To: "13:00", Services: []string{"netflix"}}}},
				{Name: "work", Lists: []string{"adult"}, SafeSearch: new(false), Rewrites: []config.Rewrite{{Domain: "lead.test", Value: "192.0.2.9"}}, Unlogged: true},
				{Name: "free", Off: true},
			},
			Clients: []config.Client{
				{Name: "tablet", IDs: []string{"192.168.1.20"}, Groups: []string{"kids"}},
				{Name: "tablet 2", IDs: []string{"192.168.1.21"}, Groups: []string{"kids"}},
				{Name: "desk", IDs: []string{"02:00:00:00:00:01"}, Groups: []string{"work"}},
				{Name: "tv", IDs: []string{"02:00:00:00:00:02"}, Groups: []string{"free"}},
				{Name: "guests", IDs: []string{"192.168.1.128/25"}},
				{Name: "printers", IDs: []string{"192.168.1.192/26"}, Groups: []string{"free"}},
				{Name: "laptop", IDs: []string{"peer:laptop"}, Groups: []string{"work"}},
				{Name: "anna", IDs: []string{"user:anna", "id:anna-phone"}, Groups: []string{"kids", "work"}},
			},
		},
		People: People{
			Peers: map[string][]netip.Addr{"laptop": {netip.MustParseAddr("10.8.0.2")}, "phone": {netip.MustParseAddr("10.8.0.3"), netip.MustParseAddr("fd00::3")}},
			Owner: map[string]string{"laptop": "anna", "phone": "anna"},
			MACs:  map[string]netip.Addr{"02:00:00:00:00:02": netip.MustParseAddr("192.168.1.50")},
		},
	}
}

func houseSet(t *testing.T, paused func(string) bool, now time.Time) *Set {
	t.Helper()
	s, err := newShelf(10)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range [][2]string{
		{"a", "||ads.test^\n||taken.test^\n||let.test^\n||listed.test^$client=desk\n"}, {"b", "||adult.test^\n||let.test^\n"}, {"c", "||never.test^\n"}, {"d", "let.test\n"}, {"gone", "||gone.test^\n"},
	} {
		if _, err := s.add(l[0], strings.NewReader(l[1])); err != nil {
			t.Fatal(err)
		}
	}
	lib, err := s.library()
	if err != nil {
		t.Fatal(err)
	}
	mac := func(a netip.Addr) string {
		return map[string]string{"192.168.1.30": "02:00:00:00:00:01", "192.168.1.200": "02:00:00:00:00:01"}[a.String()]
	}
	return newSet(must(t, house()), lib, mac, paused, now)
}

func TestClientsAreToldByWhatTheyAre(t *testing.T) {
	s := houseSet(t, never, noon)
	for who, want := range map[string]string{
		"192.168.1.20": "tablet", "::ffff:192.168.1.20": "tablet", "192.168.1.99": "", "192.168.1.30": "desk", "192.168.1.50": "tv",
		"192.168.1.130": "guests", "192.168.1.193": "printers", "192.168.1.200": "desk", // its MAC address says more than the network
		"10.8.0.2": "laptop", "10.8.0.3": "anna", "fd00::3": "anna", "192.168.1.99 anna-phone": "anna", "192.168.1.130 ANNA-phone": "anna", "192.168.1.99 nobody": "", "": "",
		"192.168.1.20 anna-phone": "tablet", "192.168.1.30 anna-phone": "desk", // a child may say anything

	} {
		addr, id, _ := strings.Cut(who, " ")
		a, _ := netip.ParseAddr(addr)
		for range 2 { // anew, and as it was seen
			if got := s.View(a, id).Client(); got != want {
				t.Errorf("%s is %q, want %q", who, got, want)
			}
		}
	}
}

func TestWhatCountsForWhom(t *testing.T) {
	night := time.Date(2026, 3, 5, 22, 0, 0, 0, time.UTC)
	afternoon := time.Date(2026, 3, 4, 15, 0, 0, 0, time.UTC)
	const tablet, desk, tv, other, anna = "192.168.1.20", "192.168.1.30", "192.168.1.50", "192.168.1.99", "10.8.0.3"
	for name, tt := range map[string]struct {
		now    time.Time
		paused string            // groups, * for everybody
		want   map[string]string // client and question: decision
	}{
		"day": {afternoon, "", map[string]string{
			other + " ours.test": "block: ours.test", other + " a.ours.test": "block: ours.test", other + " both.test": "allow: @@||both.test^",
			tablet + " both.test": "block: both.test", tablet + " school.test": "allow: @@||school.test^",
			other + " ads.test": "block: ||ads.test^", other + " adult.test": "block: ||adult.test^", other + " never.test": "-", other + " gone.test": "-",
			other + " let.test": "allow: let.test", other + " taken.test": "-", other + " nas.test": "rewrite 192.168.1.7: 192.168.1.7 nas.test",
			desk + " ads.test": "-", desk + " adult.test": "block: ||adult.test^", desk + " let.test": "block: ||let.test^", // the list that lets through is not among its lists
			anna + " ads.test": "block: ||ads.test^", // kids has all lists
			tv + " ads.test":   "-", tv + " ours.test": "-", tv + " x.com": "-",
			other + " cond.test": "-", tablet + " cond.test": "block: ||cond.test^$client=tablet|192.168.1.40", "192.168.1.40 cond.test": "block: ||cond.test^$client=tablet|192.168.1.40",
			other + " listed.test": "-", desk + " listed.test": "-",
			other + " ads.test TXT": "block: ||ads.test^$dnstype=TXT", other + " x.com": "block: X (Twitter)", other + " a.t.co": "block: X (Twitter)", other + " notx.com": "-",
			tablet + " tiktok.com": "block: TikTok", other + " tiktok.com": "-", tablet + " netflix.com": "-",
		}},
		"noon on a wednesday": {noon, "", map[string]string{tablet + " netflix.com": "block: Netflix, wed 12:00-13:00", other + " netflix.com": "-", tablet + " news.test": "-"}},
		"night": {night, "", map[string]string{
			tablet + " news.test": "block: 21:00-07:00", tablet + " school.test": "allow: @@||school.test^", other + " news.test": "-", anna + " news.test": "block: 21:00-07:00",
		}},
		"paused":          {night, "*", map[string]string{tablet + " news.test": "-", other + " ads.test": "-", other + " ours.test": "-"}},
		"paused for kids": {night, "kids", map[string]string{tablet + " news.test": "-", tablet + " both.test": "-", other + " ads.test": "block: ||ads.test^", anna + " ads.test": "-"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := houseSet(t, func(g string) bool { return tt.paused == g && g != "" || tt.paused == "*" && g == "" }, tt.now)
			for q, want := range tt.want {
				client, question, _ := strings.Cut(q, " ")
				if got := decided(t, s.View(netip.MustParseAddr(client), ""), question); got != want {
					t.Errorf("%s: got %s, want %s", q, got, want)
				}
			}
		})
	}
}

func TestRewritesAndSafeSearch(t *testing.T) {
	const tablet, desk, tv, other, anna = "192.168.1.20", "192.168.1.30", "192.168.1.50", "192.168.1.99", "10.8.0.3"
	for _, paused := range []bool{false, true} {
		s := houseSet(t, func(g string) bool { return paused && g == "" }, noon)
		search := "www.google.com -> forcesafesearch.google.com safesearch"
		if paused {
			search = "-"
		}
		for q, want := range map[string]string{
			other + " lead.test": "lead.test -> 192.0.2.1 192.0.2.2 rewrite", other + " lead.test AAAA": "lead.test -> rewrite", other + " lead.test MX": "-",
			other + " a.b.lead.test": "a.b.lead.test -> other.test rewrite", other + " keep.lead.test": "-", tv + " lead.test": "lead.test -> 192.0.2.1 192.0.2.2 rewrite",
			desk + " lead.test": "lead.test -> 192.0.2.9 rewrite", desk + " x.lead.test": "x.lead.test -> other.test rewrite",
			tablet + " www.google.com": search, tablet + " www.google.com MX": "-", other + " www.google.com": "-", desk + " www.google.com": "-",
			anna + " www.google.com":         search, // kids says so, and work does not keep it from that
			tablet + " www.google.com HTTPS": search,
		} {
			client, question, _ := strings.Cut(q, " ")
			name, typ, _ := strings.Cut(question, " ")
			code := dns.TypeA
			if typ != "" {
				code = dns.StringToType[typ]
			}
			got := "-"
			if d, ok := s.View(netip.MustParseAddr(client), "").Rewrite(wire(t, name), code); ok {
				got = name + " ->"
				for _, a := range d.Addrs {
					got += " " + a.String()
				}
				if d.Target != "" {
					got += " " + textOf(d.Target)
				}
				got += " " + d.Reason
			}
			if got != want {
				t.Errorf("paused %v: %s: got %s, want %s", paused, q, got, want)
			}
		}
	}
}

func TestEqualClientsShareWhatCounts(t *testing.T) {
	s := houseSet(t, never, time.Date(2026, 3, 4, 15, 0, 0, 0, time.UTC))
	id := func(a string) uint32 { return s.View(netip.MustParseAddr(a), "").ID() }
	if id("192.168.1.99") != id("192.168.1.98") || id("192.168.1.99") != id("192.168.1.130") || id("192.168.1.99") == 0 {
		t.Error("strangers and guests, for whom the same counts, are told apart")
	}
	if id("192.168.1.20") == id("192.168.1.21") {
		t.Error("a rule is about one tablet alone, and they are not told apart")
	}
	if id("192.168.1.20") == id("192.168.1.99") || id("192.168.1.99") == id("192.168.1.50") {
		t.Error("clients with rules of their own are not told apart")
	}
	if v := s.View(netip.MustParseAddr("10.8.0.2"), ""); v.Logged() || !s.View(client1, "").Logged() {
		t.Error("a group's clients are logged against its will, or others are not")
	}
	a := netip.MustParseAddr("192.168.1.99")
	if n := testing.AllocsPerRun(100, func() { s.View(a, "") }); n != 0 {
		t.Errorf("a client that was seen costs %v allocations", n)
	}
}

func TestViewsAreBoundedByWhatTheDocumentTellsApart(t *testing.T) {
	s := houseSet(t, never, noon)
	for i := range 5000 {
		s.View(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), fmt.Sprint("x", i))
	}
	if len(s.views) > 20 {
		t.Errorf("%d views of 9 kinds of clients", len(s.views))
	}
}

func TestSchedulesFollowTheWall(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	at := func(s string) time.Time {
		out, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := config.Schedule{From: "21:30", To: "07:00"}
	for name, tt := range map[string]struct {
		s    config.Schedule
		at   time.Time
		want bool
	}{
		"before":                {all, at("2026-03-04 21:29"), false},
		"begins":                {all, at("2026-03-04 21:30"), true},
		"after midnight":        {all, at("2026-03-05 06:59"), true},
		"ends":                  {all, at("2026-03-05 07:00"), false},
		"its morning":           {config.Schedule{Days: []string{"fri"}, From: "21:00", To: "07:00"}, at("2026-03-07 06:00"), true},
		"its evening":           {config.Schedule{Days: []string{"fri"}, From: "21:00", To: "07:00"}, at("2026-03-07 22:00"), false},
		"sunday to monday":      {config.Schedule{Days: []string{"sun"}, From: "21:00", To: "07:00"}, at("2026-03-09 01:00"), true},
		"within a day":          {config.Schedule{From: "08:00", To: "12:00"}, at("2026-03-04 11:59"), true},
		"after it":              {config.Schedule{From: "08:00", To: "12:00"}, at("2026-03-04 12:00"), false},
		"round the clock":       {config.Schedule{From: "08:00", To: "08:00"}, at("2026-03-04 03:00"), true},
		"hour that is left out": {config.Schedule{From: "02:30", To: "04:00"}, at("2026-03-29 03:00"), true}, // 02:30 is not there that night
		"and its end":           {config.Schedule{From: "02:30", To: "04:00"}, at("2026-03-29 04:00"), false},
		"hour that is twice":    {config.Schedule{From: "02:00", To: "03:00"}, time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC).In(berlin), true},
		"and after the second":  {config.Schedule{From: "02:00", To: "03:00"}, time.Date(2026, 10, 25, 2, 0, 0, 0, time.UTC).In(berlin), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSchedule(tt.s)
			if got := s.active(tt.at); got != tt.want {
				t.Errorf("at %v: %v", tt.at, got)
			}
		})
	}
}

func TestCheckNamesTheField(t *testing.T) {
	c := Config{Filter: config.Filter{
		Rules:    []string{"fine.test", "! note", "||x.test^$client=nobody", "||y.test^$script"},
		Services: []string{"netflix", "none"},
		Rewrites: []config.Rewrite{{Domain: "a.test", Value: "192.0.2.1"}, {Domain: "a.test", Value: "b.test"}},
		Groups:   []config.Group{{Name: "my kids", Rules: []string{"/(/"}, Schedules: []config.Schedule{{From: "1:00", To: "2:00", Services: []string{"none"}}}}},
	}}
	var got []string
	for _, e := range config.FieldErrors(Check(c)) {
		got = append(got, e.Error())
	}
	want := []string{
		`dns.filter.rules.2: "||x.test^$client=nobody" cannot be followed: there is no client "nobody" in dns.filter.clients`,
		`dns.filter.rules.3: "||y.test^$script" cannot be followed: the option "script" is not one for names`,
		`dns.filter.rewrites.1.value: a.test leads elsewhere already`,
		`dns.filter.services: there is no service "none"; see pic dns list services`,
		`dns.filter.groups.my kids.rules.0: "/(/" cannot be followed: the expression is not one of RE2: missing closing ): ` + "`(`",
		`dns.filter.groups.my kids.schedules.0.services: there is no service "none"; see pic dns list services`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestServicesAreSound(t *testing.T) {
	ids := map[string]bool{}
	for _, s := range Services() {
		if ids[s.ID] || s.ID == "" || s.Name == "" || s.Kind == "" || len(s.Names) == 0 {
			t.Errorf("%+v", s)
		}
		ids[s.ID] = true
		for _, n := range s.Names {
			if w, ok := wireOf(n); !ok || strings.Count(n, ".") == 0 || textOf(w) != n {
				t.Errorf("%s: %q is not a name of a service", s.ID, n)
			}
		}
	}
	if len(ids) < 40 || len(ids) > 256 {
		t.Errorf("%d services", len(ids))
	}
	for from, to := range newSafeSearch() {
		if from == to || textOf(from) == "" {
			t.Errorf("%q leads to itself", textOf(from))
		}
	}
}
