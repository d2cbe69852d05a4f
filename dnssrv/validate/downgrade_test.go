package validate

import (
	"bytes"
	"encoding/base64"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"pic/dnssrv/validate/signedtest"
)

func TestAnAliasThatIsAskedForMayFollowFromADNAME(t *testing.T) {
	l := newLab(t)
	for name, want := range map[string]string{
		"x.old.zone.test.": "secure", "x.old.three.test.": "secure", "x.old.plain.test.": "insecure", "alias.zone.test.": "secure",
	} {
		for _, typ := range []uint16{dns.TypeCNAME, dns.TypeANY} {
			m := l.Ask(name, typ)
			// The answer of a world goes on to where the alias leads; that was not asked.
			if i := slices.IndexFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeCNAME }); i >= 0 {
				m.Ns, m.Rcode = nil, dns.RcodeSuccess
				if r := l.Validate(t.Context(), dns.Question{Name: name, Qtype: typ, Qclass: dns.ClassINET}, m); told(r) != want || len(m.Answer) == 0 {
					t.Errorf("%s %s: %s (%s)\n%v", name, dns.Type(typ), told(r), r.Text, m)
				}
			} else {
				t.Errorf("%s %s: no alias in\n%v", name, dns.Type(typ), m)
			}
		}
	}
	l.Edit = func(_ dns.Question, m *dns.Msg) {
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CNAME); ok {
				c.Target = "evil.test."
			}
		}
	}
	if r, _ := l.look(t, "x.old.zone.test.", dns.TypeCNAME); r.State != Bogus {
		t.Errorf("another alias than the DNAME makes: %s", told(r))
	}
}

// Who trusts a zone of their own does not believe what is above it.
func TestADNAMEAboveAnAnchorIsNoWayIn(t *testing.T) {
	l := newLab(t)
	l.Validator = New(l.zone.DS(), l.Fetch, Options{})
	l.Edit = func(q dns.Question, m *dns.Msg) {
		if q.Name != "www.zone.test." {
			return
		}
		m.Answer, m.Ns = nil, nil
		for _, s := range []string{"test. 300 DNAME evil.", "www.zone.test. 300 CNAME www.zone.evil.", "www.zone.evil. 300 A 192.0.2.66"} {
			rr, err := dns.NewRR(s)
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
	}
	if r, _ := l.look(t, "www.zone.test.", dns.TypeA); r.State != Bogus {
		t.Errorf("believed: %s (%s)", told(r), r.Text)
	}
}

// A zone with one key that is supported and one that is not is secure; who takes
// the first out on the way must not make it insecure.
func TestAZoneWithAKeyThatIsSupportedIsNeverInsecure(t *testing.T) {
	l := newLab(t)
	small := dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: "far.test.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300},
		Flags: 257, Protocol: 3, Algorithm: dns.RSASHA512, PublicKey: base64.StdEncoding.EncodeToString(append([]byte{3, 1, 0, 1}, bytes.Repeat([]byte{0xb5}, 64)...)), // 512 bits
	}
	if _, ok := parseKey(&small); ok {
		t.Fatal("the small key is taken")
	}
	strip := false
	l.Edit = func(q dns.Question, m *dns.Msg) {
		if strip && q.Name == "far.test." && q.Qtype == dns.TypeDNSKEY {
			m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool {
				k, ok := rr.(*dns.DNSKEY)
				return ok && k.PublicKey != small.PublicKey
			})
		}
	}
	l.tld.AddRR(small.ToDS(dns.SHA256))
	l.far.Keys = append(l.far.Keys, signedtest.Key{DNSKEY: &small})
	if r, _ := l.look(t, "www.far.test.", dns.TypeA); r.State != Secure {
		t.Errorf("with both: %s (%s)", told(r), r.Text)
	}
	l.fresh()
	strip = true
	if r, _ := l.look(t, "www.far.test.", dns.TypeA); r.State != Bogus {
		t.Errorf("with one taken out: %s (%s)", told(r), r.Text)
	}
	l.tld.DropDS("far.test.")
	l.tld.AddRR(small.ToDS(dns.SHA256))
	l.fresh()
	strip = false
	if r, _ := l.look(t, "www.far.test.", dns.TypeA); r.State != Insecure {
		t.Errorf("with the other alone in the parent: %s (%s)", told(r), r.Text)
	}
}

// Records that come twice are one.
func TestRecordsThatComeTwiceAreOne(t *testing.T) {
	l := newLab(t)
	l.Edit = func(_ dns.Question, m *dns.Msg) {
		for _, s := range []*[]dns.RR{&m.Answer, &m.Ns} {
			for _, rr := range slices.Clone(*s) {
				*s = append(*s, dns.Copy(rr))
			}
		}
	}
	for _, zone := range []string{"zone.test.", "three.test."} {
		for _, name := range []string{"www.", "any.wild.", "nope.", "x.old.", "alias.", "b.c.", "it.walias."} {
			if r, m := l.look(t, name+zone, dns.TypeA); r.State != Secure {
				t.Errorf("%s: %s (%s)\n%v", name+zone, told(r), r.Text, m)
			}
		}
	}
}

// A name that has records has an answer to ANY: the proof that it exists does not
// say otherwise.
func TestThatThereIsNothingAtAllTakesAProofOfThat(t *testing.T) {
	l := newLab(t)
	for _, zone := range []string{"zone.test.", "three.test."} {
		for name, want := range map[string]State{"www.": Bogus, "any.wild.": Bogus, "b.c.": Secure} {
			proof := l.Ask(name+zone, dns.TypeAAAA)
			l.Edit = func(q dns.Question, m *dns.Msg) {
				if q.Name == name+zone && q.Qtype == dns.TypeANY {
					m.Answer, m.Ns, m.Rcode = nil, proof.Ns, dns.RcodeSuccess
				}
			}
			if r, _ := l.look(t, name+zone, dns.TypeANY); r.State != want {
				t.Errorf("%s: %s (%s)", name+zone, told(r), r.Text)
			}
			l.Edit = nil
		}
	}
}
