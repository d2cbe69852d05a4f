package dnssrv

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv/validate/signedtest"
	"pic/internal/listen"
)

// universe is a root, example. and zones below, as a resolver tells them.
func universe(t testing.TB) (*signedtest.World, *signedtest.Zone) {
	t.Helper()
	w := &signedtest.World{Root: signedtest.NewZone(t, ".", dns.ECDSAP256SHA256)}
	top := signedtest.NewZone(t, "example.", dns.ED25519)
	shop := signedtest.NewZone(t, "shop.example.", dns.ECDSAP256SHA256,
		"www A 192.0.2.80", "www AAAA 2001:db8::80", "alias CNAME www", "*.wild A 192.0.2.81", "out CNAME www.corp.example.",
		"lan A 192.168.1.1", "private CNAME lan")
	plain := signedtest.NewZone(t, "plain.example.", 0, "www A 192.0.2.82")
	w.Root.Delegate(top)
	top.Delegate(shop)
	top.Delegate(plain)
	return w, shop
}

// resolving answers by w. Without CD it says that all is well, as a resolver that
// was talked into something does.
func resolving(w *signedtest.World, count *atomic.Int64) dns.HandlerFunc {
	return func(rw dns.ResponseWriter, r *dns.Msg) {
		if count != nil {
			count.Add(1)
		}
		q := r.Question[0]
		m := w.Ask(q.Name, q.Qtype)
		m.Id, m.AuthenticatedData, m.CheckingDisabled = r.Id, !r.CheckingDisabled, r.CheckingDisabled
		if o := r.IsEdns0(); o == nil || !o.Do() {
			m.Answer, m.Ns = without(m.Answer), without(m.Ns)
		} else {
			m.SetEdns0(1232, true)
		}
		if rw.RemoteAddr().Network() == "udp" {
			m.Truncate(1232)
		}
		rw.WriteMsg(m)
	}
}

func without(rrs []dns.RR) (out []dns.RR) {
	for _, rr := range rrs {
		switch rr.Header().Rrtype {
		case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3:
		default:
			out = append(out, rr)
		}
	}
	return out
}

// trusting is a document that resolves by w and trusts its root.
func trusting(w *signedtest.World, upstreams ...string) *config.Document {
	d := lab(upstreams...)
	d.DNS.Validate = config.ValidateAuto
	for _, ds := range w.Root.DS() {
		d.DNS.Anchors = append(d.DNS.Anchors, ds.String())
	}
	return d
}

func expire(z *signedtest.Zone) {
	z.From, z.Til = time.Now().Add(-20*24*time.Hour), time.Now().Add(-7*24*time.Hour)
}

func wantAD(m *dns.Msg) { m.AuthenticatedData = true }
func wantCD(m *dns.Msg) { m.CheckingDisabled = true }

// flags is brief with the flag AD and without signatures.
func flags(m *dns.Msg) string {
	m = m.Copy()
	m.Answer = without(m.Answer)
	if m.AuthenticatedData {
		return "ad " + brief(m)
	}
	return brief(m)
}

func TestAnswersFromOutsideAreChecked(t *testing.T) {
	w, shop := universe(t)
	var count atomic.Int64
	w.Edit = func(q dns.Question, m *dns.Msg) {
		if strings.HasPrefix(q.Name, "forged.") && q.Qtype == dns.TypeA {
			rr, _ := dns.NewRR(q.Name + " 300 IN A 192.0.2.66")
			m.Answer, m.Ns, m.Rcode = []dns.RR{rr}, nil, dns.RcodeSuccess
		}
	}
	up := source(t, resolving(w, &count))
	s := start(t, conf(trusting(w, up.addr)), nil)
	for _, tt := range []struct {
		name string
		typ  uint16
		with []func(*dns.Msg)
		want string
	}{
		{"www.shop.example.", dns.TypeA, nil, "NOERROR | www.shop.example. A 192.0.2.80"},
		{"www.shop.example.", dns.TypeA, []func(*dns.Msg){edns}, "NOERROR | www.shop.example. A 192.0.2.80"},
		{"www.shop.example.", dns.TypeA, []func(*dns.Msg){wantAD}, "ad NOERROR | www.shop.example. A 192.0.2.80"},
		{"www.shop.example.", dns.TypeA, []func(*dns.Msg){wantDO}, "ad NOERROR | www.shop.example. A 192.0.2.80"},
		{"www.shop.example.", dns.TypeA, []func(*dns.Msg){wantDO, wantCD}, "NOERROR | www.shop.example. A 192.0.2.80"},
		{"alias.shop.example.", dns.TypeA, []func(*dns.Msg){wantDO}, "ad NOERROR | alias.shop.example. CNAME www.shop.example. | www.shop.example. A 192.0.2.80"},
		{"x.wild.shop.example.", dns.TypeA, []func(*dns.Msg){wantDO}, "ad NOERROR | x.wild.shop.example. A 192.0.2.81"},
		{"nope.shop.example.", dns.TypeA, []func(*dns.Msg){wantDO}, "ad NXDOMAIN"},
		{"www.shop.example.", dns.TypeMX, []func(*dns.Msg){wantAD}, "ad NOERROR"},
		{"www.plain.example.", dns.TypeA, []func(*dns.Msg){wantDO}, "NOERROR | www.plain.example. A 192.0.2.82"},
		{"www.plain.example.", dns.TypeA, []func(*dns.Msg){wantAD}, "NOERROR | www.plain.example. A 192.0.2.82"},
		{"forged.shop.example.", dns.TypeA, []func(*dns.Msg){edns}, "SERVFAIL EDE 10"},
		{"forged.shop.example.", dns.TypeA, []func(*dns.Msg){wantDO}, "SERVFAIL EDE 10"},
		{"forged.shop.example.", dns.TypeA, nil, "SERVFAIL"},
		{"forged.shop.example.", dns.TypeA, []func(*dns.Msg){edns, wantCD}, "NOERROR | forged.shop.example. A 192.0.2.66"},
		{"forged.plain.example.", dns.TypeA, []func(*dns.Msg){wantDO}, "NOERROR | forged.plain.example. A 192.0.2.66"},
	} {
		for i := range 3 { // from upstream, from the cache, from the hot one
			if got := flags(ask(t, s, "udp", tt.name, tt.typ, tt.with...)); got != tt.want {
				t.Errorf("%s %s, time %d: got %s, want %s", tt.name, typeName(tt.typ), i, got, tt.want)
			}
		}
	}
	checks, sent := s.trust.validator.Load().Stats().Checks, count.Load()
	for range 10 {
		ask(t, s, "udp", "www.shop.example.", dns.TypeA, wantDO)
		ask(t, s, "udp", "alias.shop.example.", dns.TypeA, wantDO)
	}
	if n := s.trust.validator.Load().Stats().Checks - checks; n != 0 || count.Load() != sent {
		t.Errorf("what was known took %d signatures and %d questions", n, count.Load()-sent)
	}
	// Signatures come to those who want them, proofs of a wildcard included.
	if r := ask(t, s, "udp", "x.wild.shop.example.", dns.TypeA, wantDO); len(r.Answer) != 2 || len(r.Ns) != 2 {
		t.Errorf("with DO: %v", r)
	}
	if r := ask(t, s, "udp", "x.wild.shop.example.", dns.TypeA, edns); len(r.Answer) != 1 || len(r.Ns) != 0 {
		t.Errorf("without DO: %v", r)
	}
	w.Change(func() { expire(shop) })
	s.Flush()
	if got := flags(ask(t, s, "udp", "www.shop.example.", dns.TypeA, edns)); got != "SERVFAIL EDE 7" {
		t.Errorf("expired: %s", got)
	}
}

func TestUpstreamsThatStripSignaturesAreFoundOut(t *testing.T) {
	w, _ := universe(t)
	var strips atomic.Bool
	var unsafe atomic.Int64 // questions with CD that an upstream without signatures got
	strips.Store(true)
	h := resolving(w, nil)
	up := source(t, func(rw dns.ResponseWriter, r *dns.Msg) {
		if !strips.Load() {
			h(rw, r)
			return
		}
		if r.CheckingDisabled && r.Question[0].Qtype != dns.TypeDNSKEY {
			unsafe.Add(1)
		}
		m := w.Ask(r.Question[0].Name, r.Question[0].Qtype)
		m.Id, m.Answer, m.Ns = r.Id, without(m.Answer), without(m.Ns)
		rw.WriteMsg(m)
	})
	d := trusting(w, up.addr)
	s := start(t, conf(d), nil)
	const want = "NOERROR | www.shop.example. A 192.0.2.80"
	if got := flags(ask(t, s, "udp", "www.shop.example.", dns.TypeA, wantAD)); got != want {
		t.Errorf("auto: %s", got)
	}
	if n := unsafe.Load(); n != 0 {
		t.Errorf("the upstream was told %d times not to check", n)
	}
	p := s.trust.problems()
	if len(p) != 1 || p[0].Code != "dns/no-dnssec" || !strings.Contains(p[0].Text, up.addr) {
		t.Errorf("problems: %+v", p)
	}
	strips.Store(false)
	<-s.trust.probe(0).all
	if got := flags(ask(t, s, "udp", "www.shop.example.", dns.TypeA, wantAD)); got != "ad "+want {
		t.Errorf("once it passes them on: %s", got)
	}
	if p := s.trust.problems(); len(p) != 0 {
		t.Errorf("problems: %+v", p)
	}
	strips.Store(true)
	d.DNS.Validate = config.ValidateOn
	if err := s.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	s.Flush()
	if got := flags(ask(t, s, "udp", "www.shop.example.", dns.TypeA, edns)); !strings.HasPrefix(got, "SERVFAIL EDE ") {
		t.Errorf("on: %s", got)
	}
	<-s.trust.probe(0).all
	if p := s.trust.problems(); len(p) != 1 || p[0].Severity != "failure" {
		t.Errorf("on: %+v", p)
	}
	d.DNS.Validate = config.ValidateOff
	if err := s.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	if got := flags(ask(t, s, "udp", "www.shop.example.", dns.TypeA, wantAD)); got != want {
		t.Errorf("off: %s", got)
	}
	if p := s.trust.problems(); len(p) != 0 {
		t.Errorf("off: %+v", p)
	}
}

// A domain with upstreams of its own is checked only if the document says so.
func TestForwardsAreCheckedWhenAsked(t *testing.T) {
	w, _ := universe(t)
	up := source(t, resolving(w, nil))
	corp := source(t, func(rw dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		m.RecursionAvailable = true
		m.Answer = []dns.RR{address(r.Question[0].Name, netip.MustParseAddr("192.0.2.99"), 300)}
		rw.WriteMsg(m)
	})
	d := trusting(w, up.addr)
	d.DNS.Forwards = []config.Forward{{Name: "corp.example", Upstreams: []string{corp.addr}}}
	s := start(t, conf(d), nil)
	for name, want := range map[string]string{
		"www.corp.example.": "NOERROR | www.corp.example. A 192.0.2.99",
		"out.shop.example.": "NOERROR | out.shop.example. CNAME www.corp.example. | www.corp.example. A 192.0.2.99",
	} {
		if got := flags(ask(t, s, "udp", name, dns.TypeA, wantDO)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	d.DNS.Forwards[0].Validate = true
	if err := s.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	if got := flags(ask(t, s, "udp", "www.corp.example.", dns.TypeA, edns)); !strings.HasPrefix(got, "SERVFAIL EDE ") {
		t.Errorf("checked: %s", got)
	}
}

// What is not to be believed stays so: no old answer, no other address family
// and no private address comes of it.
func TestBogusStaysBogus(t *testing.T) {
	w, shop := universe(t)
	up := source(t, resolving(w, nil))
	d := trusting(w, up.addr)
	d.DNS.DNS64 = netip.MustParsePrefix("64:ff9b::/96")
	s := start(t, conf(d), nil)
	if got := flags(ask(t, s, "udp", "www.shop.example.", dns.TypeAAAA, wantAD)); got != "ad NOERROR | www.shop.example. AAAA 2001:db8::80" {
		t.Errorf("before: %s", got)
	}
	// What is taken out is no longer what was signed.
	if got := flags(ask(t, s, "udp", "lan.shop.example.", dns.TypeA, wantAD)); strings.HasPrefix(got, "ad") || strings.Contains(got, "192.168") {
		t.Errorf("rebinding: %s", got)
	}
	w.Change(func() { expire(shop) })
	s.Flush()
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if got := flags(ask(t, s, "udp", "www.shop.example.", typ, edns)); got != "SERVFAIL EDE 7" {
			t.Errorf("%s: %s", typeName(typ), got)
		}
	}
	if got := flags(ask(t, s, "udp", "lan.shop.example.", dns.TypeA, edns)); got != "SERVFAIL EDE 7" {
		t.Errorf("rebinding: %s", got)
	}
}

func TestAnchorsOfTheDocumentAreRead(t *testing.T) {
	d := lab("192.0.2.1")
	d.DNS.Anchors = []string{". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D", ". DS 1 5 1 00"}
	err := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)}).Check(t.Context(), conf(d))
	if err == nil || !strings.Contains(fmt.Sprint(err), "dns.anchors.1") {
		t.Errorf("got %v", err)
	}
}
