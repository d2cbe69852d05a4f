package dnssrv

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

// stock puts an answer into the cache of s as if it had come so long ago.
func stock(t testing.TB, s *Server, qname string, records []string, age time.Duration) question {
	t.Helper()
	q := question{name: mustName(qname), typ: dns.TypeA}
	m := new(dns.Msg)
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Rcode = dns.RcodeNameError
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	a, err := digest(q, m)
	if err != nil {
		t.Fatal(err)
	}
	q.set = s.forward.routing.Load().group(q).id
	s.forward.cache.put(q, a, time.Now().Add(-age), s.forward.cache.now())
	return q
}

func TestWhatIsWantedIsAskedForAgainOnceBeforeItsTimeIsOver(t *testing.T) {
	up := source(t, world)
	s := start(t, conf(lab(up.addr)), nil)
	stock(t, s, "early.example.net", []string{"early.example.net. 600 IN A 192.0.2.80"}, 500*time.Second)
	stock(t, s, "www.example.net", []string{"www.example.net. 600 IN A 192.0.2.80"}, 560*time.Second)
	for range 5 {
		for _, n := range []string{"early.example.net.", "www.example.net."} {
			if got := brief(ask(t, s, "udp", n, dns.TypeA)); !strings.HasSuffix(got, "192.0.2.80") {
				t.Errorf("got %s", got)
			}
		}
	}
	nettest.WaitFor(t, 5*time.Second, func() bool {
		r, ok := s.forward.cached(question{name: mustName("www.example.net"), typ: dns.TypeA})
		return ok && r.age < 10*time.Second
	})
	for range 5 {
		ask(t, s, "udp", "www.example.net.", dns.TypeA)
	}
	if n := up.udp.Load(); n != 1 {
		t.Errorf("the upstream was asked %d times, want once", n)
	}
	if ttl := ask(t, s, "udp", "early.example.net.", dns.TypeA).Answer[0].Header().Ttl; ttl > 100 {
		t.Errorf("in the middle of its time it was asked for again: %d", ttl)
	}
}

func TestWhatIsOverIsToldWhileNobodyAnswers(t *testing.T) {
	up := source(t, world)
	up.down()
	d := lab(up.addr)
	s := start(t, conf(d), nil)
	soa := "example.net. 60 IN SOA ns.example.net. hm.example.net. 1 2 3 4 60"
	stock(t, s, "www.example.net", []string{"www.example.net. 60 IN A 192.0.2.80"}, time.Hour)
	stock(t, s, "nope.example.net", []string{soa}, time.Hour)
	stock(t, s, "old.example.net", []string{"old.example.net. 60 IN A 192.0.2.80"}, 25*time.Hour)
	for name, tt := range map[string]struct{ name, want string }{
		"an address":         {"www.example.net.", "NOERROR | www.example.net. A 192.0.2.80 EDE 3"},
		"that there is none": {"nope.example.net.", "NXDOMAIN EDE 19"},
		"too long ago":       {"old.example.net.", "SERVFAIL EDE 22"},
	} {
		for range 2 { // the second does not wait
			begin := time.Now()
			m := ask(t, s, "udp", tt.name, dns.TypeA, edns)
			if got := brief(m); got != tt.want {
				t.Errorf("%s: got %s, want %s", name, got, tt.want)
			}
			for _, rr := range append(m.Answer, m.Ns...) {
				if rr.Header().Ttl != staleTTL {
					t.Errorf("%s: TTL %d", name, rr.Header().Ttl)
				}
			}
			if took := time.Since(begin); took > 2*patience { // clients wait for five seconds
				t.Errorf("%s: took %v", name, took)
			}
		}
	}
	if st := s.Stats(); st.Stale != 4 {
		t.Errorf("%d stale answers are counted", st.Stale)
	}
	// Once somebody answers again, what was told so far does not count.
	old := s.forward.routing.Load()
	u := old.root.ups[0]
	u.mu.Lock()
	back := &remote{addr: u.addr, via: reach(t, source(t, world).addr), failures: u.failures, last: u.last, broken: u.broken, since: u.since}
	u.mu.Unlock()
	g := &group{route: old.root.route, id: old.root.id, ups: []*remote{back}}
	s.forward.routing.Store(&routing{by: map[name]*group{root: g}, root: g, care: old.care})
	ask(t, s, "udp", "other.example.net.", dns.TypeA)
	if got := brief(ask(t, s, "udp", "www.example.net.", dns.TypeA, edns)); got != "NOERROR | www.example.net. A 192.0.2.80" {
		t.Errorf("got %s", got)
	}
}

func TestFailuresAreKeptForLongerEachTime(t *testing.T) {
	c := newCache(cacheBytes, cacheEntries)
	q := question{name: mustName("www.example"), typ: dns.TypeA}
	now := time.Now()
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		c.put(q, failed(edeRefused), now, 0)
		life := want * time.Second
		if f := c.find(q, now.Add(life-time.Millisecond), time.Time{}); f.answer == nil || !f.answer.failed {
			t.Fatalf("failure %d is forgotten before %v", i, life)
		}
		now = now.Add(life)
		if f := c.find(q, now, time.Time{}); f.answer != nil {
			t.Fatalf("failure %d is kept after %v", i, life)
		}
	}
	lost := failed(edeUnreachable)
	lost.unasked = true
	c.put(q, lost, now, 0)
	if f := c.find(q, now.Add(maxUnreached), time.Time{}); f.answer != nil {
		t.Error("that nobody was reached is kept for too long")
	}
	if f := c.find(q, now.Add(time.Second), now.Add(time.Millisecond)); f.answer != nil {
		t.Error("that nobody was reached is told though somebody answers again")
	}
	c.put(q, made(t, q, 60), now, 0)
	c.put(q, failed(edeRefused), now.Add(time.Minute), 0)
	if f := c.find(q, now.Add(61*time.Second), time.Time{}); f.answer != nil {
		t.Error("the count went on after an answer")
	}
}
