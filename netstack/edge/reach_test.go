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
