package dnssrv

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestHostileUpstreamsAreBorne(t *testing.T) {
	const good = "192.0.2.80"
	for name, tt := range map[string]struct {
		handler dns.HandlerFunc
		want    string
	}{
		"wrong id first": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			m.Answer = []dns.RR{address(r.Question[0].Name, netip.MustParseAddr("203.0.113.66"), 600)}
			for i := range 10 {
				m.Id = r.Id + uint16(i) + 1
				w.WriteMsg(m)
			}
			world(w, r)
		}, "NOERROR | www.example.net. A " + good},
		"a flood of wrong ids leads to TCP": {func(w dns.ResponseWriter, r *dns.Msg) {
			if w.RemoteAddr().Network() == "udp" {
				m := new(dns.Msg).SetReply(r)
				for i := range 100 {
					m.Id = r.Id + uint16(i) + 1
					w.WriteMsg(m)
				}
				return
			}
			world(w, r)
		}, "NOERROR | www.example.net. A " + good},
		"wrong question first": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			m.Question[0].Name = "www.example.org."
			m.Answer = []dns.RR{address("www.example.net.", netip.MustParseAddr("203.0.113.66"), 600)}
			w.WriteMsg(m)
			m.Question[0] = dns.Question{Name: "www.example.net.", Qtype: dns.TypeAAAA, Qclass: dns.ClassINET}
			w.WriteMsg(m)
			m.Question = r.Question
			m.Response = false
			w.WriteMsg(m)
			w.Write([]byte{1, 2, 3})
			r.Question[0].Name = "www.example.net."
			world(w, r)
		}, "NOERROR | www.example.net. A " + good},
		"records about others": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			m.Answer = []dns.RR{
				address("bank.example.", netip.MustParseAddr("203.0.113.66"), 600),
				address("www.example.net.", netip.MustParseAddr(good), 600),
				&dns.CNAME{Hdr: dns.RR_Header{Name: "bank.example.", Rrtype: dns.TypeCNAME, Class: 1, Ttl: 9}, Target: "evil.example."},
			}
			m.Extra = []dns.RR{address("bank.example.", netip.MustParseAddr("203.0.113.66"), 600)}
			w.WriteMsg(m)
		}, "NOERROR | www.example.net. A " + good},
		"loop of aliases": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			for _, p := range [][2]string{{"www.example.net.", "a.example."}, {"a.example.", "b.example."}, {"b.example.", "a.example."}} {
				m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: p[0], Rrtype: dns.TypeCNAME, Class: 1, Ttl: 9}, Target: p[1]})
			}
			w.WriteMsg(m)
		}, "SERVFAIL EDE 24"},
		"endless aliases": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			at := "www.example.net."
			for i := range 20 {
				next := fmt.Sprintf("a%d.example.", i)
				m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: at, Rrtype: dns.TypeCNAME, Class: 1, Ttl: 9}, Target: next})
				at = next
			}
			w.WriteMsg(m)
		}, "SERVFAIL EDE 24"},
		"referral": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: "example.net.", Rrtype: dns.TypeNS, Class: 1, Ttl: 9}, Ns: "ns.example.net."}}
			w.WriteMsg(m)
		}, "SERVFAIL EDE 24"},
		"broken message": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			b, _ := m.Pack()
			b[7] = 9 // nine answers, of which there are none
			w.Write(b)
		}, "SERVFAIL EDE 24"},
		"no EDNS": {func(w dns.ResponseWriter, r *dns.Msg) {
			if r.IsEdns0() != nil {
				w.WriteMsg(new(dns.Msg).SetRcode(r, dns.RcodeFormatError))
				return
			}
			world(w, r)
		}, "NOERROR | www.example.net. A " + good},
		"cut off even over TCP": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			m.Truncated = true
			w.WriteMsg(m)
		}, "SERVFAIL EDE 22"},
		"huge": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			if w.RemoteAddr().Network() == "udp" {
				m.Truncated = true
				w.WriteMsg(m)
				return
			}
			m.Compress = true
			for i := range 4000 {
				m.Answer = append(m.Answer, address("www.example.net.", netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 600))
			}
			w.WriteMsg(m)
		}, "NOERROR tc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, conf(lab(source(t, tt.handler).addr)), nil)
			for range 2 {
				if got := brief(ask(t, s, "udp", "www.example.net.", dns.TypeA, edns)); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			}
			if _, bytes := s.forward.cache.size(); bytes > 2*cacheOne {
				t.Errorf("%d bytes are kept", bytes)
			}
		})
	}
}
