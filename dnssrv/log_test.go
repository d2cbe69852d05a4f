package dnssrv

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv/querylog"
)

// Every answer is in the log once, whether it was found out, kept or refused,
// and says what decided.
func TestTheLogHasEveryAnswer(t *testing.T) {
	d := lab(source(t, anything).addr)
	d.DNS.Filter.Rewrites = []config.Rewrite{{Domain: "moved.test.example", Value: "192.0.2.9"}}
	d.DNS.Filter.Rules = []string{"@@||fine.tracker.example^"}
	d.DNS.Filter.Clients = []config.Client{{Name: "desk", IDs: []string{"127.0.0.0/8"}}}
	s := filtering(t, d, "||tracker.example^\n")
	tail := s.Tail(t.Context())
	type line struct{ name, verdict, source, list, rule, answer string }
	var want []line
	query := func(name, verdict, source, list, rule, answer string) {
		t.Helper()
		ask(t, s, "udp", name+".", dns.TypeA)
		want = append(want, line{name, verdict, source, list, rule, answer})
	}
	query("www.example", "answered", "upstream", "", "", "192.0.2.80")
	query("www.example", "answered", "cache", "", "", "192.0.2.80")
	query("www.example", "answered", "cache", "", "", "192.0.2.80") // what was kept whole
	query("oak.home.arpa", "answered", "zone", "", "", "127.0.0.1")
	query("oak.home.arpa", "answered", "zone", "", "", "127.0.0.1")
	query("a.tracker.example", "blocked", "policy", "ads", "||tracker.example^", "0.0.0.0")
	query("a.tracker.example", "blocked", "policy", "ads", "||tracker.example^", "0.0.0.0")
	query("fine.tracker.example", "allowed", "upstream", "", "@@||fine.tracker.example^", "192.0.2.80")
	query("moved.test.example", "rewritten", "policy", "", "moved.test.example", "192.0.2.9")
	p, err := s.Queries(t.Context(), QueryFilter{Client: "DESK"})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(p.Records)
	var got []line
	for _, r := range p.Records {
		got = append(got, line{r.Name, r.Verdict.String(), r.Source.String(), r.List, r.Rule, r.Answer})
		if r.Client.String() != "127.0.0.1/32" || r.Device != "desk" || r.Type != dns.TypeA || r.Proto != querylog.UDP {
			t.Errorf("%+v", r)
		}
		if told := <-tail; told.ID != r.ID || told.Name != r.Name {
			t.Errorf("told of %+v, found %+v", told, r)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%v, want\n%v", got, want)
	}
	st := s.Asked(24 * time.Hour)
	if st.Queries != 9 || st.Blocked != 2 || len(st.BlockedNames) != 1 || st.BlockedNames[0] != (querylog.Count{Key: "a.tracker.example", Count: 2}) ||
		len(st.Lists) != 1 || st.Lists[0] != (querylog.Count{Key: "ads", Count: 2}) {
		t.Errorf("%+v", st)
	}
}

func TestAnUnloggedGroupIsOnlyCounted(t *testing.T) {
	d := lab()
	d.DNS.Filter.Groups = []config.Group{{Name: "quiet", Unlogged: true}}
	d.DNS.Filter.Clients = []config.Client{{Name: "desk", IDs: []string{"127.0.0.0/8"}, Groups: []string{"quiet"}}}
	s := filtering(t, d, "||tracker.example^\n")
	for range 3 {
		ask(t, s, "udp", "oak.home.arpa.", dns.TypeA)
	}
	p, err := s.Queries(t.Context(), QueryFilter{})
	if st := s.Asked(time.Hour); err != nil || len(p.Records) != 0 || st.Queries != 3 || len(st.Clients) != 0 {
		t.Errorf("%v, %+v, %+v", err, p, st)
	}
}

func TestAPersonMeansADeviceByItsNameOrAddress(t *testing.T) {
	d := lab()
	d.DHCP.Reservations = []config.Reservation{{Name: "tv", MAC: "aa:bb:cc:00:00:01", Address: netip.MustParseAddr("192.168.1.7")}}
	s := start(t, conf(d), nil)
	for text, want := range map[string]string{
		"192.168.1.9":    "[192.168.1.9/32] ",
		"::ffff:1.2.3.4": "[1.2.3.4/32] ",
		"192.168.1.9/24": "[192.168.1.0/24] ",
		"TV":             "[192.168.1.7/32] TV",
		"nobody":         "[] nobody",
	} {
		nets, device := s.clients(text)
		if got := fmt.Sprint(nets, " ", device); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestAnAnswerInShort(t *testing.T) {
	m := new(dns.Msg).SetQuestion("a.test.", dns.TypeA)
	for _, s := range []string{
		"a.test. 60 IN CNAME b.test.", "b.test. 60 IN A 192.0.2.1", "b.test. 60 IN AAAA 2001:db8::1", "b.test. 60 IN TXT secret",
		"b.test. 60 IN A 192.0.2.2",
	} {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	m.Compress = true
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	end := plainName(b, headerLen) + 4
	if got, want := inShort(b, end), "CNAME b.test., 192.0.2.1, 2001:db8::1, TXT and 1 more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for n := range b { // whatever is missing
		if n >= end {
			inShort(b[:n], end)
		}
	}
}

// What was checked by DNSSEC is told as such by the log, by a lookup and by the
// counts.
func TestTheLogSaysWhatWasChecked(t *testing.T) {
	w, _ := universe(t)
	var count atomic.Int64
	up := source(t, resolving(w, &count))
	s := start(t, conf(trusting(w, up.addr)), nil)
	for range 3 {
		ask(t, s, "udp", "www.shop.example.", dns.TypeA)
	}
	p, err := s.Queries(t.Context(), QueryFilter{})
	if err != nil || len(p.Records) != 0 {
		t.Errorf("a log without a folder has %+v, %v", p, err)
	}
	tail := s.Tail(t.Context())
	ask(t, s, "udp", "www.shop.example.", dns.TypeA)
	if r := <-tail; !r.Secure || r.Source != querylog.Cache || r.Upstream != up.addr {
		t.Errorf("told of %+v", r)
	}
	if !s.Stats().Validating {
		t.Error("nothing is checked, it says")
	}
	if r, err := s.Lookup(t.Context(), "www.shop.example", "A", loopback4); err != nil || !r.Secure {
		t.Errorf("%+v, %v", r, err)
	}
}
