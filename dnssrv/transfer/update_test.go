package transfer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// A place is a zone that updates change: some of it fixed.
type place struct{ fixed, dynamic map[string]Sets }

func oak(t testing.TB) *place {
	p := &place{map[string]Sets{}, map[string]Sets{}}
	for _, s := range []string{
		"oak. 60 SOA ns. me. 1 1 1 1 1", "oak. 60 NS ns.oak.", "ns.oak. 60 A 192.0.2.1", "www.oak. 60 CNAME ns.oak.",
		"two.oak. 60 TXT one", "two.oak. 60 TXT two",
	} {
		rr := record(t, s)
		put(p.fixed, rr)
	}
	put(p.dynamic, record(t, "dyn.oak. 60 A 192.0.2.9"))
	put(p.dynamic, record(t, "dyn.oak. 60 A 192.0.2.10"))
	put(p.dynamic, record(t, "alias.oak. 60 CNAME dyn.oak."))
	return p
}

func record(t testing.TB, s string) dns.RR {
	rr, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

func put(all map[string]Sets, rr dns.RR) {
	h := rr.Header()
	if all[h.Name] == nil {
		all[h.Name] = Sets{}
	}
	all[h.Name][h.Rrtype] = append(all[h.Name][h.Rrtype], rr)
}

func (p *place) view() View {
	return View{
		Zone:    "oak.",
		Within:  func(owner string) bool { return owner == "oak." || strings.HasSuffix(owner, ".oak.") },
		Fixed:   func(owner string) Sets { return p.fixed[owner] },
		Dynamic: func(owner string) Sets { return p.dynamic[owner] },
		Found: func(owner string) Sets {
			if owner == "lease.oak." {
				return Sets{dns.TypeA: {&dns.A{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeA, Class: dns.ClassINET}}}}
			}
			return nil
		},
		Permit: func(owner string, typ uint16) bool { return !strings.HasPrefix(owner, "no.") && typ != dns.TypeNS },
	}
}

// after is what p's dynamic records are after changes.
func (p *place) after(changes []Change) map[string]Sets {
	out := map[string]Sets{}
	for owner, s := range p.dynamic {
		out[owner] = maps.Clone(s)
	}
	for _, c := range changes {
		if out[c.Owner] == nil {
			out[c.Owner] = Sets{}
		}
		out[c.Owner].set(c.Type, c.Records)
		if len(out[c.Owner]) == 0 {
			delete(out, c.Owner)
		}
	}
	return out
}

func lines(all map[string]Sets) string {
	var out []string
	for _, s := range all {
		for _, set := range s {
			for _, rr := range set {
				out = append(out, spaced(rr.String()))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, " | ")
}

func spaced(s string) string { return strings.Join(strings.Fields(s), " ") }

const before = "alias.oak. 60 IN CNAME dyn.oak. | dyn.oak. 60 IN A 192.0.2.10 | dyn.oak. 60 IN A 192.0.2.9"

func TestUpdateFollowsRFC2136(t *testing.T) {
	rrs := func(all ...string) []dns.RR {
		var out []dns.RR
		for _, s := range all {
			out = append(out, record(t, s))
		}
		return out
	}
	class := func(c uint16, rrs []dns.RR) []dns.RR {
		for _, rr := range rrs {
			rr.Header().Class, rr.Header().Ttl = c, 0
		}
		return rrs
	}
	for name, tt := range map[string]struct {
		edit func(m *dns.Msg)
		code int
		want string // what updates have put there then; empty: what was
	}{
		"nothing":             {func(m *dns.Msg) {}, 0, ""},
		"name is used":        {func(m *dns.Msg) { m.NameUsed(rrs("dyn.oak. A 192.0.2.1")) }, 0, ""},
		"name is used, lease": {func(m *dns.Msg) { m.NameUsed(rrs("lease.oak. A 192.0.2.1")) }, 0, ""},
		"name is not used":    {func(m *dns.Msg) { m.NameUsed(rrs("x.oak. A 192.0.2.1")) }, dns.RcodeNameError, ""},
		"name must not be":    {func(m *dns.Msg) { m.NameNotUsed(rrs("ns.oak. A 192.0.2.1")) }, dns.RcodeYXDomain, ""},
		"set is there":        {func(m *dns.Msg) { m.RRsetUsed(rrs("two.oak. TXT x")) }, 0, ""},
		"set is not there":    {func(m *dns.Msg) { m.RRsetUsed(rrs("two.oak. A 192.0.2.1")) }, dns.RcodeNXRrset, ""},
		"set must not be":     {func(m *dns.Msg) { m.RRsetNotUsed(rrs("two.oak. TXT x")) }, dns.RcodeYXRrset, ""},
		"set is so":           {func(m *dns.Msg) { m.Used(class(dns.ClassINET, rrs("TWO.oak. TXT two", "two.oak. TXT one"))) }, 0, ""},
		"set is not so":       {func(m *dns.Msg) { m.Used(class(dns.ClassINET, rrs("two.oak. TXT two"))) }, dns.RcodeNXRrset, ""},
		"set has less": {func(m *dns.Msg) {
			m.Used(class(dns.ClassINET, rrs("dyn.oak. A 192.0.2.9", "dyn.oak. A 192.0.2.10", "dyn.oak. A 192.0.2.1")))
		}, dns.RcodeNXRrset, ""},
		"asked of elsewhere": {func(m *dns.Msg) { m.NameUsed(rrs("x.elm. A 192.0.2.1")) }, dns.RcodeNotZone, ""},
		"asked with TTL": {func(m *dns.Msg) {
			m.NameUsed(rrs("dyn.oak. A 192.0.2.1"))
			m.Answer[0].Header().Ttl = 1
		}, dns.RcodeFormatError, ""},
		"asked of a class": {func(m *dns.Msg) { m.Answer = class(dns.ClassCHAOS, rrs("dyn.oak. A 192.0.2.1")) }, dns.RcodeFormatError, ""},

		"add":          {func(m *dns.Msg) { m.Insert(rrs("New.oak. 5 TXT x")) }, 0, before + " | new.oak. 5 IN TXT \"x\""},
		"add for ever": {func(m *dns.Msg) { m.Insert(rrs("new.oak. 2147483647 TXT x")) }, 0, before + " | new.oak. 604800 IN TXT \"x\""},
		"add for no time": {func(m *dns.Msg) {
			m.Insert(rrs("new.oak. 5 TXT x"))
			m.Ns[0].Header().Ttl = 1<<31 + 5
		}, 0, before + " | new.oak. 0 IN TXT \"x\""},
		"add what is there":    {func(m *dns.Msg) { m.Insert(rrs("dyn.oak. 60 A 192.0.2.9")) }, 0, ""},
		"add with another TTL": {func(m *dns.Msg) { m.Insert(rrs("dyn.oak. 5 A 192.0.2.9")) }, 0, "alias.oak. 60 IN CNAME dyn.oak. | dyn.oak. 5 IN A 192.0.2.10 | dyn.oak. 5 IN A 192.0.2.9"},
		"add what is fixed":    {func(m *dns.Msg) { m.Insert(rrs("ns.oak. 5 A 192.0.2.1")) }, 0, ""},
		"add beside fixed":     {func(m *dns.Msg) { m.Insert(rrs("ns.oak. 60 A 192.0.2.2")) }, 0, before + " | ns.oak. 60 IN A 192.0.2.2"},
		"add to a fixed CNAME": {func(m *dns.Msg) { m.Insert(rrs("www.oak. 60 A 192.0.2.2")) }, dns.RcodeRefused, ""},
		"add a CNAME to fixed": {func(m *dns.Msg) { m.Insert(rrs("ns.oak. 60 CNAME x.")) }, dns.RcodeRefused, ""},
		"add to a CNAME":       {func(m *dns.Msg) { m.Insert(rrs("alias.oak. 60 A 192.0.2.2")) }, 0, ""},
		"add a CNAME":          {func(m *dns.Msg) { m.Insert(rrs("dyn.oak. 60 CNAME x.")) }, 0, ""},
		"replace a CNAME":      {func(m *dns.Msg) { m.Insert(rrs("alias.oak. 60 CNAME x.")) }, 0, strings.Replace(before, "CNAME dyn.oak.", "CNAME x.", 1)},
		"add at the zone":      {func(m *dns.Msg) { m.Insert(rrs("oak. 60 TXT x")) }, 0, before + ` | oak. 60 IN TXT "x"`},
		"add a SOA":            {func(m *dns.Msg) { m.Insert(rrs("oak. 60 SOA ns. me. 9 1 1 1 1")) }, dns.RcodeRefused, ""},
		"add elsewhere":        {func(m *dns.Msg) { m.Insert(rrs("x.elm. 60 TXT x")) }, dns.RcodeNotZone, ""},
		"not permitted":        {func(m *dns.Msg) { m.Insert(rrs("new.oak. 60 TXT x", "no.oak. 60 TXT x")) }, dns.RcodeRefused, ""},
		"add type ANY": {func(m *dns.Msg) {
			m.Ns = []dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: "x.oak.", Rrtype: dns.TypeANY, Class: dns.ClassINET}}}
		}, dns.RcodeFormatError, ""},

		"delete a record":      {func(m *dns.Msg) { m.Remove(rrs("dyn.oak. 60 A 192.0.2.9")) }, 0, "alias.oak. 60 IN CNAME dyn.oak. | dyn.oak. 60 IN A 192.0.2.10"},
		"delete none":          {func(m *dns.Msg) { m.Remove(rrs("dyn.oak. 60 A 192.0.2.7")) }, 0, ""},
		"delete a fixed one":   {func(m *dns.Msg) { m.Remove(rrs("ns.oak. 60 A 192.0.2.1")) }, dns.RcodeRefused, ""},
		"delete a set":         {func(m *dns.Msg) { m.RemoveRRset(rrs("dyn.oak. 60 A 192.0.2.9")) }, 0, "alias.oak. 60 IN CNAME dyn.oak."},
		"delete a fixed set":   {func(m *dns.Msg) { m.RemoveRRset(rrs("two.oak. 60 TXT x")) }, dns.RcodeRefused, ""},
		"delete a name":        {func(m *dns.Msg) { m.RemoveName(rrs("dyn.oak. A 192.0.2.1")) }, 0, "alias.oak. 60 IN CNAME dyn.oak."},
		"delete a fixed name":  {func(m *dns.Msg) { m.RemoveName(rrs("ns.oak. A 192.0.2.1")) }, dns.RcodeRefused, ""},
		"delete at the zone":   {func(m *dns.Msg) { m.RemoveName(rrs("oak. A 192.0.2.1")) }, 0, ""},
		"delete and add":       {func(m *dns.Msg) { m.RemoveRRset(rrs("dyn.oak. A 192.0.2.1")); m.Insert(rrs("dyn.oak. 60 A 192.0.2.3")) }, 0, "alias.oak. 60 IN CNAME dyn.oak. | dyn.oak. 60 IN A 192.0.2.3"},
		"delete, then a CNAME": {func(m *dns.Msg) { m.RemoveName(rrs("dyn.oak. A 192.0.2.1")); m.Insert(rrs("dyn.oak. 60 CNAME x.")) }, 0, "alias.oak. 60 IN CNAME dyn.oak. | dyn.oak. 60 IN CNAME x."},
	} {
		p := oak(t)
		m := new(dns.Msg).SetUpdate("oak.")
		tt.edit(m)
		b, err := m.Pack()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m = new(dns.Msg) // as it comes from the wire
		if err := m.Unpack(b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		changes, code := Update(m, p.view())
		if code != tt.code || code != 0 && changes != nil {
			t.Errorf("%s: %s, %v", name, dns.RcodeToString[code], changes)
		}
		want := tt.want
		if want == "" {
			want = before
		}
		if got := lines(p.after(changes)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		if got := lines(p.dynamic); got != before {
			t.Errorf("%s: the zone was written to: %s", name, got)
		}
	}
}

func TestUpdateBoundsASet(t *testing.T) {
	p := oak(t)
	m := new(dns.Msg).SetUpdate("oak.")
	for i := range maxSet + 1 {
		m.Insert([]dns.RR{record(t, fmt.Sprintf("many.oak. 60 TXT %d", i))})
	}
	if _, code := Update(m, p.view()); code != dns.RcodeRefused {
		t.Errorf("%d records of one type: %s", maxSet+1, dns.RcodeToString[code])
	}
	m.Ns = m.Ns[:maxSet]
	if _, code := Update(m, p.view()); code != 0 {
		t.Errorf("%d records of one type: %s", maxSet, dns.RcodeToString[code])
	}
}

// Whatever updates say, a zone stays one: a CNAME stands alone, nothing is
// outside, what only servers make is not there, and what is refused changes
// nothing.
func FuzzUpdate(f *testing.F) {
	seed := new(dns.Msg).SetUpdate("oak.")
	seed.Insert([]dns.RR{record(f, "dyn.oak. 60 CNAME x."), record(f, "x.oak. 60 TXT y")})
	seed.RemoveName([]dns.RR{record(f, "alias.oak. A 192.0.2.1")})
	b, err := seed.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint64(0))
	f.Add([]byte(nil), uint64(7))
	f.Fuzz(func(t *testing.T, b []byte, n uint64) {
		p := oak(t)
		for range 3 {
			m := new(dns.Msg)
			if m.Unpack(b) != nil || n%2 == 1 {
				m = random(t, rand.New(rand.NewPCG(n, 1)))
			}
			n = n*2862933555777941757 + 3037000493
			changes, code := Update(m, p.view())
			if code != 0 && changes != nil {
				t.Fatalf("refused, and still %v", changes)
			}
			p.dynamic = p.after(changes)
		}
		for owner, s := range p.dynamic {
			if !p.view().Within(owner) {
				t.Fatalf("%s is outside", owner)
			}
			alias := len(s[dns.TypeCNAME])+len(p.fixed[owner][dns.TypeCNAME]) > 0
			if alias && (len(s)+len(p.fixed[owner]) > 1 || len(s[dns.TypeCNAME]) > 1) {
				t.Fatalf("a CNAME is not alone: %v %v", s, p.fixed[owner])
			}
			for typ, set := range s {
				if own(typ) || meta(typ) || len(set) == 0 || len(set) > maxSet {
					t.Fatalf("%d records of type %s", len(set), dns.Type(typ))
				}
				for i, rr := range set {
					if contains(p.fixed[owner][typ], rr) || contains(set[:i], rr) {
						t.Fatalf("twice: %s", rr)
					}
					if rr.Header().Ttl != set[0].Header().Ttl || rr.Header().Name != owner || rr.Header().Class != dns.ClassINET {
						t.Fatalf("odd: %s", rr)
					}
				}
			}
		}
	})
}

// random is an update of a few names and types.
func random(t testing.TB, r *rand.Rand) *dns.Msg {
	m := new(dns.Msg).SetUpdate("oak.")
	for range 1 + r.IntN(6) {
		owner := []string{"oak.", "dyn.oak.", "alias.oak.", "www.oak.", "ns.oak.", "new.oak."}[r.IntN(6)]
		rr := record(t, owner+" 60 "+[]string{"A 192.0.2.9", "A 192.0.2.11", "CNAME x.", "TXT x", "DNAME x.", "SOA a. b. 1 1 1 1 1"}[r.IntN(6)])
		rr.Header().Ttl = uint32(r.IntN(3))
		switch r.IntN(6) {
		case 0:
			m.RemoveName([]dns.RR{rr})
		case 1:
			m.RemoveRRset([]dns.RR{rr})
		case 2:
			m.Remove([]dns.RR{rr})
		default:
			m.Insert([]dns.RR{rr})
		}
	}
	return m
}
