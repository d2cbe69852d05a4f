package edge

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/netstack/igd"
)

func TestTheSelfTestSaysWhyNot(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	pub := netip.MustParseAddr("9.9.0.7")
	behind := igd.State{Method: igd.ByPCP, External: netip.AddrPortFrom(pub, 51820)}
	for name, tt := range map[string]struct {
		e    Evidence
		want string // outcomes in order
		says string
	}{
		"nobody said":       {Evidence{Port: 51820}, "bad unknown unknown", "Nobody said"},
		"LAN address":       {Evidence{Endpoint: "192.168.1.10:51820", Port: 51820}, "bad unknown unknown", "on the road it does not"},
		"name leads astray": {Evidence{Endpoint: "vpn.example:51820", Port: 51820, Failure: "no such host"}, "ok bad unknown unknown", "no such host"},
		"another's address": {
			Evidence{Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{netip.MustParseAddr("9.9.9.9")}, Upstream: behind, Asked: true},
			"ok bad ok unknown", "but this cell's line has 9.9.0.7",
		},
		"all well behind a router": {
			Evidence{
				Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{pub}, Upstream: behind, Asked: true,
				Caller: "phone", From: netip.MustParseAddr("9.8.7.6"), At: now.Add(-time.Hour),
			},
			"ok ok ok ok", "devices do find the cell",
		},
		"another port upstream": {
			Evidence{Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{pub}, Upstream: igd.State{Method: igd.ByUPnP, External: netip.AddrPortFrom(pub, 40000)}, Asked: true},
			"ok ok bad unknown", "lets port 40000 in",
		},
		"shared address": {
			Evidence{Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{pub}, Asked: true, Upstream: igd.State{Method: igd.ByPCP, External: netip.MustParseAddrPort("100.64.3.4:51820")}},
			"ok unknown bad unknown", "shares between customers",
		},
		"two routers": {
			Evidence{Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{pub}, Asked: true, Upstream: igd.State{Method: igd.ByUPnP, External: netip.MustParseAddrPort("192.168.0.7:51820")}},
			"ok unknown bad unknown", "behind another router itself (double NAT)",
		},
		"a router behind another": {
			Evidence{Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{pub}, Line: netip.MustParseAddr("192.168.0.7")},
			"ok unknown unknown unknown", "its line has the address 192.168.0.7",
		},
		"a shared line": {
			Evidence{Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{pub}, Line: netip.MustParseAddr("100.72.0.7")},
			"ok unknown bad unknown", "The line has the address 100.72.0.7, which the provider shares",
		},
		"a name that is at home here": {
			Evidence{Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{netip.MustParseAddr("192.168.1.10")}, Upstream: behind, Asked: true},
			"ok unknown ok unknown", "Seen from here, vpn.example is 192.168.1.10",
		},
		"a knock that came in": {
			Evidence{Endpoint: "vpn.example:443", Port: 51820, Resolved: []netip.Addr{pub}, Knock: &Knock{"oslo", netip.MustParseAddrPort("9.9.0.7:443"), 51820}},
			"ok unknown ok unknown", "left by the exit oslo for 9.9.0.7:443 came in at port 51820",
		},
		"a knock at another port": {
			Evidence{Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{pub}, Knock: &Knock{"oslo", netip.MustParseAddrPort("9.9.0.7:51820"), 40000}},
			"ok unknown bad unknown", "came in at port 40000, and the VPN listens on 51820",
		},
		"a knock in vain": {
			Evidence{Endpoint: "vpn.example:51820", Port: 51820, Resolved: []netip.Addr{pub}, Upstream: behind, Asked: true, Knock: &Knock{"oslo", netip.MustParseAddrPort("9.9.0.7:51820"), 0}},
			"ok ok bad unknown", "did not come in",
		},
		"a knock in vain at the host's own address": {
			Evidence{Endpoint: "vpn.example", Port: 51820, Resolved: []netip.Addr{pub}, Public: []netip.Addr{pub}, Knock: &Knock{"oslo", netip.MustParseAddrPort("9.9.0.7:51820"), 0}},
			"ok ok bad unknown", "public address of its own, but",
		},
		"router itself": {Evidence{Endpoint: "vpn.example", Port: 51820, Resolved: []netip.Addr{pub}, Public: []netip.Addr{pub}}, "ok ok ok unknown", "public address of its own"},
		"old call": {
			Evidence{Endpoint: "9.9.0.7:51820", Port: 51820, Resolved: []netip.Addr{pub}, Public: []netip.Addr{pub}, Caller: "phone", At: now.AddDate(0, -1, 0)},
			"ok ok ok unknown", "1 May 2026",
		},
	} {
		var got, texts []string
		for _, s := range Judge(tt.e, now) {
			got = append(got, string(s.Outcome))
			texts = append(texts, s.Text)
			if s.Outcome != Good && s.Fix == "" {
				t.Errorf("%s: %q without a way out", name, s.Text)
			}
		}
		if strings.Join(got, " ") != tt.want || !strings.Contains(strings.Join(texts, " "), tt.says) {
			t.Errorf("%s: %v %q", name, got, texts)
		}
	}
}
