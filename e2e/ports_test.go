package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

// A service of an appliance leaves its standard port, on which the VPN goes on
// to be served, and comes back; and when the host gets another address, the
// names follow without a change of the document.
func TestApplianceMovesPortsAndAddresses(t *testing.T) {
	nettest.NeedTUN(t)
	lab := nettest.New(t)
	sw := lab.Bridge("sw0")
	sw.Join(lab.Self(), "lan0", "192.168.7.1/24")
	c := newCell(t, lab.Self())
	run(t, "ip", "route", "add", "default", "via", "192.168.7.254")
	c.start()
	subnet := netip.MustParsePrefix(strings.Trim(strings.TrimSpace(c.pic("get", "wireguard.subnet")), `"`))
	vpn := subnet.Masked().Addr().Next().String()
	home := func(server, port string) string {
		out, _ := try(t, "dig", "+short", "+time=1", "+tries=1", "@"+server, "-p", port, "home.oak.home.arpa")
		return strings.TrimSpace(out)
	}
	for range 2 {
		for path, port := range map[string]int{"dns.port": 1053, "ntp.port": 1123, "mail.smtpPort": 1025, "proxy.httpsPort": 1443} {
			c.set(path, port)
		}
		if a, b := home("192.168.7.1", "1053"), home(vpn, "53"); a != "192.168.7.1" || b == "" {
			t.Errorf("on port 1053 the LAN is told %q, on port 53 the VPN %q", a, b)
		}
		for _, path := range []string{"dns.port", "ntp.port", "mail.smtpPort", "proxy.httpsPort"} {
			c.set(path, nil)
		}
		if a := home("192.168.7.1", "53"); a != "192.168.7.1" {
			t.Errorf("back on port 53 the LAN is told %q", a)
		}
	}
	run(t, "ip", "addr", "add", "192.168.8.1/24", "dev", "lan0")
	run(t, "ip", "addr", "del", "192.168.7.1/24", "dev", "lan0")
	run(t, "ip", "route", "replace", "default", "via", "192.168.8.254")
	nettest.WaitFor(t, 15*time.Second, func() bool { return home("192.168.8.1", "53") == "192.168.8.1" })
}
