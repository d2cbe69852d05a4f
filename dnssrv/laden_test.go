package dnssrv

import (
	"errors"
	"fmt"
	"testing"

	"github.com/miekg/dns"
)

func TestAnswersWithTooManySignaturesAreRefused(t *testing.T) {
	sig := func(owner string, covered uint16, i int) dns.RR {
		rr, err := dns.NewRR(fmt.Sprintf("%s 300 IN RRSIG %s 13 2 300 20300101000000 20200101000000 %d sub.example. AAAA", owner, dns.Type(covered), i))
		if err != nil {
			t.Fatal(err)
		}
		return rr
	}
	for name, tt := range map[string]struct {
		add    func(m *dns.Msg)
		refuse bool
	}{
		"none": {func(*dns.Msg) {}, false},
		"as many": {func(m *dns.Msg) {
			fill(m, maxSignatures, func(i int) dns.RR { return sig("www.sub.example.", dns.TypeA, i) })
		}, false},
		"one more": {func(m *dns.Msg) {
			fill(m, maxSignatures+1, func(i int) dns.RR { return sig("www.sub.example.", dns.TypeA, i) })
		}, true},
		"in capitals": {func(m *dns.Msg) {
			fill(m, maxSignatures+1, func(i int) dns.RR { return sig([]string{"www.sub.example.", "WWW.sub.example."}[i%2], dns.TypeA, i) })
		}, true},
		"in the authority": {func(m *dns.Msg) {
			for i := range maxSignatures + 1 {
				m.Ns = append(m.Ns, sig("sub.example.", dns.TypeSOA, i))
			}
		}, true},
		"of many owners": {func(m *dns.Msg) {
			fill(m, 100, func(i int) dns.RR { return sig(fmt.Sprintf("n%d.sub.example.", i), dns.TypeNSEC3, i) })
		}, false},
		"over many types": {func(m *dns.Msg) {
			fill(m, 100, func(i int) dns.RR { return sig("www.sub.example.", uint16(i+1), i) })
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(dns.Msg).SetQuestion("www.sub.example.", dns.TypeA)
			m.Response, m.Compress = true, true
			a, err := dns.NewRR("www.sub.example. 300 IN A 192.0.2.1")
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = []dns.RR{a}
			tt.add(m)
			b, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if got := laden(b); got != tt.refuse {
				t.Fatalf("refused: %v", got)
			}
			q := question{name: mustName("www.sub.example"), typ: dns.TypeA, do: true, cd: true}
			_, err = read(q, b, manner{})
			var no *upstreamError
			if errors.As(err, &no) != tt.refuse || tt.refuse && (no.rcode != dns.RcodeServerFailure || no.ede != edeLaden) {
				t.Errorf("read: %v", err)
			}
			// Broken messages are for the decoder to refuse.
			for i := range b {
				laden(b[:i])
			}
		})
	}
}

func fill(m *dns.Msg, n int, f func(i int) dns.RR) {
	for i := range n {
		m.Answer = append(m.Answer, f(i))
	}
}
