package router

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pic/core/service"
	"pic/netstack/router/dhcp4"
	"pic/netstack/router/dhcp6"
)

func home() Config {
	net := netip.MustParsePrefix
	return Config{
		LAN: LAN{Name: "lan0", Address: net("192.168.7.1/24")}, WAN: WAN{Name: "wan0", DHCP: true},
		Homes: []Home{
			{net("192.168.7.0/24"), "the LAN", "network.lan.address"},
			{net("fd77::/64"), "the LAN", "network.lan.address6"},
			{net("10.70.3.0/24"), "the VPN", "wireguard.subnet"},
			{net("2001:db8:77::/48"), "the network behind barn", "peers.barn.site"},
		},
	}
}

func TestLeaseThatIsTheHouseholdsIsNotUsed(t *testing.T) {
	now := time.Now()
	c := home()
	for given, tt := range map[string]struct {
		via, want string // want: setting in the problem; "+": used, with a warning
	}{
		"198.51.100.7/24":  {"198.51.100.1", ""},
		"100.64.0.7/10":    {"100.64.0.1", ""},
		"192.168.7.30/24":  {"192.168.7.254", "network.lan.address"},
		"192.168.7.30/30":  {"192.168.7.29", "network.lan.address"},
		"192.168.9.30/20":  {"192.168.9.1", "+"},
		"192.168.9.30/16":  {"192.168.7.1", "network.lan.address"},
		"10.70.3.200/25":   {"10.70.3.129", "wireguard.subnet"},
		"10.0.0.9/8":       {"10.0.0.1", "+"},
		"10.70.3.200/8":    {"10.0.0.1", "wireguard.subnet"},
		"203.0.113.200/32": {"10.70.3.1", "wireguard.subnet"},
	} {
		l := &dhcp4.Lease{Address: netip.MustParsePrefix(given), Router: netip.MustParseAddr(tt.via), Until: now.Add(time.Hour)}
		p, plan := c.clash(l, nil, nil), c.plan(l, nil, now)
		used := slices.ContainsFunc(plan.addrs, func(a address) bool { return a.Card == "wan0" }) && len(plan.routes) > 0
		switch tt.want {
		case "":
			if p != nil || !used {
				t.Errorf("%s by %s: used %v, %+v", given, tt.via, used, p)
			}
		case "+":
			if p == nil || p.Severity != service.Warning || !used {
				t.Errorf("%s by %s: used %v, %+v", given, tt.via, used, p)
			}
		default:
			if p == nil || p.Severity != service.Failure || used || len(plan.routes) > 0 || !strings.Contains(p.Fix, "set "+tt.want) || !strings.Contains(p.Text, given) {
				t.Errorf("%s by %s: used %v, %+v", given, tt.via, used, p)
			}
		}
	}
	if got := c.spare(netip.MustParsePrefix("192.168.77.0/24")); got.String() != "10.77.77.1/24" {
		t.Errorf("suggests %s", got)
	}
}

// What a provider says of the household's networks does not lead their traffic to
// it, and halves of the internet are no way around other default routes.
func TestProviderLeadsNothingOutOfTheHouse(t *testing.T) {
	now := time.Now()
	c := home()
	l := &dhcp4.Lease{Address: netip.MustParsePrefix("198.51.100.7/24"), Until: now.Add(time.Hour)}
	for way, want := range map[string]bool{
		"0.0.0.0/0 198.51.100.1": true, "192.168.0.0/16 198.51.100.1": true, "10.0.0.0/8 198.51.100.1": true,
		"192.168.7.0/24 198.51.100.1": false, "192.168.7.128/25 198.51.100.1": false, "192.168.7.20/32 198.51.100.1": false,
		"10.70.3.0/24 198.51.100.1": false, "10.70.3.9/32 198.51.100.1": false, "203.0.113.0/24 192.168.7.20": false,
		"0.0.0.0/1 198.51.100.1": false, "128.0.0.0/1 198.51.100.1": false, "8.0.0.0/7 198.51.100.1": false,
	} {
		to, via, _ := strings.Cut(way, " ")
		l.Routes = []dhcp4.Route{{To: netip.MustParsePrefix(to), Via: netip.MustParseAddr(via)}}
		got := slices.ContainsFunc(c.plan(l, nil, now).routes, func(r route) bool { return r.to.String() == to })
		if got != want {
			t.Errorf("the way to %s is gone: %v", way, got)
		}
		if p := c.clash(l, nil, nil); (p == nil) != want || p != nil && !strings.Contains(p.Text, to) {
			t.Errorf("%s: problem %+v", way, p)
		}
	}
	l.Routes = nil
	for i := range 60 {
		l.Routes = append(l.Routes, dhcp4.Route{To: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 7, byte(i)}), 32)})
	}
	if p := c.clash(l, nil, nil); p == nil || !strings.Contains(p.Text, "52 more") {
		t.Errorf("many routes: %+v", p)
	}
}

func TestDelegatedPrefixThatIsTheHouseholdsIsNotUsed(t *testing.T) {
	now := time.Now()
	c := home()
	for text, want := range map[string]bool{
		"2001:db8:f000::/56": true, "2001:db8:77:100::/56": false, "2001:db8::/32": false, "2001:db8:77::/64": false,
		"::/0": false, "2000::/3": false, "2001::/20": false, "fd88::/48": false, "fd77::/64": false,
	} {
		p := netip.MustParsePrefix(text)
		six := &dhcp6.Lease{Prefixes: []dhcp6.Prefix{{Net: p, Preferred: now.Add(time.Hour), Valid: now.Add(time.Hour)}}}
		plan := c.plan(nil, six, now)
		s := &Server{conf: c, six: six}
		if got := len(plan.routes) == 1; got != want || (len(s.Prefixes()) == 1) != want || (c.clash(nil, six, nil) == nil) != want {
			t.Errorf("%s: %+v, %v, %+v", text, plan.routes, s.Prefixes(), c.clash(nil, six, nil))
		}
	}
	six := &dhcp6.Lease{Addresses: []dhcp6.Address{{Addr: netip.MustParseAddr("fd77::9"), Preferred: now.Add(time.Hour), Valid: now.Add(time.Hour)}}}
	if n := len(c.plan(nil, six, now).addrs); n != 1 {
		t.Errorf("the WAN takes an address of the LAN: %d addresses", n)
	}
	s := &Server{conf: c, four: &dhcp4.Lease{DNS: []netip.Addr{netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr("9.9.9.9")}}}
	if got := fmt.Sprint(s.Resolvers()); got != "[9.9.9.9]" {
		t.Errorf("asks %s", got)
	}
}

// Advertisements on the WAN claim the LAN: by a network of the same addresses, and
// by a part of it, which would win.
func TestAdvertisementsCannotClaimTheLAN(t *testing.T) {
	w := newTown(t)
	w.conf.Homes = []Home{{netip.MustParsePrefix("fd77::/64"), "the LAN", "network.lan.address6"}}
	s, _ := w.serve(t)
	w.provider.Addr("cpe0", "2001:db8:a::1/64")
	w.provider.Run(t, "sh", "-c", "sysctl -q net.ipv6.conf.cpe0.accept_ra=0")
	w.advertise(t, "prefix fd77::/64 { AdvAutonomous on; AdvOnLink on; }; prefix fd77::8000:0:0:0/66 { AdvOnLink on; AdvAutonomous off; }; "+
		"prefix 2001:db8:a::/64 { AdvAutonomous on; };")
	wait(t, "a problem", func() bool {
		return slices.ContainsFunc(s.Problems(), func(p service.Problem) bool { return p.Code == codeClash && strings.Contains(p.Text, "fd77::") })
	})
	wait(t, "nothing of the LAN at the WAN", func() bool {
		return !strings.Contains(w.self.Run(t, "sh", "-c", "ip -6 route show dev wan0; ip -6 addr show dev wan0"), "fd77")
	})
	if out := w.self.Run(t, "ip", "-6", "route", "get", "fd77::8000:0:0:9"); !strings.Contains(out, "dev lan0") {
		t.Errorf("the LAN is at %s", out)
	}
	if out := w.self.Run(t, "sysctl", "-n", "net.ipv6.conf.wan0.accept_ra_pinfo"); strings.TrimSpace(out) != "0" {
		t.Errorf("networks of advertisements are followed: %s", out)
	}
	wait(t, "the default route", func() bool { return s.Status().WAN.Gateway6.IsValid() })
}
