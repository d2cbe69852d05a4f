package dnssrv

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/nettest"
)

// A small is a root and one server of lab., both of our own.
type small struct {
	root, leaf atomic.Int64 // questions
	dead       atomic.Bool  // nobody answers
	names      sync.Map     // asked of the leaf
}

const (
	smallRoot = "127.2.0.1"
	smallLeaf = "127.2.0.2"
)

func newSmall(t *testing.T) *small {
	t.Helper()
	nettest.NeedNamespace(t)
	s := new(small)
	serveAt(t, smallRoot, func(w dns.ResponseWriter, r *dns.Msg) {
		if s.root.Add(1); s.dead.Load() {
			return
		}
		m := new(dns.Msg).SetReply(r)
		add := func(to *[]dns.RR, text string) {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Error(err)
			}
			*to = append(*to, rr)
		}
		switch name := dns.CanonicalName(r.Question[0].Name); {
		case name == ".":
			m.Authoritative = true
			add(&m.Answer, ". 3600 IN NS ns.root.")
			add(&m.Extra, "ns.root. 3600 IN A "+smallRoot)
		case dns.IsSubDomain("lab.", name):
			add(&m.Ns, "lab. 3600 IN NS ns.lab.")
			add(&m.Extra, "ns.lab. 3600 IN A "+smallLeaf)
		default:
			m.Authoritative, m.Rcode = true, dns.RcodeNameError
			add(&m.Ns, ". 60 IN SOA ns.root. hm.root. 1 2 3 4 60")
		}
		w.WriteMsg(m)
	})
	serveAt(t, smallLeaf, func(w dns.ResponseWriter, r *dns.Msg) {
		s.leaf.Add(1)
		q := r.Question[0]
		name := dns.CanonicalName(q.Name)
		s.names.Store(name, true)
		if s.dead.Load() {
			return
		}
		m := new(dns.Msg).SetReply(r)
		m.Authoritative = true
		text := map[string]string{
			"www.lab. A": "300 IN A 198.51.100.1", "four.lab. A": "300 IN A 198.51.100.4", "brief.lab. A": "1 IN A 198.51.100.2",
			"inside.lab. A": "300 IN A 192.168.1.1", "alias.lab. A": "300 IN CNAME x.corp.lab.", "slow.lab. A": "300 IN A 198.51.100.3",
		}[name+" "+dns.TypeToString[q.Qtype]]
		if name == "slow.lab." {
			time.Sleep(50 * time.Millisecond) // so that others come meanwhile
		}
		if rr, err := dns.NewRR(q.Name + " " + text); text != "" && err == nil {
			m.Answer = append(m.Answer, rr)
		} else {
			rr, _ := dns.NewRR("lab. 300 IN SOA ns.lab. hm.lab. 1 2 3 4 300")
			m.Ns = append(m.Ns, rr)
		}
		w.WriteMsg(m)
	})
	return s
}

func (s *small) asked(name string) bool { _, ok := s.names.Load(name); return ok }

func (s *small) document() *config.Document {
	d := lab()
	d.DNS.Resolver, d.DNS.Roots = config.ResolveRecurse, []string{smallRoot}
	return d
}

// Whoever is asked, zones of the cell go first and domains of other resolvers
// next; private addresses are taken out, and made up ones for IPv6 put in.
func TestRecursionIsOneOfTheWaysToAnAnswer(t *testing.T) {
	w := newSmall(t)
	corp := source(t, func(rw dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		rr, _ := dns.NewRR(r.Question[0].Name + " 300 IN A 10.1.1.1")
		m.Answer = append(m.Answer, rr)
		rw.WriteMsg(m)
	})
	d := w.document()
	d.DNS.Zones = []config.Zone{{Name: "own.lab", Records: []config.Record{{Name: "www", Type: "A", Value: "192.0.2.7"}}}}
	d.DNS.Forwards = []config.Forward{{Name: "corp.lab", Upstreams: []string{corp.addr}}}
	d.DNS.DNS64 = netip.MustParsePrefix("64:ff9b::/96")
	s := start(t, conf(d), nil)
	for _, tt := range []struct {
		name string
		typ  uint16
		want string
	}{
		{"www.lab.", dns.TypeA, "NOERROR | www.lab. A 198.51.100.1"},
		{"www.own.lab.", dns.TypeA, "NOERROR aa | www.own.lab. A 192.0.2.7"},
		{"x.corp.lab.", dns.TypeA, "NOERROR | x.corp.lab. A 10.1.1.1"},
		{"alias.lab.", dns.TypeA, "NOERROR | alias.lab. CNAME x.corp.lab. | x.corp.lab. A 10.1.1.1"},
		{"inside.lab.", dns.TypeA, "NOERROR"},
		{"four.lab.", dns.TypeAAAA, "NOERROR | four.lab. AAAA 64:ff9b::c633:6404"},
		{"nope.", dns.TypeA, "NXDOMAIN"},
		{"x.localhost.", dns.TypeA, "NOERROR aa | x.localhost. A 127.0.0.1"},
	} {
		if got := brief(ask(t, s, "udp", tt.name, tt.typ)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	for _, n := range []string{"www.own.lab.", "own.lab.", "x.corp.lab.", "corp.lab."} {
		if w.asked(n) {
			t.Errorf("the servers of lab. were asked for %s", n)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if r := s.forward.resolve(ctx, question{name: mustName("www.lab"), typ: dns.TypeA}); r.upstream != smallLeaf {
		t.Errorf("it is said to be from %q", r.upstream)
	}
}

// Those who ask the same at the same time wait for one answer.
func TestEqualQuestionsAreFollowedOnce(t *testing.T) {
	w := newSmall(t)
	s := start(t, conf(w.document()), nil)
	ask(t, s, "udp", "www.lab.", dns.TypeA)
	before := w.leaf.Load()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := brief(ask(t, s, "udp", "slow.lab.", dns.TypeA)); !strings.Contains(got, "198.51.100.3") {
				t.Error(got)
			}
		})
	}
	wg.Wait()
	if n := w.leaf.Load() - before; n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
}

// While nobody answers, what was known is told before clients give up, and who has
// nothing is told why.
func TestWhatWasKnownIsToldWhileNobodyAnswers(t *testing.T) {
	w := newSmall(t)
	d := w.document()
	d.DNS.Stale = config.Duration(time.Hour)
	s := start(t, conf(d), nil)
	if got := brief(ask(t, s, "udp", "brief.lab.", dns.TypeA)); !strings.Contains(got, "198.51.100.2") {
		t.Fatal(got)
	}
	w.dead.Store(true)
	q := question{name: mustName("brief.lab"), typ: dns.TypeA, set: s.forward.routing.Load().root.id}
	nettest.WaitFor(t, 5*time.Second, func() bool { _, _, ok := s.forward.cache.get(q, time.Now()); return !ok })
	begun := time.Now()
	m := ask(t, s, "tcp", "brief.lab.", dns.TypeA, edns)
	if got := brief(m); !strings.Contains(got, "198.51.100.2") || time.Since(begun) > 3*time.Second || !strings.Contains(fmt.Sprint(m.Extra), "Stale") {
		t.Errorf("after %v: %s", time.Since(begun), m)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			m := ask(t, s, "tcp", fmt.Sprintf("new%d.lab.", i), dns.TypeA, edns)
			if m.Rcode != dns.RcodeServerFailure || !strings.Contains(fmt.Sprint(m.Extra), "no name server") {
				t.Errorf("%s", m)
			}
		})
	}
	wg.Wait()
	found := false
	for _, p := range s.Problems() {
		found = found || p.Code == "dns/nobody-answers"
	}
	if !found {
		t.Errorf("no problem says so: %+v", s.Stats().Recursion)
	}
}
