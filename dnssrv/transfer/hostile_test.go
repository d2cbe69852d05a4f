package transfer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// The library reads an A record without an address, and writes it too.
func TestRecordsWithoutDataAreInNoZone(t *testing.T) {
	hollow := func(m *dns.Msg) *dns.Msg { // as it comes from the wire
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		m = new(dns.Msg)
		if err := m.Unpack(b); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, tt := range map[string]struct {
		rr   dns.RR
		code int
	}{
		"an address":       {&dns.A{Hdr: dns.RR_Header{Name: "new.oak.", Rrtype: dns.TypeA, Class: dns.ClassINET}}, dns.RcodeFormatError},
		"an alias":         {&dns.CNAME{Hdr: dns.RR_Header{Name: "new.oak.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET}}, dns.RcodeFormatError},
		"a text":           {&dns.TXT{Hdr: dns.RR_Header{Name: "new.oak.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}}, dns.RcodeFormatError},
		"a list":           {&dns.APL{Hdr: dns.RR_Header{Name: "new.oak.", Rrtype: dns.TypeAPL, Class: dns.ClassINET}}, 0},
		"an unknown type":  {&dns.RFC3597{Hdr: dns.RR_Header{Name: "new.oak.", Rrtype: 65280, Class: dns.ClassINET}}, 0},
		"nothing to erase": {&dns.A{Hdr: dns.RR_Header{Name: "dyn.oak.", Rrtype: dns.TypeA, Class: dns.ClassNONE}}, 0},
	} {
		m := new(dns.Msg).SetUpdate("oak.")
		m.Ns = []dns.RR{tt.rr}
		if _, code := Update(hollow(m), oak(t).view()); code != tt.code {
			t.Errorf("%s: %s", name, dns.RcodeToString[code])
		}
	}
	at := primary(t, func(c net.Conn, b []byte) {
		m := new(dns.Msg)
		m.Id, m.Response = binary.BigEndian.Uint16(b), true
		m.Answer = []dns.RR{
			record(t, "oak. 60 SOA ns. me. 2 1 1 1 1"),
			&dns.A{Hdr: dns.RR_Header{Name: "a.oak.", Rrtype: dns.TypeA, Class: dns.ClassINET}},
			record(t, "oak. 60 SOA ns. me. 2 1 1 1 1"),
		}
		out, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		_ = frame(c, out)
	})
	if _, err := new(Client).Fetch(t.Context(), Request{Server: at, Zone: "oak."}); !errors.Is(err, errRecord) {
		t.Errorf("fetching one: %v", err)
	}
}

// Each step of a transfer costs as much as the zone is large, however small it is
// itself. Where there are many, the whole zone is cheaper.
func TestManySmallStepsAreNotTaken(t *testing.T) {
	var many []string
	for i := range 2000 {
		many = append(many, fmt.Sprintf("host%d.oak. 60 A 192.0.2.1", i))
	}
	soa := func(n int) string { return fmt.Sprintf("oak. 60 SOA ns. me. %d 1 1 1 1", n) }
	steps := []string{soa(20001)}
	for i := 1; i <= 20000; i++ {
		steps = append(steps, soa(i), soa(i+1))
	}
	steps = append(steps, soa(20001))
	asked := [dns.TypeANY]atomic.Int32{}
	at := primary(t, func(c net.Conn, b []byte) {
		typ := binary.BigEndian.Uint16(b[len("\x03oak\x00")+headerLen:])
		asked[typ].Add(1)
		if typ == dns.TypeAXFR {
			answering(t, []string{soa(20001), many[0], soa(20001)})(c, b)
			return
		}
		for part := steps; len(part) > 0; part = part[min(500, len(part)):] {
			answering(t, part[:min(500, len(part))])(c, b)
		}
	})
	got, err := new(Client).Fetch(t.Context(), Request{Server: at, Zone: "oak.", Have: content(t, 1, many...)})
	if err != nil || len(got.Records) != 1 || asked[dns.TypeAXFR].Load() != 1 {
		t.Errorf("%v, the whole zone was asked for %d times", err, asked[dns.TypeAXFR].Load())
	}
}

// Whatever a primary sends, what is taken is a zone: one SOA, at the top, and
// records of which each can be read again.
func FuzzTransfer(f *testing.F) {
	m := new(dns.Msg)
	m.Response = true
	for _, s := range []string{"oak. 60 SOA ns. me. 3 1 1 1 1", "oak. 60 SOA ns. me. 1 1 1 1 1", "a.oak. 60 A 192.0.2.1", "oak. 60 SOA ns. me. 3 1 1 1 1", "b.oak. 60 TXT x", "oak. 60 SOA ns. me. 3 1 1 1 1"} {
		m.Answer = append(m.Answer, record(f, s))
	}
	b, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	m.Answer = append(m.Answer[:1:1], m.Answer[2:4]...)
	if b, err = m.Pack(); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerLen {
			return
		}
		for _, have := range []*Content{nil, content(t, 1, "a.oak. 60 A 192.0.2.1")} {
			in := &incoming{client: &Client{Records: 100, Bytes: 1 << 16}, zone: "\x03oak\x00", request: Request{Have: have}, incremental: have != nil}
			in.state = in.first
			records, err := in.answers(b)
			if err != nil {
				continue
			}
			for _, r := range records {
				done, err := in.state(r)
				if err != nil {
					break
				}
				if !done {
					continue
				}
				c, err := in.result()
				if err != nil {
					t.Fatal(err)
				}
				for i, w := range append([]string{c.SOA}, c.Records...) {
					rr, err := Record(w)
					if err != nil || (rr.Header().Rrtype == dns.TypeSOA) != (i == 0) || !strings.HasSuffix(rr.Header().Name, "oak.") {
						t.Fatalf("record %d of the zone: %v, %v", i, rr, err)
					}
				}
				break
			}
		}
	})
}
