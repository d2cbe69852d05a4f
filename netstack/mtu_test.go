package netstack

import (
	"net"
	"testing"
	"time"

	"pic/internal/nettest"
	"pic/netstack/exit"
)

func TestUsualMTUYieldsToTheWayOutAndAChosenOneDoesNot(t *testing.T) {
	for name, tt := range map[string]struct{ said, wan, want int }{
		"ethernet":         {1420, 1500, 1420},
		"PPPoE":            {1420, 1492, 1412},
		"jumbo frames":     {1420, 9000, 1420}, // of the LAN; the internet has none
		"a narrow one":     {1420, 1280, 1280}, // in fragments, for IPv6 asks for 1280
		"not known":        {1420, 0, 1420},
		"chosen, narrower": {1300, 1492, 1300},
		"chosen, wider":    {1500, 1492, 1500},
	} {
		if got := fitted(tt.said, tt.wan); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	if e := fit([]exit.Exit{{MTU: 1420}, {MTU: 1380}}, 1492); e[0].MTU != 1412 || e[1].MTU != 1380 {
		t.Errorf("exits get %d and %d", e[0].MTU, e[1].MTU)
	}
}

func TestTunnelFollowsTheMTUOfTheWayOut(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	is := func(why string, mtu int) {
		t.Helper()
		t.Logf("%s: %d", why, mtu)
		nettest.WaitFor(t, 5*time.Second, func() bool {
			c, err := net.InterfaceByName("pic0")
			return err == nil && c.MTU == mtu && s.MTU() == mtu
		})
	}
	is("as it begins", 1420)
	w.self.Run(t, "ip", "link", "set", "wan0", "mtu", "1492")
	is("PPPoE", 1412)
	w.self.Run(t, "ip", "route", "add", "default", "via", "198.51.100.2", "mtu", "1400")
	is("a route that says less", 1320)
	w.self.Run(t, "ip", "route", "del", "default")
	w.self.Run(t, "ip", "link", "set", "wan0", "mtu", "1500")
	is("ethernet again", 1420)

	w.doc.Network.WAN.Name = "" // wherever the kernel routes it
	w.self.Run(t, "ip", "link", "set", "road0", "mtu", "1480")
	w.self.Run(t, "ip", "route", "add", "default", "via", "203.0.113.2")
	apply(t, s, w.config())
	is("the default route's interface", 1400)
	w.self.Run(t, "ip", "route", "replace", "default", "nexthop", "via", "203.0.113.2", "nexthop", "via", "198.51.100.2")
	w.self.Run(t, "ip", "link", "set", "road0", "mtu", "1500")
	w.self.Run(t, "ip", "link", "set", "wan0", "mtu", "1472")
	is("the narrower of two", 1392)
	w.self.Run(t, "ip", "route", "del", "default")
	w.doc.WireGuard.MTU = 1410
	apply(t, s, w.config())
	is("a chosen one", 1410)
}
