package validate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/validate/signedtest"
)

// content is what the signed zones of the tests have.
var content = []string{
	"@ A 192.0.2.1", "www A 192.0.2.2", "www A 192.0.2.3", "www TXT x", "a.b.c A 192.0.2.4",
	"*.wild A 192.0.2.5", "*.wild TXT w", "there.wild A 192.0.2.6", "*.walias CNAME www",
	"alias CNAME www", "away CNAME www.far.test.", "dangling CNAME nope", "loop CNAME pool", "pool CNAME loop",
	"plain CNAME www.plain.test.", "old DNAME new", "x.new A 192.0.2.7", "MiXed MX 10 WwW",
}

// A lab is a world of zones and a validator that looks at it.
type lab struct {
	*signedtest.World
	tld, zone, three, optout, plain, far *signedtest.Zone
	*Validator
}

func newLab(t testing.TB) *lab {
	l := &lab{World: new(signedtest.World)}
	l.Root = signedtest.NewZone(t, ".", dns.ECDSAP256SHA256)
	l.tld = signedtest.NewZone(t, "test.", dns.ED25519)
	l.zone = signedtest.NewZone(t, "zone.test.", dns.ECDSAP256SHA256, content...)
	l.three = signedtest.NewZone(t, "three.test.", dns.ECDSAP384SHA384, content...)
	l.three.NSEC3 = signedtest.Hash3(5, "ab12")
	l.optout = signedtest.NewZone(t, "optout.test.", dns.RSASHA256, content...)
	l.optout.NSEC3, l.optout.OptOut = signedtest.Hash3(0, ""), true
	l.plain = signedtest.NewZone(t, "plain.test.", 0, content...)
	l.far = signedtest.NewZone(t, "far.test.", dns.RSASHA512, content...)
	l.Root.Delegate(l.tld)
	for _, z := range []*signedtest.Zone{l.zone, l.three, l.optout, l.plain, l.far} {
		l.tld.Delegate(z)
	}
	l.optout.Delegate(signedtest.NewZone(t, "sub.optout.test.", 0, "www A 192.0.2.9"))
	l.zone.Delegate(signedtest.NewZone(t, "sub.zone.test.", 0, "www A 192.0.2.9"))
	l.zone.Delegate(signedtest.NewZone(t, "deep.er.zone.test.", dns.ECDSAP256SHA256, "www A 192.0.2.10"))
	l.three.Delegate(signedtest.NewZone(t, "sub.three.test.", 0, "www A 192.0.2.9"))
	l.fresh()
	return l
}

// fresh takes a validator that knows nothing.
func (l *lab) fresh() { l.Validator = New(l.Root.DS(), l.Fetch, Options{}) }

// look validates the answer to a question.
func (l *lab) look(t testing.TB, name string, typ uint16) (Result, *dns.Msg) {
	t.Helper()
	m := l.Ask(name, typ)
	return l.Validate(t.Context(), m.Question[0], m), m
}

// told writes a result for comparison.
func told(r Result) string {
	if r.Text == "" {
		return r.State.String()
	}
	return fmt.Sprintf("%s %d", r.State, r.Code)
}

func TestEveryKindOfAnswerIsJudged(t *testing.T) {
	l := newLab(t)
	l.three.OptOut = false
	for _, zone := range []string{"zone.test.", "three.test.", "optout.test.", "plain.test."} {
		for _, tt := range []struct {
			name    string
			typ     uint16
			want    string // in a signed zone
			optout  string // where that differs
			answers int
		}{
			{"", dns.TypeA, "secure", "", 1},
			{"", dns.TypeSOA, "secure", "", 1},
			{"", dns.TypeDNSKEY, "secure", "", 1},
			{"", dns.TypeDS, "secure", "", 1},
			{"www.", dns.TypeA, "secure", "", 2},
			{"WWW.", dns.TypeA, "secure", "", 2},
			{"mixed.", dns.TypeMX, "secure", "", 1},
			{"www.", dns.TypeAAAA, "secure", "", 0},
			{"www.", dns.TypeANY, "secure", "", 3},
			{"nope.", dns.TypeA, "secure", "insecure", 0},
			{"no.pe.www.", dns.TypeA, "secure", "insecure", 0},
			{"b.c.", dns.TypeA, "secure", "", 0},
			{"c.", dns.TypeTXT, "secure", "", 0},
			{"x.b.c.", dns.TypeTXT, "secure", "insecure", 0},
			{"any.wild.", dns.TypeA, "secure", "insecure", 1},
			{"much.lon.ger.wild.", dns.TypeA, "secure", "insecure", 1},
			{"*.wild.", dns.TypeA, "secure", "", 1},
			{"any.wild.", dns.TypeAAAA, "secure", "insecure", 0},
			{"wild.", dns.TypeA, "secure", "", 0},
			{"there.wild.", dns.TypeTXT, "secure", "", 0},
			{"below.there.wild.", dns.TypeA, "secure", "insecure", 0},
			{"it.walias.", dns.TypeA, "secure", "insecure", 3},
			{"alias.", dns.TypeA, "secure", "", 3},
			{"alias.", dns.TypeCNAME, "secure", "", 1},
			{"alias.", dns.TypeAAAA, "secure", "", 1},
			{"dangling.", dns.TypeA, "secure", "insecure", 1},
			{"away.", dns.TypeA, "secure", "", 3},
			{"plain.", dns.TypeA, "insecure", "", 3},
			{"x.old.", dns.TypeA, "secure", "", 3},
			{"y.old.", dns.TypeA, "secure", "insecure", 2},
			{"old.", dns.TypeA, "secure", "", 0},
		} {
			name := tt.name + zone
			r, m := l.look(t, name, tt.typ)
			want := tt.want
			switch {
			case zone == "plain.test." && tt.typ == dns.TypeDNSKEY:
				continue
			case zone == "plain.test." && tt.typ == dns.TypeDS:
				want, tt.answers = "secure", 0 // that there is none
			case zone == "plain.test.":
				want = "insecure"
			case zone == "optout.test." && tt.optout != "":
				want = tt.optout
			}
			n := 0
			for _, rr := range m.Answer {
				if rr.Header().Rrtype != dns.TypeRRSIG {
					n++
				}
			}
			if told(r) != want || n != tt.answers {
				t.Errorf("%s %s: %s (%s), want %s; %d records", name, dns.Type(tt.typ), told(r), r.Text, want, n)
			}
		}
	}
}

func TestDelegationsAreFollowed(t *testing.T) {
	for name, want := range map[string]string{
		"www.sub.zone.test.":      "insecure",
		"nope.sub.zone.test.":     "insecure",
		"www.sub.three.test.":     "insecure",
		"www.sub.optout.test.":    "insecure",
		"www.deep.er.zone.test.":  "secure",
		"nope.deep.er.zone.test.": "secure",
		"er.zone.test.":           "secure",
		"www.zone.test.":          "secure",
	} {
		l := newLab(t)
		r, _ := l.look(t, name, dns.TypeA)
		if told(r) != want {
			t.Errorf("%s: %s (%s), want %s", name, told(r), r.Text, want)
		}
		before := l.Stats()
		if r, _ := l.look(t, name, dns.TypeA); told(r) != want {
			t.Errorf("%s again: %s", name, told(r))
		}
		if n := l.Stats().Fetches - before.Fetches; n != 0 {
			t.Errorf("%s again: %d DS and DNSKEY records were asked for", name, n)
		}
	}
}

func TestWhatIsWrongIsBogusWithItsReason(t *testing.T) {
	strip := func(rrs []dns.RR, types ...uint16) (out []dns.RR) {
	next:
		for _, rr := range rrs {
			for _, t := range types {
				if rr.Header().Rrtype == t {
					continue next
				}
			}
			out = append(out, rr)
		}
		return out
	}
	about := func(name string, typ uint16, f func(m *dns.Msg)) func(*lab) {
		return func(l *lab) {
			l.Edit = func(q dns.Question, m *dns.Msg) {
				if q.Name == name && q.Qtype == typ {
					f(m)
				}
			}
		}
	}
	const name = "www.zone.test."
	now := time.Now()
	for what, tt := range map[string]struct {
		name string
		typ  uint16
		do   func(*lab)
		want string
	}{
		"another address": {name, dns.TypeA, about(name, dns.TypeA, func(m *dns.Msg) { m.Answer[0].(*dns.A).A[3]++ }), "bogus 6"},
		"an address more": {name, dns.TypeA, about(name, dns.TypeA, func(m *dns.Msg) {
			rr := dns.Copy(m.Answer[0]).(*dns.A)
			rr.A[3] = 99
			m.Answer = append(m.Answer, rr)
		}), "bogus 6"},
		"an address less": {name, dns.TypeA, about(name, dns.TypeA, func(m *dns.Msg) { m.Answer = m.Answer[1:] }), "bogus 6"},
		"no signature":    {name, dns.TypeA, about(name, dns.TypeA, func(m *dns.Msg) { m.Answer = strip(m.Answer, dns.TypeRRSIG) }), "bogus 10"},
		"signed by a zone that is none": {name, dns.TypeA, about(name, dns.TypeA, func(m *dns.Msg) {
			for _, rr := range m.Answer {
				if sig, ok := rr.(*dns.RRSIG); ok {
					sig.SignerName = name
				}
			}
		}), "bogus 6"},
		"unknown algorithm of a signature": {name, dns.TypeA, about(name, dns.TypeA, func(m *dns.Msg) { m.Answer[2].(*dns.RRSIG).Algorithm = 99 }), "bogus 9"},
		"expired":                          {name, dns.TypeA, func(l *lab) { l.zone.Til = now.Add(-48 * time.Hour); l.zone.From = now.Add(-200 * time.Hour) }, "bogus 7"},
		"within the skew":                  {name, dns.TypeA, func(l *lab) { l.zone.Til = now.Add(-time.Minute) }, "secure"},
		"not yet":                          {name, dns.TypeA, func(l *lab) { l.zone.From = now.Add(48 * time.Hour) }, "bogus 8"},
		"ends before it begins":            {name, dns.TypeA, func(l *lab) { l.zone.From = now.Add(400 * time.Hour) }, "bogus 25"},
		"no DNSKEY":                        {name, dns.TypeA, about("zone.test.", dns.TypeDNSKEY, func(m *dns.Msg) { m.Answer = nil }), "bogus 9"},
		"another DNSKEY": {name, dns.TypeA, func(l *lab) {
			l.zone.Keys = []signedtest.Key{signedtest.NewKey(t, "zone.test.", dns.ECDSAP256SHA256)}
		}, "bogus 9"},
		"DNSKEY not signed": {name, dns.TypeA, about("zone.test.", dns.TypeDNSKEY, func(m *dns.Msg) { m.Answer = strip(m.Answer, dns.TypeRRSIG) }), "bogus 10"},
		"no zone key bit":   {name, dns.TypeA, func(l *lab) { l.zone.Keys[0].Flags = 1 }, "bogus 11"},
		"revoked":           {name, dns.TypeA, func(l *lab) { l.zone.Keys[0].Flags |= dns.REVOKE }, "bogus 11"},
		"DS taken away": {name, dns.TypeA, about("zone.test.", dns.TypeDS, func(m *dns.Msg) {
			m.Answer, m.Ns = nil, nil
		}), "bogus 12"},
		"DS fails": {name, dns.TypeA, about("zone.test.", dns.TypeDS, func(m *dns.Msg) {
			m.Answer, m.Rcode = nil, dns.RcodeServerFailure
		}), "bogus 5"},
		"DS forged":                         {name, dns.TypeA, about("zone.test.", dns.TypeDS, func(m *dns.Msg) { m.Answer[0].(*dns.DS).KeyTag++ }), "bogus 6"},
		"DS of an unknown algorithm":        {name, dns.TypeA, func(l *lab) { ds(l.tld, "zone.test.").Algorithm = 99 }, "insecure 1"},
		"DS of RSA with SHA-1":              {name, dns.TypeA, func(l *lab) { ds(l.tld, "zone.test.").Algorithm = dns.RSASHA1 }, "insecure 1"},
		"DS of an unknown digest":           {name, dns.TypeA, func(l *lab) { ds(l.tld, "zone.test.").DigestType = 99 }, "insecure 2"},
		"DS by SHA-1":                       {name, dns.TypeA, func(l *lab) { ds(l.tld, "zone.test.").DigestType = dns.SHA1 }, "insecure 2"},
		"delegation made insecure":          {name, dns.TypeA, func(l *lab) { l.tld.DropDS("zone.test.") }, "insecure"},
		"no such name without a proof":      {"nope.zone.test.", dns.TypeA, about("nope.zone.test.", dns.TypeA, func(m *dns.Msg) { m.Ns = m.Ns[:2] }), "bogus 12"},
		"no such name without anything":     {"nope.zone.test.", dns.TypeA, about("nope.zone.test.", dns.TypeA, func(m *dns.Msg) { m.Ns = nil }), "bogus 10"},
		"no such name, of one that is":      {name, dns.TypeA, swap("nope.zone.test.", dns.TypeA, name, dns.TypeA), "bogus 12"},
		"no such name, of one that is, 3":   {"www.three.test.", dns.TypeA, swap("nope.three.test.", dns.TypeA, "www.three.test.", dns.TypeA), "bogus 12"},
		"no such type, of one that is":      {name, dns.TypeA, swap(name, dns.TypeAAAA, name, dns.TypeA), "bogus 12"},
		"no such type, of one that is, 3":   {"www.three.test.", dns.TypeA, swap("www.three.test.", dns.TypeAAAA, "www.three.test.", dns.TypeA), "bogus 12"},
		"no such type, of an alias":         {"alias.zone.test.", dns.TypeMX, swap("www.zone.test.", dns.TypeMX, "alias.zone.test.", dns.TypeMX), "bogus 12"},
		"the parent denies the child":       {"www.deep.er.zone.test.", dns.TypeA, swap("x.deep.er.zone.test.", dns.TypeDS, "www.deep.er.zone.test.", dns.TypeA), "bogus 12"},
		"a wildcard without a proof":        {"any.wild.zone.test.", dns.TypeA, about("any.wild.zone.test.", dns.TypeA, func(m *dns.Msg) { m.Ns = nil }), "bogus 12"},
		"a wildcard in place of what is":    {"there.wild.zone.test.", dns.TypeTXT, swap("any.wild.zone.test.", dns.TypeTXT, "there.wild.zone.test.", dns.TypeTXT), "bogus 12"},
		"a wildcard in place of what is, 3": {"there.wild.three.test.", dns.TypeTXT, swap("any.wild.three.test.", dns.TypeTXT, "there.wild.three.test.", dns.TypeTXT), "bogus 12"},
		"a wildcard beside its place":       {"www.zone.test.", dns.TypeTXT, swap("any.wild.zone.test.", dns.TypeTXT, "www.zone.test.", dns.TypeTXT), "bogus 6"},
		"a DNAME with a wrong alias": {"x.old.zone.test.", dns.TypeA, about("x.old.zone.test.", dns.TypeA, func(m *dns.Msg) {
			m.Answer[2].(*dns.CNAME).Target = "evil.zone.test."
		}), "bogus 6"},
		"a forged DNAME":             {"x.old.zone.test.", dns.TypeA, about("x.old.zone.test.", dns.TypeA, func(m *dns.Msg) { m.Answer[0].(*dns.DNAME).Target = "evil.zone.test." }), "bogus 6"},
		"an alias that is forged":    {"alias.zone.test.", dns.TypeA, about("alias.zone.test.", dns.TypeA, func(m *dns.Msg) { m.Answer[0].(*dns.CNAME).Target = "www.plain.test." }), "bogus 6"},
		"an alias out of the blue":   {"www.zone.test.", dns.TypeA, swap("alias.plain.test.", dns.TypeA, "www.zone.test.", dns.TypeA), "bogus 10"},
		"a loop of aliases":          {"loop.zone.test.", dns.TypeA, func(*lab) {}, "bogus 6"},
		"NSEC3 of 51 iterations":     {"nope.three.test.", dns.TypeA, func(l *lab) { l.three.NSEC3 = signedtest.Hash3(51, "ab") }, "insecure 27"},
		"NSEC3 of 50 iterations":     {"nope.three.test.", dns.TypeA, func(l *lab) { l.three.NSEC3 = signedtest.Hash3(50, "ab") }, "secure"},
		"NSEC3 with a long salt":     {"nope.three.test.", dns.TypeA, func(l *lab) { l.three.NSEC3 = signedtest.Hash3(1, strings.Repeat("ab", 65)) }, "insecure 27"},
		"NSEC3 of another hash":      {"nope.three.test.", dns.TypeA, func(l *lab) { l.three.NSEC3 = signedtest.Hash3(1, "ab"); l.Edit = rehash(l.three) }, "bogus 12"},
		"the code says the wrong":    {"www.zone.test.", dns.TypeAAAA, about("www.zone.test.", dns.TypeAAAA, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }), "secure"},
		"the code hides NXDOMAIN":    {"nope.zone.test.", dns.TypeA, about("nope.zone.test.", dns.TypeA, func(m *dns.Msg) { m.Rcode = dns.RcodeSuccess }), "bogus 12"},
		"the name is in no anchor":   {"www.zone.test.", dns.TypeA, func(l *lab) { l.Validator = New(l.far.DS(), l.Fetch, Options{}) }, "indeterminate"},
		"the domain is exempt":       {"www.zone.test.", dns.TypeA, func(l *lab) { l.Validator = New(l.Root.DS(), l.Fetch, Options{Unsigned: []string{"Zone.test"}}) }, "insecure"},
		"an anchor within":           {"www.zone.test.", dns.TypeA, func(l *lab) { l.Validator = New(l.zone.DS(), l.Fetch, Options{}) }, "secure"},
		"an anchor that is a leaf":   {"www.plain.test.", dns.TypeA, func(l *lab) { l.Validator = New(append(l.Root.DS(), anchor(t, "plain.test.")), l.Fetch, Options{}) }, "bogus 9"},
		"DS of an anchor":            {"zone.test.", dns.TypeDS, func(l *lab) { l.Validator = New(append(l.Root.DS(), l.zone.DS()...), l.Fetch, Options{}) }, "secure"},
		"a root of another":          {"www.zone.test.", dns.TypeA, func(l *lab) { l.Validator = New(Root(), l.Fetch, Options{}) }, "bogus 9"},
		"RSA of 512 bits counts not": {"www.far.test.", dns.TypeA, small, "insecure 1"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			tt.do(l)
			r, m := l.look(t, tt.name, tt.typ)
			if told(r) != tt.want {
				t.Errorf("%s (%s), want %s\n%v", told(r), r.Text, tt.want, m)
			}
			if strings.HasPrefix(tt.want, "bogus") && r.Text == "" {
				t.Error("it is not said why")
			}
		})
	}
}

// ds returns the DS record of child, to be changed.
func ds(z *signedtest.Zone, child string) *dns.DS {
	for _, rr := range z.Records[child] {
		if ds, ok := rr.(*dns.DS); ok {
			return ds
		}
	}
	return nil
}

func anchor(t testing.TB, zone string) *dns.DS {
	return signedtest.NewKey(t, zone, dns.ED25519).ToDS(dns.SHA256)
}

// swap answers one question with what another gets, with its own code.
func swap(from string, typ uint16, at string, typ2 uint16) func(*lab) {
	return func(l *lab) {
		other := l.Ask(from, typ)
		l.Edit = func(q dns.Question, m *dns.Msg) {
			if q.Name == at && q.Qtype == typ2 {
				m.Answer, m.Ns, m.Rcode = other.Answer, other.Ns, other.Rcode
				for _, rr := range m.Answer {
					if rr.Header().Name == from {
						rr.Header().Name = at
					}
				}
			}
		}
	}
}

// rehash makes the hash algorithm of NSEC3 records one that nobody knows.
func rehash(z *signedtest.Zone) func(dns.Question, *dns.Msg) {
	return func(_ dns.Question, m *dns.Msg) {
		for i, rr := range m.Ns {
			if n, ok := rr.(*dns.NSEC3); ok {
				n.Hash = 2
				for k, sig := range m.Ns {
					if s, ok := sig.(*dns.RRSIG); ok && s.Hdr.Name == n.Hdr.Name {
						m.Ns[k] = z.Sign(m.Ns[i : i+1])[0]
					}
				}
			}
		}
	}
}

// small gives far.test. a key of 512 bits, which is signed for by nobody, since
// the library does not make such signatures.
func small(l *lab) {
	k := l.far.Keys[0]
	short := *k.DNSKEY
	short.PublicKey = short.PublicKey[:88] + "=="
	if len(short.PublicKey)%4 != 0 {
		short.PublicKey = k.PublicKey[:92]
	}
	l.tld.DropDS("far.test.")
	l.tld.AddRR(short.ToDS(dns.SHA256))
	l.far.Keys = append(l.far.Keys, signedtest.Key{DNSKEY: &short})
}
