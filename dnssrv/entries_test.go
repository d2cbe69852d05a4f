package dnssrv

import (
	"log/slog"
	"strings"
	"testing"

	"pic/core/names"
	"pic/internal/listen"
)

func TestRecordsTellWhereTheyAreFrom(t *testing.T) {
	snap := found(t)
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Names: func() *names.Snapshot { return snap }})
	s.table.Store(compiled(t, oak()))
	got := map[string]Source{}
	for _, e := range s.Records() {
		got[strings.TrimSpace(e.Name+" "+e.Type+" "+e.Value+" "+e.Asker)] = e.Source
	}
	for want, src := range map[string]Source{
		"nas.oak.home.arpa A 192.168.1.9":                               Record,
		"home.oak.home.arpa A 10.80.1.1 vpn":                            Cell,
		"home.oak.home.arpa A 127.0.0.1 host":                           Cell,
		"oak.home.arpa MX 10 mail.oak.home.arpa.":                       Cell,
		"_imaps._tcp.oak.home.arpa SRV 0 1 993 mail.oak.home.arpa. vpn": Cell,
		"laptop.vpn.oak.home.arpa A 10.80.1.2":                          Peer,
		"2.1.80.10.in-addr.arpa PTR laptop.vpn.oak.home.arpa.":          Peer,
		"tv.oak.home.arpa A 192.168.1.50":                               Reservation,
		"phone.oak.home.arpa A 192.168.1.101":                           Lease,
		"pc.elm.example.org A 10.90.0.7":                                Link,
		"www.other.home.arpa A 192.168.1.20":                            Record,
	} {
		if got[want] != src {
			t.Errorf("%s: got %q, want %q", want, got[want], src)
		}
	}
	if _, ok := got["printer.oak.home.arpa A 192.168.1.102"]; ok {
		t.Error("a lease whose name the document has is listed")
	}
}
