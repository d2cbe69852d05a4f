package dnssrv

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestWhatIsFetchedComesWithSignaturesAndOnce(t *testing.T) {
	up := source(t, world)
	s := start(t, conf(lab(up.addr)), nil)
	for range 2 {
		m, err := s.forward.fetch(t.Context(), "WWW.example.net", dns.TypeA)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Answer) != 2 || m.Answer[1].Header().Rrtype != dns.TypeRRSIG {
			t.Errorf("got %v", m)
		}
	}
	m, err := s.forward.fetch(t.Context(), "nope.example.net.", dns.TypeDS)
	if err != nil || m.Rcode != dns.RcodeNameError || len(m.Ns) == 0 {
		t.Errorf("got %v, %v", m, err)
	}
	if n := up.udp.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	if _, err := s.forward.fetch(t.Context(), "broken.example.net.", dns.TypeA); err == nil || !strings.Contains(err.Error(), "broken.example.net. A") {
		t.Errorf("got %v", err)
	}
}
