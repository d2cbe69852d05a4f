package iterate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

const simple = base + `
one.com. 300 IN NS ns.one.com.
ns.one.com. 300 IN A 192.0.2.11
two.com. 300 IN NS ns.two.net.
192.0.2.3 @ net.
net. 3600 IN SOA a. h. 1 2 3 4 60
two.net. 300 IN NS ns.two.net.
ns.two.net. 300 IN A 192.0.2.12
192.0.2.11 @ one.com.
one.com. 300 IN SOA a. h. 1 2 3 4 60
one.com. 300 IN NS ns.one.com.
www.one.com. 300 IN A 198.51.100.1
alias.one.com. 300 IN CNAME www.two.com.
in.one.com. 300 IN CNAME www.one.com.
loop.one.com. 300 IN CNAME pool.one.com.
pool.one.com. 300 IN CNAME loop.one.com.
swing.one.com. 300 IN CNAME swing.two.com.
old.one.com. 300 IN DNAME two.com.
192.0.2.12 @ two.com.
two.com. 300 IN SOA a. h. 1 2 3 4 60
www.two.com. 300 IN A 198.51.100.2
swing.two.com. 300 IN CNAME swing.one.com.
192.0.2.12 @ two.net.
two.net. 300 IN SOA a. h. 1 2 3 4 60
ns.two.net. 300 IN A 192.0.2.12
`

func TestDelegationsAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newWorld(t, simple).resolver()
		for q, want := range map[string]string{
			"www.one.com.":   "NOERROR 198.51.100.1",
			"in.one.com.":    "NOERROR www.one.com. 198.51.100.1",
			"www.two.com.":   "NOERROR 198.51.100.2",
			"alias.one.com.": "NOERROR www.two.com. 198.51.100.2",
			"nope.one.com.":  "NXDOMAIN",
			"one.com.":       "NOERROR",
			"org.":           "NXDOMAIN",
			"a.b.c.d.org.":   "NXDOMAIN",
			"loop.one.com.":  "its aliases lead nowhere",
			"swing.one.com.": "its aliases lead nowhere",
		} {
			if got := find(r, q, dns.TypeA); got != want {
				t.Errorf("%s: %s, want %s", q, got, want)
			}
		}
	})
}

// A server is told one label more than it needs at most, and what is known is not
// asked again.
func TestServersAreToldAsLittleAsTheyNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simple)
		r := w.resolver()
		find(r, "www.one.com.", dns.TypeTXT)
		want := []string{"192.0.2.1 . NS", "192.0.2.1 com. A", "192.0.2.2 one.com. A", "192.0.2.11 www.one.com. TXT"}
		if got := w.asked(); !slices.Equal(got, want) {
			t.Errorf("asked %q", got)
		}
		find(r, "x.one.com.", dns.TypeA)
		if got := w.asked(); !slices.Equal(got, []string{"192.0.2.11 x.one.com. A"}) {
			t.Errorf("asked again %q", got)
		}
		find(r, "one.com.", dns.TypeDS)
		if got := w.asked(); !slices.Equal(got, []string{"192.0.2.2 one.com. DS"}) {
			t.Errorf("asked for DS %q", got)
		}
		find(r, strings.Repeat("a.", 30)+"one.com.", dns.TypeA)
		if got := w.asked(); len(got) > maxMinimised+1 || !strings.HasPrefix(got[0], "192.0.2.11 a.one.com.") {
			t.Errorf("asked %d: %q", len(got), got)
		}
	})
}

// What a delegation looks like to somebody who has many labels to ask for.
func TestMinimisedQuestionsAreAtMostTen(t *testing.T) {
	for name, tt := range map[string]struct {
		name  string
		known string
		want  []int // labels, the whole name left out
	}{
		"short":       {"www.example.com.", ".", []int{1, 2}},
		"one more":    {"www.example.com.", "com.", []int{2}},
		"top":         {"com.", ".", nil},
		"root":        {".", ".", nil},
		"deep":        {"a.b.c.d.e.f.", "f.", []int{2, 3, 4, 5}},
		"underscores": {"_443._tcp.www.example.com.", "com.", []int{2, 3}},
		"very deep":   {strings.Repeat("a.", 34) + "arpa.", ".", []int{1, 2, 3, 4, 9, 14, 19, 24, 29, 34}},
	} {
		m := minimiser{name: tt.name}
		var got []int
		for at := tt.known; ; {
			n, whole := m.next(at)
			if !below(tt.name, n) || dns.CountLabel(n) <= dns.CountLabel(at) && n != "." && !whole {
				t.Errorf("%s: %s after %s", name, n, at)
			}
			if whole {
				break
			}
			got, at = append(got, dns.CountLabel(n)), n
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// Some servers deny names that have no records but names below.
func TestADeniedPartOfANameDeniesNothingBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simple+"\n192.0.2.11 @ one.com.\nx.y.one.com. 300 IN A 198.51.100.3\n")
		honest := w.servers[netip.MustParseAddr("192.0.2.11")]
		for name, f := range map[string]func(*dns.Msg){
			"denied":  func(m *dns.Msg) { m.Rcode = dns.RcodeNameError },
			"refused": func(m *dns.Msg) { m.Rcode, m.Ns = dns.RcodeRefused, nil },
			"failed":  func(m *dns.Msg) { m.Rcode, m.Ns = dns.RcodeServerFailure, nil },
		} {
			w.servers[netip.MustParseAddr("192.0.2.11")] = func(q dns.Question) *dns.Msg {
				m := honest(q)
				if q.Name == "y.one.com." {
					f(m)
				}
				return m
			}
			if got := find(w.resolver(), "x.y.one.com.", dns.TypeA); got != "NOERROR 198.51.100.3" {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
}

// A domain that was taken away is gone when its parent's word is over, whatever
// it says about itself and however often it is asked for.
func TestADomainDoesNotOutliveItsDelegation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simple+`
192.0.2.11 @ one.com.
one.com. 604800 IN NS ns.one.com.
ns.one.com. 604800 IN A 192.0.2.11
sub.one.com. 604800 IN NS ns.sub.one.com.
ns.sub.one.com. 604800 IN A 192.0.2.13
192.0.2.13 @ sub.one.com.
sub.one.com. 300 IN SOA a. h. 1 2 3 4 60
www.sub.one.com. 300 IN A 198.51.100.4
`)
		r := w.resolver()
		for _, q := range []string{"www.one.com.", "www.sub.one.com."} {
			if got := find(r, q, dns.TypeA); !strings.HasPrefix(got, "NOERROR 198") {
				t.Fatal(got)
			}
		}
		top := w.servers[netip.MustParseAddr("192.0.2.2")]
		w.servers[netip.MustParseAddr("192.0.2.2")] = func(q dns.Question) *dns.Msg {
			if below(q.Name, "one.com.") {
				m := top(dns.Question{Name: "gone.com.", Qtype: q.Qtype, Qclass: q.Qclass})
				m.Question[0] = q
				return m
			}
			return top(q)
		}
		for range 10 {
			time.Sleep(31 * time.Second)
			find(r, "one.com.", dns.TypeNS)
			find(r, "ns.one.com.", dns.TypeA)
			find(r, "sub.one.com.", dns.TypeNS)
		}
		for _, q := range []string{"www.one.com.", "www.sub.one.com."} {
			if got := find(r, q, dns.TypeA); got != "NXDOMAIN" {
				t.Errorf("%s after its time: %s", q, got)
			}
		}
	})
}

// The addresses that come with a delegation count for it alone.
func TestGlueIsForItsDelegationAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simple+`
evil.net. 300 IN NS ns.evil.net.
ns.evil.net. 300 IN A 192.0.2.66
192.0.2.3 @ net.
evil.net. 300 IN NS ns.evil.net.
ns.evil.net. 300 IN A 192.0.2.66
192.0.2.66 @ evil.net.
evil.net. 300 IN SOA a. h. 1 2 3 4 60
`)
		w.servers[netip.MustParseAddr("192.0.2.66")] = func(q dns.Question) *dns.Msg {
			m := new(dns.Msg)
			m.Response, m.Authoritative, m.Question = true, true, []dns.Question{q}
			add := func(to *[]dns.RR, s string) {
				rr, _ := dns.NewRR(s)
				*to = append(*to, rr)
			}
			if q.Name == "www.evil.net." {
				add(&m.Answer, "www.evil.net. 300 IN A 198.51.100.66")
				add(&m.Answer, "www.one.com. 300 IN A 198.51.100.66")
				add(&m.Ns, "one.com. 300 IN NS ns.evil.net.")
				add(&m.Ns, "com. 300 IN NS ns.evil.net.")
				add(&m.Extra, "ns.two.net. 300 IN A 192.0.2.66")
				return m
			}
			m.Authoritative = false
			add(&m.Ns, "sub.evil.net. 300 IN NS ns.two.net.")
			add(&m.Extra, "ns.two.net. 300 IN A 192.0.2.66")
			return m
		}
		r := w.resolver()
		if got := find(r, "www.evil.net.", dns.TypeA); got != "NOERROR 198.51.100.66" {
			t.Error(got)
		}
		find(r, "www.sub.evil.net.", dns.TypeA)
		w.asked()
		for q, want := range map[string]string{"www.one.com.": "NOERROR 198.51.100.1", "www.two.com.": "NOERROR 198.51.100.2"} {
			if got := find(r, q, dns.TypeA); got != want {
				t.Errorf("%s: %s", q, got)
			}
		}
		if got := strings.Join(w.asked(), "\n"); strings.Contains(got, "192.0.2.66 ") {
			t.Errorf("the server of evil.net. was asked about others:\n%s", got)
		}
	})
}

// Of the servers of a zone those that are dead, or do not know it, are passed
// over, and left alone for a while.
func TestServersThatDoNotHelpAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, base+`
some.com. 3600 IN NS dead.some.com.
some.com. 3600 IN NS lame.some.com.
some.com. 3600 IN NS good.some.com.
dead.some.com. 3600 IN A 192.0.2.21
lame.some.com. 3600 IN A 192.0.2.3
good.some.com. 3600 IN A 192.0.2.22
all.com. 3600 IN NS dead.all.com.
dead.all.com. 3600 IN A 192.0.2.23
192.0.2.3 @ net.
net. 3600 IN SOA a. h. 1 2 3 4 60
192.0.2.22 @ some.com.
some.com. 300 IN SOA a. h. 1 2 3 4 60
www.some.com. 300 IN A 198.51.100.1
`)
		r := w.resolver()
		for i := range 40 {
			if got := find(r, fmt.Sprintf("x%d.some.com.", i), dns.TypeA); got != "NXDOMAIN" {
				t.Fatal(got)
			}
		}
		dead, lame := 0, 0
		for _, s := range w.asked() {
			if strings.HasPrefix(s, "192.0.2.21 ") {
				dead++
			}
			if strings.HasPrefix(s, "192.0.2.3 ") {
				lame++
			}
		}
		if dead > 4 || lame > 1 {
			t.Errorf("the dead server was asked %d times, the one that does not know the zone %d times", dead, lame)
		}
		for i := range 6 {
			find(r, fmt.Sprintf("x%d.all.com.", i), dns.TypeA)
		}
		w.asked()
		begun := time.Now()
		got := find(r, "last.all.com.", dns.TypeA)
		if n := len(w.asked()); n > 1 || time.Since(begun) > time.Second || !strings.Contains(got, "all.com.") {
			t.Errorf("%s after %d messages and %v", got, n, time.Since(begun))
		}
		w.servers[netip.MustParseAddr("192.0.2.23")] = func(q dns.Question) *dns.Msg { return serve([]*zone{{apex: "all.com."}}, q) }
		time.Sleep(longRest)
		if got := find(r, "last.all.com.", dns.TypeA); got != "NXDOMAIN" {
			t.Errorf("a server that is back: %s", got)
		}
	})
}

// That nobody was reached says little about the next minute, however often it was
// so before.
func TestNameServersThatWereOutOfReachAreTriedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simple)
		at := netip.MustParseAddr("192.0.2.12")
		back := w.servers[at]
		r := w.resolver()
		w.servers[at] = nil
		for i := range 10 {
			if got := find(r, fmt.Sprintf("x%d.two.com.", i), dns.TypeA); strings.HasPrefix(got, "N") {
				t.Fatal(got)
			}
			time.Sleep(20 * time.Second)
		}
		w.servers[at] = back
		for began := time.Now(); find(r, "www.two.com.", dns.TypeA) != "NOERROR 198.51.100.2"; time.Sleep(5 * time.Second) {
			if time.Since(began) > longRest+maxUnreached {
				t.Fatal("it is not found any more")
			}
		}
	})
}
