package dnssrv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv/iterate"
	"pic/dnssrv/validate"
	"pic/internal/nettest"
)

// document is a document that finds out names from the root of h on.
func (h *hierarchy) document() *config.Document {
	d := lab()
	d.DNS.Resolver = config.ResolveRecurse
	d.DNS.Roots = []string{rootAddr}
	d.DNS.Validate, d.DNS.Anchors = config.ValidateAuto, []string{h.anchor}
	return d
}

// summary is what a message says: response code, AD, and the records without their
// TTLs and signatures.
func summary(m *dns.Msg) string {
	var rrs []string
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			continue
		}
		c := dns.Copy(rr)
		c.Header().Ttl = 0
		rrs = append(rrs, strings.ToLower(c.String()))
	}
	slices.Sort(rrs)
	return fmt.Sprintf("%s ad=%v\n%s", dns.RcodeToString[m.Rcode], m.AuthenticatedData, strings.Join(rrs, "\n"))
}

// From the root on, through servers of all makes, the cell finds what Unbound
// does, and believes the same of it.
func TestRecursionFindsWhatUnboundFinds(t *testing.T) {
	h := newHierarchy(t)
	oracle := h.unbound()
	s := start(t, conf(h.document()), nil)
	c := dns.Client{Net: "tcp", Timeout: 10 * time.Second}
	secure, failed := 0, 0
	for _, q := range []string{
		"www.good.example A", "www.good.example AAAA", "nope.good.example A", "b.good.example A", "x.wild.good.example A",
		"x.wild.good.example TXT", "alias.good.example A", "out.good.example A", "www.old.good.example A", "far.good.example A",
		"many.good.example TXT", "good.example DNSKEY", "good.example DS", "good.example SOA", "example DS", "x.y.deep.good.example A",
		"y.deep.good.example A", "q.y.deep.good.example A", "nowhere.good.example A",
		"www.sub.good.example A", "sub.good.example DS", "nope.sub.good.example A",
		"www.three.example A", "nope.three.example A", "www.three.example MX", "x.wild.three.example A", "x.wild.three.example MX", "far.three.example A",
		"www.plain.example A", "nope.plain.example A", "plain.example DS",
		"www.glueless.example A", "www.dead.example A", "www.lame.example A", "www.six.example A", "www.rude.example A",
		"x.y.deep.rude.example A", "www.trap.example A", "www.cross.other A", "www.other A", "hosting.other NS", "other SOA", "nope.hosting.other A",
		"www.bogus.example A", "www.loop.other A", "www.lost.other A", "nope A", "a.b.c.nope A", ". NS", ". DNSKEY", "example NS",
	} {
		name, typ, _ := strings.Cut(q, " ")
		name = dns.Fqdn(name)
		m := new(dns.Msg).SetQuestion(name, dns.StringToType[typ])
		m.SetEdns0(1232, true)
		got := ask(t, s, "tcp", name, dns.StringToType[typ], wantDO)
		var want *dns.Msg
		nettest.WaitFor(t, 20*time.Second, func() bool { // it drops questions while it waits for dead servers
			var err error
			want, _, err = c.Exchange(m, oracle)
			return err == nil
		})
		if summary(got) != summary(want) {
			t.Errorf("%s: %s\nUnbound: %s", q, summary(got), summary(want))
		}
		if got.AuthenticatedData {
			secure++
		}
		if got.Rcode == dns.RcodeServerFailure {
			failed++
		}
	}
	if secure < 25 || failed != 4 {
		t.Errorf("%d answers were secure and %d failed", secure, failed)
	}
	if m := ask(t, s, "udp", "www.odd.example.", dns.TypeA); brief(m) != "NOERROR | www.odd.example. A 192.0.2.1" {
		t.Errorf("a server without EDNS: %s", brief(m))
	}
	st := s.Stats()
	if st.Recursion == nil || st.Recursion.Delegations < 10 || st.Recursion.Sent == 0 || st.Recursion.Silent || !st.Validating {
		t.Errorf("%+v", st.Recursion)
	}
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("problems: %+v", p)
	}
}

// A question whose zones take all the messages that it may cost says nothing of the
// names that come after: whoever asks for those next is answered.
func TestWhatOneQuestionCannotPayForIsNotLostForOthers(t *testing.T) {
	soa, err := dns.NewRR(". 60 IN SOA a. b. 1 1 1 1 60")
	if err != nil {
		t.Fatal(err)
	}
	g := &group{route: route{domain: root, recurse: true}, id: 1, iter: iterate.New(iterate.Options{
		Hints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5300")},
		Ask: func(_ context.Context, _ netip.AddrPort, q dns.Question, _ bool) (*dns.Msg, error) {
			m := &dns.Msg{Question: []dns.Question{q}, Ns: []dns.RR{soa}}
			m.Response, m.Authoritative, m.Rcode = true, true, dns.RcodeNameError
			return m, nil
		},
	})}
	defer g.iter.Close()
	f := newForwarder(1 << 20)
	f.routing.Store(&routing{by: map[name]*group{root: g}, root: g})
	ctx := iterate.Budget(t.Context())
	for i := range 1000 {
		if _, err := g.iter.Resolve(ctx, iterate.Question{Name: fmt.Sprintf("n%d.", i), Type: dns.TypeA}); err != nil {
			break
		}
	}
	if !iterate.Spent(ctx) {
		t.Fatal("something is left to spend")
	}
	if _, err := f.fetch(ctx, "victim.", dns.TypeDS); !errors.Is(err, validate.ErrSpent) {
		t.Error(err)
	}
	if m, err := f.fetch(t.Context(), "victim.", dns.TypeDS); err != nil || m.Rcode != dns.RcodeNameError {
		t.Errorf("%v, %v", m, err)
	}
}
