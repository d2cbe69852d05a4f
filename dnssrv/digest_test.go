package dnssrv

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// glanced are replies to questions of type A that a glance must not get wrong.
func glanced(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	add := func(name string, m *dns.Msg) {
		m.Response, m.Compress = true, true
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out[name] = b
	}
	reply := func(answer, ns []string) *dns.Msg {
		m := new(dns.Msg).SetQuestion("wWw.Example.net.", dns.TypeA)
		for i, all := range [][]string{answer, ns} {
			for _, s := range all {
				rr, err := dns.NewRR(s)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					m.Answer = append(m.Answer, rr)
				} else {
					m.Ns = append(m.Ns, rr)
				}
			}
		}
		return m
	}
	soa := "example.net. 900 IN SOA ns.example.net. hm.example.net. 1 2 3 4 120"
	a := "www.example.net. 60 IN A 192.0.2.1"
	add("an address", reply([]string{a}, nil))
	add("two, and the authority", reply([]string{a, "www.example.net. 4294967295 IN A 192.0.2.2"}, []string{"example.net. 60 IN NS ns.example.net."}))
	add("alias", reply([]string{"www.example.net. 99999999 IN CNAME x.example.net.", "x.example.net. 9 IN A 192.0.2.1"}, nil))
	add("alias to nothing", reply([]string{"www.example.net. 60 IN CNAME x.example.net."}, []string{soa}))
	add("alias to itself", reply([]string{"www.example.net. 60 IN CNAME www.example.net."}, []string{soa}))
	add("ring", reply([]string{"www.example.net. 60 IN CNAME x.example.net.", "x.example.net. 9 IN CNAME www.example.net."}, []string{soa}))
	add("wrong order", reply([]string{"x.example.net. 9 IN A 192.0.2.1", "www.example.net. 60 IN CNAME x.example.net."}, nil))
	add("of others", reply([]string{a, "bank.example. 60 IN A 192.0.2.66"}, nil))
	add("no data", reply(nil, []string{soa}))
	add("SOA of others", reply(nil, []string{"example.org. 900 IN SOA ns.example.net. hm.example.net. 1 2 3 4 120"}))
	add("two SOAs", reply(nil, []string{soa, soa}))
	add("referral", reply(nil, []string{"example.net. 60 IN NS ns.example.net."}))
	nx := reply(nil, []string{soa})
	nx.Rcode = dns.RcodeNameError
	add("no name", nx)
	odd := reply([]string{a}, []string{soa})
	odd.Rcode = dns.RcodeNameError
	add("no name, with an answer", odd)
	add("signed", reply([]string{a, "www.example.net. 60 IN RRSIG A 13 3 60 20300101000000 20200101000000 1 example.net. AAAA"}, nil))
	add("signed denial", reply(nil, []string{soa, "example.net. 60 IN RRSIG SOA 13 2 60 20300101000000 20200101000000 1 example.net. AAAA"}))
	add("private", reply([]string{"www.example.net. 60 IN A 192.168.1.1"}, nil))
	plain := reply([]string{a}, nil)
	plain.Compress = false
	b, err := plain.Pack()
	if err != nil {
		t.Fatal(err)
	}
	b[2] |= 0x80
	out["not compressed, in our mixed case"] = b
	return out
}

// seen writes an answer so that two can be compared.
func seen(t testing.TB, q question, a *answer) string {
	t.Helper()
	r := a.reply(0)
	m, err := r.unpack(q)
	if err != nil {
		t.Fatalf("cannot be read: %v", err)
	}
	s := fmt.Sprint(a.life, a.rcode, a.counts, a.aliases, a.further, len(a.ttls), "\n")
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		s += rr.String() + "\n"
	}
	if aged := a.reply(10 * time.Second); len(aged.tail) != len(r.tail) {
		t.Fatal("cannot be told later")
	}
	return strings.ToLower(s) // case is nobody's business
}

// compare checks that what a glance makes of a reply is what taking it apart
// makes, and returns whether a glance was enough.
func compare(t testing.TB, b []byte, q question, g *guard) bool {
	t.Helper()
	m := manner{guard: g}
	a := glance(q, b, m)
	if a == nil {
		return false
	}
	full := new(dns.Msg)
	if err := full.Unpack(b); err != nil {
		seen(t, q, a) // what it did not need may be broken, what it keeps not
		return true
	}
	want, err := m.digest(q, full)
	if err != nil {
		t.Fatalf("a glance is content with what is refused: %v\n%v", err, full)
	}
	if got, want := seen(t, q, a), seen(t, q, want); got != want {
		t.Fatalf("a glance sees\n%s\nthere is\n%s", got, want)
	}
	return true
}

func TestAGlanceSeesWhatIsThere(t *testing.T) {
	enough := map[string]bool{}
	for name, b := range glanced(t) {
		for _, do := range []bool{false, true} {
			q := question{name: mustName("www.example.net."), typ: dns.TypeA, do: do}
			for _, g := range []*guard{nil, {}} {
				if compare(t, b, q, g) && g != nil {
					enough[name] = true
				}
			}
		}
	}
	for _, name := range []string{"an address", "two, and the authority", "alias", "alias to nothing", "no data", "no name", "signed", "not compressed, in our mixed case"} {
		if !enough[name] {
			t.Errorf("%s: it was taken apart", name)
		}
	}
	if enough["private"] {
		t.Error("a private address was passed on")
	}
}

func FuzzGlance(f *testing.F) {
	for _, b := range glanced(f) {
		f.Add(b, uint16(dns.TypeA), false)
		f.Add(b, uint16(dns.TypeA), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, typ uint16, do bool) {
		q := question{name: mustName("www.example.net."), typ: typ, do: do}
		// Upstreams' replies are whole, and to the question, when we look.
		if len(b) < headerLen+len(q.name)+4 || !whole(b) || b[2]&0xfa != 0x80 || string(lower(b[headerLen:headerLen+len(q.name)])) != string(q.name) {
			return
		}
		if string(b[headerLen+len(q.name):headerLen+len(q.name)+4]) != string([]byte{byte(typ >> 8), byte(typ), 0, dns.ClassINET}) {
			return
		}
		compare(t, b, q, &guard{})
	})
}
