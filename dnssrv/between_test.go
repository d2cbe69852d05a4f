package dnssrv

import (
	"testing"

	"github.com/miekg/dns"
)

// A signature whose owner is a pointer into the message is as good as any other,
// and must not be taken for a signature by one part and for none by another.
func TestASignatureWithACompressedOwnerIsOne(t *testing.T) {
	s := start(t, conf(oak()), nil)
	b := packed(t, new(dns.Msg).SetQuestion("www.oak.home.arpa.", dns.TypeA))
	b[11] = 1
	b = append(b, 0xc0, headerLen, 0, byte(dns.TypeTSIG), 0, byte(dns.ClassANY), 0, 0, 0, 0, 0, 0)
	out, later := s.respond(t.Context(), b, from("192.168.1.9"), datagramLimit)
	if later != nil {
		t.Fatal("it waits for others")
	}
	if len(out) < headerLen || int(out[3]&15) != dns.RcodeFormatError && int(out[3]&15) != dns.RcodeNotAuth {
		t.Errorf("got % x", out)
	}
}
