package dnssrv

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"

	"pic/core/config"
)

// An update of a zone of 10 000 records of the document, half of them as many
// names of updates, until it is visible.
func BenchmarkUpdate(b *testing.B) {
	s := share(b, b.TempDir(), func(d *config.Document) {
		for i := range 10000 {
			d.DNS.Records = append(d.DNS.Records, config.Record{Name: fmt.Sprintf("host%d", i), Type: "A", Value: "192.168.1.9"})
		}
		d.DNS.Own.Updates = []config.Update{{Key: "acme", Names: []string{"*"}}}
	})
	for i := range 160 {
		_, err := s.updating("tcp", func(m *dns.Msg) {
			for j := range 30 {
				m.Insert([]dns.RR{text1(fmt.Sprintf("d%d-%d.oak.home.arpa.", i, j), "y", 60)})
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		n++
		rcode, err := s.updating("tcp", func(m *dns.Msg) {
			m.RemoveRRset([]dns.RR{text1("x.oak.home.arpa.", "", 0)})
			m.Insert([]dns.RR{text1("x.oak.home.arpa.", fmt.Sprint(n), 60)})
		})
		if err != nil || rcode != 0 {
			b.Fatal(rcode, err)
		}
	}
}
