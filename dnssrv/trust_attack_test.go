package dnssrv

import (
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/validate/signedtest"
)

// A zone with many keys and many signatures (CVE-2023-50387) costs little, and
// nothing that those who ask for what is known would notice.
func TestAKeyTrapHoldsNobodyUp(t *testing.T) {
	w, shop := universe(t)
	for range maxSignatures - 1 { // with more, its answers are not read
		shop.Keys = append([]signedtest.Key{signedtest.NewKey(t, shop.Apex, dns.ECDSAP256SHA256)}, shop.Keys...)
	}
	w.Edit = func(q dns.Question, m *dns.Msg) {
		if !strings.HasPrefix(q.Name, "trap") {
			return
		}
		for _, rr := range m.Answer {
			if sig, ok := rr.(*dns.RRSIG); ok { // by each of the keys, and all wrong
				raw, _ := base64.StdEncoding.DecodeString(sig.Signature)
				raw[0]++
				sig.Signature = base64.StdEncoding.EncodeToString(raw)
			}
		}
	}
	for i := range 20 {
		shop.Add("trap" + string(rune('a'+i)) + " A 192.0.2.1")
	}
	s := start(t, conf(trusting(w, source(t, resolving(w, nil)).addr)), nil)
	const want = "ad NOERROR | ns.example. A 192.0.2.53"
	known := func() string { return flags(ask(t, s, "udp", "ns.example.", dns.TypeA, wantAD)) }
	if got := known(); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	v := s.trust.validator.Load()
	before := v.Stats().Checks
	got := flags(ask(t, s, "udp", "trapa.shop.example.", dns.TypeA, edns))
	if n := v.Stats().Checks - before; got != "SERVFAIL EDE 6" || n > 40 {
		t.Errorf("got %s after %d signatures", got, n)
	}
	// All at once, from many clients; meanwhile what is known is told.
	var wg sync.WaitGroup
	before = v.Stats().Checks
	for i := 1; i < 20; i++ {
		wg.Go(func() {
			m := new(dns.Msg).SetQuestion("trap"+string(rune('a'+i))+".shop.example.", dns.TypeA)
			c := dns.Client{Timeout: 5 * time.Second}
			r, _, err := c.Exchange(m, s.at(t, "udp"))
			if err != nil || r.Rcode != dns.RcodeServerFailure {
				t.Errorf("trap %d: %v, %v", i, r, err)
			}
		})
	}
	hits := s.Stats().Cached
	for range 50 {
		if got := known(); got != want {
			t.Errorf("meanwhile: %s", got)
		}
	}
	wg.Wait()
	if n := s.Stats().Cached - hits; n < 50 {
		t.Errorf("of 50 questions %d were hits", n)
	}
	if n := v.Stats().Checks - before; n > 19*40 {
		t.Errorf("19 names took %d signatures", n)
	}
}
