package validate

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// said is what a client without DO learns from an answer.
func said(m *dns.Msg) string {
	out := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			continue
		}
		rr = dns.Copy(rr)
		lowerContent(rr)
		rr.Header().Ttl = 0
		rr.Header().Name = dns.CanonicalName(rr.Header().Name)
		out = append(out, rr.String())
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "\n")
}

// Whatever bytes of an answer are changed on the way, what is then called Secure
// tells the same as what was signed.
func FuzzChangedAnswersAreNeverSecure(f *testing.F) {
	l := newLab(f)
	questions := []dns.Question{
		{Name: "www.zone.test.", Qtype: dns.TypeA},
		{Name: "www.three.test.", Qtype: dns.TypeAAAA},
		{Name: "nope.zone.test.", Qtype: dns.TypeA},
		{Name: "nope.three.test.", Qtype: dns.TypeA},
		{Name: "any.wild.zone.test.", Qtype: dns.TypeA},
		{Name: "any.wild.three.test.", Qtype: dns.TypeAAAA},
		{Name: "x.old.zone.test.", Qtype: dns.TypeA},
		{Name: "alias.zone.test.", Qtype: dns.TypeA},
		{Name: "plain.test.", Qtype: dns.TypeDS},
		{Name: "sub.optout.test.", Qtype: dns.TypeDS},
	}
	for i := range questions {
		for _, at := range []int{2, 30, 70, 110, 150, 220, 300} {
			f.Add(uint8(i), uint16(at), uint8(1), uint16(at+9), uint8(0x20))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, at1 uint16, x1 uint8, at2 uint16, x2 uint8) {
		q := questions[int(which)%len(questions)]
		q.Qclass = dns.ClassINET
		m := l.Ask(q.Name, q.Qtype)
		truth := m.Copy()
		if r := l.Validate(context.Background(), q, truth); r.State == Bogus || r.State == Indeterminate {
			t.Fatalf("%v unchanged: %+v", q, r)
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		for at, x := range map[uint16]uint8{at1: x1, at2: x2} {
			b[int(at)%len(b)] ^= x
		}
		var changed dns.Msg
		if changed.Unpack(b) != nil {
			return
		}
		before := said(&changed)
		r := l.Validate(context.Background(), q, &changed)
		switch {
		case r.State == Secure && said(&changed) != said(truth):
			t.Fatalf("%v changed and secure:\n%v\nwas\n%v", q, &changed, truth)
		case r.State == Bogus && r.Text == "":
			t.Fatalf("bogus without a reason:\n%v", &changed)
		case r.State == Insecure && said(truth) != before && q.Name != "plain.test." && q.Name != "sub.optout.test.":
			t.Fatalf("%v changed and insecure:\n%v", q, &changed)
		}
	})
}

// The order of names is total, and that of their labels from the end.
func FuzzNames(f *testing.F) {
	f.Add("a.example.", "Z.a.example.", "\\000.z.example.")
	f.Add(".", "*.z.example.", "\\200.z.example.")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		x, y, z := toName(a), toName(b), toName(c)
		if x == "" || y == "" || z == "" {
			return
		}
		if toName(x.String()) != x {
			t.Fatalf("%q became %q", x, toName(x.String()))
		}
		if compare(x, y) != -compare(y, x) || (compare(x, y) == 0) != (x == y) {
			t.Fatalf("order of %q and %q", x, y)
		}
		if compare(x, y) < 0 && compare(y, z) < 0 && compare(x, z) >= 0 {
			t.Fatalf("order of %q, %q, %q", x, y, z)
		}
		if x != y && x.below(y) && compare(x, y) < 0 {
			t.Fatalf("%q is below %q and before it", x, y)
		}
		up := common(x, y)
		if !x.below(up) || !y.below(up) || x.last(up.labels()) != up {
			t.Fatalf("%q and %q have %q in common", x, y, up)
		}
	})
}
