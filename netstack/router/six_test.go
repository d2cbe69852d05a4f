package router

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
	"pic/netstack/router/dhcp6"
)

// dhcp6 starts the provider's DHCPv6 server, which delegates a /56 of the /48.
func (w *town) dhcp6(t *testing.T, net48 string, preferred, valid int) *nettest.Proc {
	t.Helper()
	return w.server(t, "kea-dhcp6", map[string]any{"Dhcp6": map[string]any{
		"interfaces-config":  map[string]any{"interfaces": []string{"cpe0"}},
		"lease-database":     map[string]any{"type": "memfile", "persist": false},
		"server-id":          map[string]any{"type": "EN", "enterprise-id": 32473, "identifier": "0123456789ABCDEF", "persist": false},
		"preferred-lifetime": preferred, "valid-lifetime": valid, "renew-timer": preferred / 2, "rebind-timer": preferred * 4 / 5,
		"option-data": []any{map[string]any{"name": "dns-servers", "data": "2001:db8:b::53"}},
		"subnet6": []any{map[string]any{
			"subnet": "2001:db8:a::/64", "interface": "cpe0", "pools": []any{map[string]any{"pool": "2001:db8:a::1000-2001:db8:a::1fff"}},
			"pd-pools": []any{map[string]any{"prefix": net48, "prefix-len": 48, "delegated-len": 56}},
		}},
	}})
}

// radvd starts the provider's advertisements.
func (w *town) radvd(t *testing.T) {
	t.Helper()
	w.provider.Addr("cpe0", "2001:db8:a::1/64")
	w.provider.Run(t, "sh", "-c", "sysctl -q net.ipv6.conf.cpe0.accept_ra=0")
	w.advertise(t, "AdvManagedFlag on; prefix 2001:db8:a::/64 { AdvAutonomous on; }; RDNSS 2001:db8:b::54 { AdvRDNSSLifetime 600; };")
}

// advertise has the provider's router say so.
func (w *town) advertise(t *testing.T, what string) {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "radvd.conf")
	text := "interface cpe0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10; " + what + " };"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.provider.Start(t, nettest.Tool(t, "radvd"), "-n", "-C", conf, "-p", filepath.Join(dir, "pid"), "-m", "stderr", "-u", "root")
}

func TestPrefixIsDelegatedToTheLAN(t *testing.T) {
	w := newTown(t)
	before := hostState(t, w.self)
	w.conf.WAN.Delegation = true
	w.dhcp4(t, "198.51.100.50", "198.51.100.50", 600)
	p := w.dhcp6(t, "2001:db8:f000::", 300, 600)
	w.radvd(t)
	s, stop := w.serve(t)
	wait(t, "a prefix", func() bool { l := s.Status().WAN.Lease6; return l != nil && len(l.Prefixes) == 1 })
	st := s.Status()
	d := st.WAN.Lease6.Prefixes[0]
	lan, _ := forLAN(d.Net)
	if d.Net.Bits() != 56 || !netip.MustParsePrefix("2001:db8:f000::/48").Contains(d.Net.Addr()) {
		t.Errorf("delegated %s", d.Net)
	}
	out := w.self.Run(t, "ip", "-6", "address", "show", "lan0")
	if !strings.Contains(out, lan.Addr().Next().String()+"/64") || !strings.Contains(out, "fd77::1/64") || !strings.Contains(out, "preferred_lft 29") {
		t.Errorf("LAN:\n%s", out)
	}
	if out := w.self.Run(t, "ip", "-6", "route"); !strings.Contains(out, "unreachable "+d.Net.String()) {
		t.Errorf("routes:\n%s", out)
	}
	wait(t, "the kernel's default route", func() bool { return s.Status().WAN.Gateway6.IsValid() })
	wait(t, "name servers", func() bool {
		return fmt.Sprint(s.Resolvers()) == "[203.0.113.53 203.0.113.54 2001:db8:b::53 2001:db8:b::54]"
	})
	wait(t, "addresses of the WAN", func() bool {
		all := fmt.Sprint(s.Status().WAN.Addresses6)
		return strings.Contains(all, "2001:db8:a::1") && strings.Count(all, "2001:db8:a:") >= 2 // one by DHCPv6, one by itself
	})
	wait(t, "IPv6 to the world", func() bool {
		_, err := w.self.Try("ping", "-6", "-c1", "-W1", "2001:db8:b::2")
		return err == nil
	})

	// The cable is pulled and plugged in: the same prefix.
	w.provider.Down("cpe0")
	wait(t, "no carrier", func() bool { return !s.Status().WAN.Plugged })
	w.provider.Up("cpe0")
	wait(t, "the prefix confirmed", func() bool { l := s.Status().WAN.Lease6; return l != nil && l.Got.After(st.WAN.Lease6.Got) })
	if now := s.Status().WAN.Lease6.Prefixes; len(now) != 1 || now[0].Net != d.Net {
		t.Errorf("had %s, has %v", d.Net, now)
	}
	if n := strings.Count(p.Output(), "DHCP6_PD_LEASE_ADVERT"); n != 1 {
		t.Errorf("asked from the beginning %d times", n)
	}
	stop()
	wait(t, "the kernel's own routes gone", func() bool {
		return hostState(t, w.self) == before || !strings.Contains(hostState(t, w.self), "proto 112")
	})
	if out := w.self.Run(t, "ip", "-6", "route"); strings.Contains(out, "unreachable") || strings.Contains(out, "2001:db8:f000") {
		t.Errorf("left behind:\n%s", out)
	}
	if strings.Contains(p.Output(), "RELEASE") {
		t.Error("a stop gave the prefix back")
	}
}

// The provider's server forgets, and gives another prefix: the LAN gets it, and
// the former is no longer preferred. Then the server goes away, and with the end of
// the lease the prefix does.
func TestDelegationChangesAndEnds(t *testing.T) {
	w := newTown(t)
	w.conf.WAN.Delegation = true
	w.dhcp6(t, "2001:db8:f000::", 6, 12)
	s, _ := w.serve(t)
	wait(t, "a prefix", func() bool { l := s.Status().WAN.Lease6; return l != nil && len(l.Prefixes) == 1 })
	first := s.Status().WAN.Lease6
	wait(t, "a renewal", func() bool { l := s.Status().WAN.Lease6; return l != nil && l.Until().After(first.Until()) })
	w.dhcp6(t, "2001:db8:e000::", 6, 12)
	wait(t, "the other prefix", func() bool {
		return strings.Contains(w.self.Run(t, "ip", "-6", "address", "show", "lan0"), "2001:db8:e000:")
	})
	if out := w.self.Run(t, "ip", "-6", "-o", "address", "show", "lan0"); strings.Contains(out, "2001:db8:f000") && !strings.Contains(out, "deprecated") {
		t.Errorf("the former prefix is preferred still:\n%s", out)
	}
	w.kea["kea-dhcp6"].Kill()
	wait(t, "REBIND", func() bool { return s.Status().WAN.State6 == dhcp6.Rebinding })
	wait(t, "the end", func() bool { return s.Status().WAN.Lease6 == nil })
	wait(t, "no prefix in the LAN", func() bool {
		out := w.self.Run(t, "sh", "-c", "ip -6 address show lan0; ip -6 route")
		return !strings.Contains(out, "2001:db8:e000") && !strings.Contains(out, "unreachable")
	})
	if p := s.Prefixes(); len(p) != 1 || p[0].Net.String() != "fd77::/64" {
		t.Errorf("prefixes %v", p)
	}
	w.dhcp6(t, "2001:db8:d000::", 300, 600)
	nettest.WaitFor(t, 60*time.Second, func() bool { l := s.Status().WAN.Lease6; return l != nil && len(l.Prefixes) == 1 })
}
