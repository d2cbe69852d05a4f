package router

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pic/netstack/router/dhcp4"
)

// What a provider says of the LAN does not lead the LAN's traffic to it.
func TestProviderLeadsNothingOutOfTheLAN(t *testing.T) {
	now := time.Now()
	via := netip.MustParseAddr("198.51.100.1")
	c := Config{LAN: LAN{Name: "lan0", Address: netip.MustParsePrefix("192.168.7.1/24")}, WAN: WAN{Name: "wan0", DHCP: true}}
	l := &dhcp4.Lease{Address: netip.MustParsePrefix("198.51.100.7/24"), Until: now.Add(time.Hour)}
	for to, want := range map[string]bool{
		"0.0.0.0/0": true, "192.168.0.0/16": true, "10.0.0.0/8": true, "192.168.7.0/24": false, "192.168.7.128/25": false, "192.168.7.20/32": false,
	} {
		l.Routes = []dhcp4.Route{{To: netip.MustParsePrefix(to), Via: via}}
		got := slices.ContainsFunc(c.plan(l, nil, now).routes, func(r route) bool { return r.to.String() == to })
		if got != want {
			t.Errorf("the way to %s is gone: %v", to, got)
		}
	}
}
