package dnssrv

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestHostsWithIPv6OnlyReachIPv4(t *testing.T) {
	up := source(t, func(w dns.ResponseWriter, r *dns.Msg) {
		if q := r.Question[0]; q.Qtype == dns.TypeAAAA && strings.HasPrefix(strings.ToLower(q.Name), "fails") {
			w.WriteMsg(new(dns.Msg).SetRcode(r, dns.RcodeServerFailure))
			return
		}
		knows(
			"four.example. 60 IN A 192.0.2.33", "four.example. 60 IN A 192.0.2.34", "four.example. 60 IN TXT x",
			"both.example. 60 IN A 192.0.2.33", "both.example. 60 IN AAAA 2001:db8:1::1",
			"mapped.example. 60 IN A 192.0.2.33", "mapped.example. 60 IN AAAA ::ffff:192.0.2.1",
			"alias.example. 9 IN CNAME four.example.", "private.home.example. 60 IN A 192.168.1.9",
			"fails.example. 60 IN A 192.0.2.33",
			"34.216.184.93.in-addr.arpa. 60 IN PTR four.example.")(w, r)
	})
	d := lab(up.addr)
	d.DNS.DNS64 = netip.MustParsePrefix("64:ff9b::/96")
	d.DNS.Private = []string{"home.example"}
	s := start(t, conf(d), nil)
	cd := func(m *dns.Msg) { m.CheckingDisabled = true }
	for name, tt := range map[string]struct {
		name string
		typ  uint16
		with []func(*dns.Msg)
		want string
	}{
		"no IPv6":         {"four.example.", dns.TypeAAAA, nil, "NOERROR | four.example. AAAA 64:ff9b::c000:221 | four.example. AAAA 64:ff9b::c000:222"},
		"IPv6 too":        {"both.example.", dns.TypeAAAA, nil, "NOERROR | both.example. AAAA 2001:db8:1::1"},
		"of no use":       {"mapped.example.", dns.TypeAAAA, nil, "NOERROR | mapped.example. AAAA 64:ff9b::c000:221"},
		"alias":           {"alias.example.", dns.TypeAAAA, nil, "NOERROR | alias.example. CNAME four.example. | four.example. AAAA 64:ff9b::c000:221 | four.example. AAAA 64:ff9b::c000:222"},
		"IPv4":            {"four.example.", dns.TypeA, nil, "NOERROR | four.example. A 192.0.2.33 | four.example. A 192.0.2.34"},
		"no such name":    {"nope.example.", dns.TypeAAAA, nil, "NXDOMAIN"},
		"fails":           {"fails.example.", dns.TypeAAAA, nil, "NOERROR | fails.example. AAAA 64:ff9b::c000:221"},
		"not in there":    {"private.home.example.", dns.TypeAAAA, nil, "NOERROR"},
		"who checks":      {"four.example.", dns.TypeAAAA, []func(*dns.Msg){wantDO, cd}, "NOERROR"},
		"with DO alone":   {"four.example.", dns.TypeAAAA, []func(*dns.Msg){wantDO}, "NOERROR | four.example. AAAA 64:ff9b::c000:221 | four.example. AAAA 64:ff9b::c000:222"},
		"with CD alone":   {"four.example.", dns.TypeAAAA, []func(*dns.Msg){cd}, "NOERROR | four.example. AAAA 64:ff9b::c000:221 | four.example. AAAA 64:ff9b::c000:222"},
		"the prefix":      {"ipv4only.arpa.", dns.TypeAAAA, nil, "NOERROR aa | ipv4only.arpa. AAAA 64:ff9b::c000:aa | ipv4only.arpa. AAAA 64:ff9b::c000:ab"},
		"its addresses":   {"ipv4only.arpa.", dns.TypeA, nil, "NOERROR aa | ipv4only.arpa. A 192.0.0.170 | ipv4only.arpa. A 192.0.0.171"},
		"their reverse":   {"170.0.0.192.in-addr.arpa.", dns.TypePTR, nil, "NOERROR aa | 170.0.0.192.in-addr.arpa. PTR ipv4only.arpa."},
		"reverse":         {reverseName(netip.MustParsePrefix("64:ff9b::5db8:d822/128")).String(), dns.TypePTR, nil, "CNAME 34.216.184.93.in-addr.arpa. | 34.216.184.93.in-addr.arpa. PTR four.example."},
		"reverse, inside": {reverseName(netip.MustParsePrefix("64:ff9b::c0a8:101/128")).String(), dns.TypePTR, nil, "PTR home.oak.home.arpa."},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				got := brief(ask(t, s, "udp", tt.name, tt.typ, tt.with...))
				if got != tt.want && (tt.typ != dns.TypePTR || !strings.HasSuffix(got, tt.want)) {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			}
		})
	}
	out := dig(t, s, "+short", "ipv4only.arpa", "AAAA")
	if out != "64:ff9b::c000:aa\n64:ff9b::c000:ab\n" && out != "64:ff9b::c000:ab\n64:ff9b::c000:aa\n" {
		t.Errorf("dig prints %q", out)
	}
	if got := brief(ask(t, start(t, conf(lab(up.addr)), nil), "udp", "ipv4only.arpa.", dns.TypeAAAA)); got != "NOERROR aa" {
		t.Errorf("without DNS64: got %s", got)
	}
}
