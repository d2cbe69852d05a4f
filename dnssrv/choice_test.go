package dnssrv

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/upstream"
	"pic/internal/nettest"
)

// reach returns a connection to the resolver at addr.
func reach(t testing.TB, addr string) *upstream.Resolver {
	t.Helper()
	a, err := upstream.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	r := upstream.New(a, upstream.Options{})
	t.Cleanup(r.Close)
	return r
}

func TestADeadUpstreamIsNoticedAndForgiven(t *testing.T) {
	good, bad := source(t, world), source(t, world)
	bad.down()
	s := start(t, conf(lab(bad.addr, good.addr)), nil)
	for i := range 5 {
		if got := ask(t, s, "udp", fmt.Sprintf("n%d.example.net.", i), dns.TypeA); got.Rcode != dns.RcodeSuccess {
			t.Fatalf("got %s", brief(got))
		}
	}
	st := s.Stats().Upstreams
	if !st[1].Up || st[1].RTT == 0 || st[1].Asked < 5 || st[0].Failed == 0 || st[0].Failed > 4 {
		t.Errorf("got %+v", st)
	}
	// Down for good is a problem; the next good answer ends it.
	u := s.forward.routing.Load().root.ups[0]
	nettest.WaitFor(t, 30*time.Second, func() bool {
		u.broke(time.Now(), errNonsense)
		return len(s.Problems()) == 1
	})
	if p := s.Problems(); len(p) != 1 || p[0].Code != "dns/upstreams-down" || !strings.Contains(p[0].Text, bad.addr) {
		t.Errorf("got problems %v", p)
	}
	u.via = reach(t, good.addr)
	s.forward.probe(t.Context())
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("it answers again, and there are problems: %v", p)
	}
}

// A silent first upstream costs its patience once, not with every question.
func TestASlowUpstreamIsPassedOver(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s := start(t, conf(lab(silent.LocalAddr().String(), source(t, world).addr)), nil)
	waited := 0
	for i := range 20 {
		begin := time.Now()
		if got := ask(t, s, "udp", fmt.Sprintf("n%d.example.net.", i), dns.TypeA); got.Rcode != dns.RcodeSuccess {
			t.Fatalf("got %s", brief(got))
		}
		if time.Since(begin) > 350*time.Millisecond {
			waited++
		}
	}
	if waited > 10 {
		t.Errorf("%d of 20 questions waited", waited)
	}
}

func TestEqualQuestionsTravelOnce(t *testing.T) {
	hold := make(chan struct{})
	up := source(t, func(w dns.ResponseWriter, r *dns.Msg) { <-hold; world(w, r) })
	s := start(t, conf(lab(up.addr)), nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := ask(t, s, "udp", "www.example.net.", dns.TypeA); got.Rcode != dns.RcodeSuccess {
				t.Errorf("got %s", brief(got))
			}
		})
	}
	nettest.WaitFor(t, 30*time.Second, func() bool { return s.Stats().UDP == 20 })
	close(hold)
	wg.Wait()
	if n := s.Stats().Upstream; n != 1 {
		t.Errorf("the question travelled %d times", n)
	}
	// Nor does it for who looked into the cache just before the answer came.
	s.forward.resolve(t.Context(), question{name: mustName("www.example.net"), typ: dns.TypeA})
	if n := s.Stats().Upstream; n != 1 {
		t.Errorf("the question travelled %d times once it was answered", n)
	}
}

// However many connections a client opens, it cannot take all that may be under
// way from the others.
func TestOneClientCannotKeepOthersWaiting(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	up := source(t, func(w dns.ResponseWriter, r *dns.Msg) {
		if strings.HasPrefix(strings.ToLower(r.Question[0].Name), "slow") {
			<-hold
		}
		world(w, r)
	})
	s := start(t, conf(lab(up.addr)), nil)
	for i := range maxPerHost/maxPipelined + 2 {
		c, err := dns.Dial("tcp", s.at(t, "tcp"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for n := range maxPipelined {
			if err := c.WriteMsg(new(dns.Msg).SetQuestion(fmt.Sprintf("slow%d-%d.example.net.", i, n), dns.TypeA)); err != nil {
				t.Fatal(err)
			}
		}
	}
	most := 0
	for end := time.Now().Add(patience / 2); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.waiting.mu.Lock()
		most = max(most, s.waiting.total)
		s.waiting.mu.Unlock()
	}
	if most < maxPerHost/2 || most > maxPerHost {
		t.Errorf("up to %d queries of one client waited, want at most %d", most, maxPerHost)
	}
}

func TestUpstreamsChangeAndTheirAnswersGo(t *testing.T) {
	one := source(t, world)
	two := source(t, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		m.Answer = []dns.RR{address(r.Question[0].Name, netip.MustParseAddr("192.0.2.2"), 600)}
		w.WriteMsg(m)
	})
	s := start(t, conf(lab()), nil)
	for _, step := range []struct{ upstream, want string }{
		{"", "SERVFAIL"},
		{one.addr, "NOERROR | www.example.net. A 192.0.2.80"},
		{two.addr, "NOERROR | www.example.net. A 192.0.2.2"},
	} {
		if step.upstream != "" {
			if err := s.Apply(t.Context(), conf(lab(step.upstream))); err != nil {
				t.Fatal(err)
			}
		}
		if got := brief(ask(t, s, "udp", "www.example.net.", dns.TypeA)); got != step.want {
			t.Errorf("got %s, want %s", got, step.want)
		}
	}
}

func TestLookupTellsWhatAClientWouldBeTold(t *testing.T) {
	s := start(t, conf(lab(source(t, world).addr)), found(t))
	for _, tt := range []struct {
		name, typ, from string
		want            Result
	}{
		{"home.oak.home.arpa", "A", "", Result{Rcode: "NOERROR", Authoritative: true, Source: "zone", Answer: []string{"home.oak.home.arpa. 60 IN A 127.0.0.1"}}},
		{"home.oak.home.arpa.", "a", "192.168.1.9", Result{Rcode: "NOERROR", Authoritative: true, Source: "zone", Answer: []string{"home.oak.home.arpa. 60 IN A 192.168.1.1"}}},
		{"www.example.net", "A", "", Result{Rcode: "NOERROR", Source: "upstream", Answer: []string{"www.example.net. 600 IN A 192.0.2.80"}}},
		{"www.example.net", "TYPE1", "", Result{Rcode: "NOERROR", Source: "cache", Answer: []string{"www.example.net. 600 IN A 192.0.2.80"}}},
		{"broken.example.net", "A", "", Result{Rcode: "SERVFAIL", Source: "upstream", Reason: "Network Error: the upstream resolvers refuse or fail"}},
	} {
		var from netip.Addr
		if tt.from != "" {
			from = netip.MustParseAddr(tt.from)
		}
		got, err := s.Lookup(t.Context(), tt.name, tt.typ, from)
		if err != nil {
			t.Error(err)
			continue
		}
		if strings.Join(got.Answer, "\n") != strings.Join(tt.want.Answer, "\n") || got.Rcode != tt.want.Rcode ||
			got.Source != tt.want.Source || got.Authoritative != tt.want.Authoritative || got.Reason != tt.want.Reason {
			t.Errorf("%s %s: got %+v", tt.name, tt.typ, got)
		}
	}
	for _, bad := range [][2]string{{"a..b", "A"}, {"x", "NOTYPE"}, {strings.Repeat("x", 64), "A"}, {"x", "TYPE65536"}} {
		if _, err := s.Lookup(t.Context(), bad[0], bad[1], netip.Addr{}); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Flush()
	if got, err := s.Lookup(ctx, "other.example.net", "A", netip.Addr{}); err == nil && got.Rcode != "NOERROR" {
		t.Errorf("got %+v", got)
	}
}
