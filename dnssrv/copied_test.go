package dnssrv

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"pic/dnssrv/transfer"
)

// A primary may tell whatever it likes of its zone: answers from the copy are
// messages all the same, and a transfer of it is as much as there is.
func FuzzCopiedZone(f *testing.F) {
	pack := func(records ...string) (b []byte) {
		for _, s := range records {
			rr, err := dns.NewRR(s)
			if err != nil {
				f.Fatal(err)
			}
			w, err := transfer.Wire(rr)
			if err != nil {
				f.Fatal(err)
			}
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(w))), w...)
		}
		return b
	}
	const sig = "RRSIG %s 13 1 60 20300101000000 20200101000000 1 elm. AAAA"
	f.Add(pack("elm. NS ns.elm.", "ns.elm. A 192.0.2.1", "*.elm. CNAME x.elm.", "old.elm. DNAME new.elm.", "sub.elm. NS ns.sub.elm.", "a.b.elm. MX 5 elm."))
	f.Add(pack("elm. DNSKEY 256 3 13 AAAA", "elm. "+strings.Replace(sig, "%s", "SOA", 1), "elm. NSEC a.elm. SOA NSEC", "a.elm. NSEC elm. A", "a.elm. A 192.0.2.1"))
	f.Add(pack("elm. DNSKEY 256 3 13 AAAA", "elm. "+strings.Replace(sig, "%s", "SOA", 1), "elm. NSEC3PARAM 1 0 2 ab", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.elm. NSEC3 1 0 2 ab 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A"))
	f.Add(pack("elm. DNAME elm.", "elm. CNAME elm.", "x.elm. SVCB 1 . alpn=h2", "x.elm. TYPE65280 \\# 0", "elm. NSEC3PARAM 1 0 0 -"))
	soa := string(pack("elm. 60 SOA ns.elm. me.elm. 7 1 1 1 60"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var records []string
		for len(b) > 2 && len(records) < 50 {
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
			// As a client of transfers takes them.
			rr, end, err := dns.UnpackRR(b[2:2+n], 0)
			if err == nil && end == n && rr.Header().Class == dns.ClassINET && rr.Header().Rrtype != dns.TypeSOA {
				if w, err := transfer.Wire(rr); err == nil {
					records = append(records, w)
				}
			}
			b = b[2+n:]
		}
		apex := mustName("elm.")
		z, err := zoneOf(apex, transfer.NewContent(soa[2:], records))
		if err != nil {
			return
		}
		tab := &table{zones: map[name]*zone{apex: z}, base: map[name]*zone{apex: z}}
		for _, do := range []bool{false, true} {
			m := tab.outside()
			m.do = do
			for n := range z.nodes {
				for _, q := range []name{n, "\x01x" + n, "\x01y\x01x" + n} {
					if len(q) > maxName {
						continue
					}
					for _, typ := range []uint16{dns.TypeA, dns.TypeNS, dns.TypeDS, dns.TypeCNAME, dns.TypeANY, dns.TypeSOA, dns.TypeNSEC, dns.TypeRRSIG, dns.TypeSVCB} {
						o := z.find(m, q, typ)
						msg := &dns.Msg{Answer: o.answer, Ns: o.ns, Extra: o.extra}
						if _, err := msg.Pack(); err != nil && msg.Len() < dns.MaxMsgSize {
							t.Fatalf("%s %s: %v of\n%v", q, typeName(typ), err, msg)
						}
					}
				}
			}
			z.dump(m)
		}
	})
}
