package router

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pic/internal/nettest"
)

func TestStaticWANAndBridge(t *testing.T) {
	w := newTown(t)
	lab := nettest.New(t)
	second := lab.Host("second")
	lab.Link(w.self, "lan1", "", second, "eth0", "192.168.7.30/24")
	before := hostState(t, w.self)
	w.provider.Addr("cpe0", "2001:db8:a::1/64")
	w.conf.LAN.Name, w.conf.LAN.Bridge = "br-lan", []string{"lan0", "lan1"}
	w.conf.WAN = WAN{
		Name: "wan0", Address: netip.MustParsePrefix("198.51.100.9/24"), Gateway: netip.MustParseAddr("198.51.100.1"),
		Address6: netip.MustParsePrefix("2001:db8:a::9/64"), Gateway6: netip.MustParseAddr("2001:db8:a::1"),
	}
	s, stop := w.serve(t)
	w.self.Run(t, "ping", "-c1", "-W2", "203.0.113.2")
	wait(t, "IPv6", func() bool {
		_, err := w.self.Try("ping", "-6", "-c1", "-W1", "2001:db8:b::2")
		return err == nil
	})
	// Two cards are one LAN.
	w.device.Run(t, "ping", "-c1", "-W2", "192.168.7.30")
	second.Run(t, "ping", "-c1", "-W2", "192.168.7.1")
	if st := s.Status(); st.WAN.Address.String() != "198.51.100.9/24" || st.WAN.Gateway.String() != "198.51.100.1" || st.WAN.Lease != nil || len(st.LAN.Addresses) != 2 {
		t.Errorf("status %+v", st)
	}

	// What somebody takes away comes back; what is not ours stays.
	w.self.Run(t, "ip", "address", "add", "10.9.9.9/24", "dev", "wan0")
	w.self.Run(t, "ip", "route", "add", "10.8.0.0/16", "via", "10.9.9.1")
	for _, damage := range []string{"ip route del default", "ip address del 192.168.7.1/24 dev br-lan", "ip link set lan1 nomaster", "sysctl -q net.ipv4.ip_forward=0"} {
		w.self.Run(t, "sh", "-c", damage)
		wait(t, "mended: "+damage, func() bool {
			out := hostState(t, w.self) + w.self.Run(t, "ip", "link", "show", "lan1")
			return strings.Contains(out, "default via 198.51.100.1") && strings.Contains(out, "192.168.7.1/24") &&
				strings.Contains(out, "lan1") && strings.Contains(out, "master br-lan") && strings.Contains(out, "ip_forward = 1")
		})
	}
	// A card that leaves the bridge is let go.
	c := w.conf
	c.LAN.Bridge = []string{"lan0"}
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if out := w.self.Run(t, "ip", "link", "show", "lan1"); strings.Contains(out, "master") {
		t.Errorf("lan1 is in the bridge still: %s", out)
	}
	stop()
	if out := w.self.Run(t, "ip", "route"); !strings.Contains(out, "10.8.0.0/16 via 10.9.9.1") {
		t.Errorf("the route of another is gone:\n%s", out)
	}
	w.self.Run(t, "ip", "address", "del", "10.9.9.9/24", "dev", "wan0")
	if after := hostState(t, w.self); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
}

func TestOtherProgramOnTheWANIsTold(t *testing.T) {
	w := newTown(t)
	w.self.Addr("wan0", "198.51.100.77/24")
	w.self.Run(t, "ip", "route", "add", "default", "via", "198.51.100.1", "proto", "dhcp", "metric", "1024")
	w.dhcp4(t, "198.51.100.50", "198.51.100.50", 600)
	s, stop := w.serve(t)
	wait(t, "a problem", func() bool {
		p := s.Problems()
		return len(p) == 1 && p[0].Code == codeForeign && strings.Contains(p[0].Text, "198.51.100.1") && strings.Contains(p[0].Text, "DHCP client") && strings.Contains(p[0].Fix, "systemd-networkd")
	})
	wait(t, "our own address all the same", func() bool { return strings.Contains(w.wan(t), "198.51.100.50/24") })
	stop()
	if out := w.self.Run(t, "ip", "route"); !strings.Contains(out, "default via 198.51.100.1 dev wan0 proto dhcp") || !strings.Contains(w.wan(t), "198.51.100.77") {
		t.Errorf("what is another's went:\n%s", out)
	}
}

func TestMissingCardIsAProblemAndComesLate(t *testing.T) {
	lab := nettest.New(t)
	self, device := lab.Self(), lab.Host("device")
	w := &town{self: self, device: device, dir: t.TempDir()}
	w.conf = Config{LAN: LAN{Name: "lan0", Address: netip.MustParsePrefix("192.168.7.1/24")}, WAN: WAN{Name: "wan0", DHCP: true}}
	s, _ := w.serve(t)
	has := func(code string) bool {
		for _, p := range s.Problems() {
			if p.Code == code {
				return true
			}
		}
		return false
	}
	wait(t, "a problem", func() bool { return has(codeNoCard) })
	lab.Link(self, "lan0", "", device, "eth0", "192.168.7.20/24")
	wait(t, "the LAN", func() bool {
		_, err := device.Try("ping", "-c1", "-W1", "192.168.7.1")
		return err == nil
	})
	lab.Link(self, "wan0", "", lab.Host("provider"), "cpe0", "")
	wait(t, "no missing card", func() bool { return !has(codeNoCard) })
	next := w.conf
	next.WAN.Name = "nic7"
	if err := s.Check(t.Context(), next); err == nil || !strings.Contains(err.Error(), "ip link") {
		t.Errorf("a card that nobody has heard of: %v", err)
	}
}

// A server never touches the host, nor its data folder.
func TestServerTouchesNothing(t *testing.T) {
	nettest.NeedNamespace(t)
	dir := filepath.Join(t.TempDir(), "router")
	s := New(slog.New(slog.DiscardHandler), dir)
	if err := s.Apply(t.Context(), Config{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it made its folder")
	}
	if s.Status().On || s.Prefixes() != nil || s.Resolvers() != nil || s.Facts() != nil || s.Sockets() != nil {
		t.Error("it says that it routes")
	}
}
