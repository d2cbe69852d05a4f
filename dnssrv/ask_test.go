package dnssrv

import (
	"testing"

	"github.com/miekg/dns"

	"pic/core/config"
)

func TestTheCellItselfIsToldTheTruth(t *testing.T) {
	d := lab(source(t, anything).addr)
	d.DNS.Filter.Rewrites = []config.Rewrite{{Domain: "nas.test", Value: "192.168.1.9"}}
	s := filtering(t, d, adRules)
	for name, want := range map[string]string{"ads.test": "", "cloak.test": "", "nas.test": "192.168.1.9", "home.oak.home.arpa": "127.0.0.1"} {
		rrs, exists, _, err := s.Ask(t.Context(), name, dns.TypeA)
		if err != nil || !exists || len(rrs) == 0 {
			t.Fatalf("%s: %v, %v", name, rrs, err)
		}
		got := rrs[0].(*dns.A).A.String()
		if name == "nas.test" && got == want || name == "home.oak.home.arpa" && got != want || got == "0.0.0.0" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if rrs, exists, _, err := s.Ask(t.Context(), "nobody.oak.home.arpa", dns.TypeA); err != nil || exists || rrs != nil {
		t.Errorf("of a name that there is not: %v, %v, %v", rrs, exists, err)
	}
	if _, _, _, err := s.Ask(t.Context(), "a..b", dns.TypeA); err == nil {
		t.Error("a..b is a name")
	}
	if err := s.Apply(t.Context(), conf(lab("127.0.0.1:9"))); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.Ask(t.Context(), "www.test", dns.TypeMX); err == nil {
		t.Error("it knows the answer though nobody is there")
	}
}
