package validate

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/validate/signedtest"
)

func TestTTLsEndWithTheSignature(t *testing.T) {
	l := newLab(t)
	l.Edit = func(_ dns.Question, m *dns.Msg) {
		for _, rr := range m.Answer {
			rr.Header().Ttl = 86400
		}
	}
	if _, m := l.look(t, "www.zone.test.", dns.TypeA); m.Answer[0].Header().Ttl != 300 {
		t.Errorf("signed for 300 s, told %d", m.Answer[0].Header().Ttl)
	}
	l.zone.Til = time.Now().Add(90 * time.Second)
	for _, rr := range func() []dns.RR { _, m := l.look(t, "www.zone.test.", dns.TypeA); return m.Answer }() {
		if ttl := rr.Header().Ttl; ttl > 90 || ttl < 80 {
			t.Errorf("signed for 90 s more, told %d", ttl)
		}
	}
}

func TestOnlyWhatIsProvenIsLeft(t *testing.T) {
	l := newLab(t)
	evil, _ := dns.NewRR("bank.example. 300 IN A 192.0.2.66")
	l.Edit = func(_ dns.Question, m *dns.Msg) {
		m.Answer = append(m.Answer, evil)
		m.Ns = append(m.Ns, evil)
		m.Extra = append(m.Extra, evil)
		m.SetEdns0(1232, true)
	}
	for name, want := range map[string][2]int{"www.zone.test.": {3, 0}, "any.wild.zone.test.": {2, 2}, "nope.zone.test.": {0, 6}} {
		r, m := l.look(t, name, dns.TypeA)
		if r.State != Secure || len(m.Answer) != want[0] || len(m.Ns) != want[1] || len(m.Extra) != 1 {
			t.Errorf("%s: %v\n%v", name, r, m)
		}
	}
}

func TestTheEndOfTimeIsNoVerdict(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := l.Ask("www.zone.test.", dns.TypeA)
	if r := l.Validate(ctx, m.Question[0], m); r.State != Bogus || !r.Brief {
		t.Errorf("got %+v", r)
	}
	if r, _ := l.look(t, "www.zone.test.", dns.TypeA); r.State != Secure {
		t.Errorf("afterwards: %+v", r)
	}
}

// What could not be asked, for the answer had cost all it may, is asked for the
// next one.
func TestWhatOneAnswerCannotPayForIsAskedForTheNext(t *testing.T) {
	l := newLab(t)
	spent := true
	l.Validator = New(l.Root.DS(), func(ctx context.Context, name string, typ uint16) (*dns.Msg, error) {
		if spent && name != "." {
			return nil, fmt.Errorf("asking for %s: %w", name, ErrSpent)
		}
		return l.Fetch(ctx, name, typ)
	}, Options{})
	if r, _ := l.look(t, "www.zone.test.", dns.TypeA); r.State != Bogus {
		t.Errorf("unproven: %+v", r)
	}
	spent = false
	if r, _ := l.look(t, "www.zone.test.", dns.TypeA); r.State != Secure {
		t.Errorf("afterwards: %+v", r)
	}
}

func TestAClockThatCannotBeRightCountsNot(t *testing.T) {
	l := newLab(t)
	was := time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)
	for credible, want := range map[time.Time]string{{}: "bogus 8", time.Now().Add(-time.Hour): "secure"} {
		l.Validator = New(l.Root.DS(), l.Fetch, Options{Now: func() time.Time { return was }, Credible: credible})
		if r, m := l.look(t, "www.zone.test.", dns.TypeA); told(r) != want || m.Answer[0].Header().Ttl != 300 {
			t.Errorf("credible from %v: %+v", credible, r)
		}
	}
}

func TestAnchorsAreRead(t *testing.T) {
	for s, ok := range map[string]bool{
		". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D":       true,
		"corp.example. DS 1 13 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D": true,
		". IN DS 20326 8 2 E06D44B80B8F1D39":                                                       false,
		". IN DS 20326 5 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D":       false,
		". IN DS 20326 8 1 E06D44B80B8F1D39A95C0B0D7C65D08458E88040":                               false,
		". IN A 192.0.2.1": false,
		"":                 false,
		"nonsense":         false,
	} {
		if _, err := ParseAnchor(s); (err == nil) != ok {
			t.Errorf("%s: %v", s, err)
		}
	}
	k := signedtest.NewKey(t, "corp.example.", dns.ED25519)
	got, err := ParseAnchor(k.String())
	if err != nil || got.String() != k.ToDS(dns.SHA256).String() {
		t.Errorf("of a DNSKEY: %v, %v", got, err)
	}
	if len(Root()) != 2 {
		t.Error("the root has two keys")
	}
	for _, ds := range Root() {
		if _, err := ParseAnchor(ds.String()); err != nil {
			t.Error(err)
		}
	}
}

// A server that answers for parent and child alike may show the unsigned
// delegation instead of proving anything.
func TestADelegationThatIsShownIsEnough(t *testing.T) {
	for _, zone := range []string{"zone.test.", "three.test."} {
		l := newLab(t)
		name := "www.sub." + zone
		shown := l.Ask("sub."+zone, dns.TypeDS)
		l.Edit = func(q dns.Question, m *dns.Msg) {
			if q.Name == name {
				m.Answer, m.Ns = nil, shown.Ns
			}
			if q.Qtype == dns.TypeDS && q.Name == "sub."+zone {
				m.Answer, m.Ns, m.Rcode = nil, nil, dns.RcodeServerFailure
			}
		}
		if r, _ := l.look(t, name, dns.TypeAAAA); told(r) != "insecure" {
			t.Errorf("%s: %s (%s)", name, told(r), r.Text)
		}
	}
}
