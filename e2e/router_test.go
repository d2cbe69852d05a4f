package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pic/api/wire"
	"pic/internal/nettest"
)

// A household is a cell that is the router between its LAN, with one device, and
// a provider with real servers, beyond which is a host.
type household struct {
	*cell
	provider, beyond, device *nettest.Host
}

func newHousehold(t *testing.T) *household {
	t.Helper()
	lab := nettest.New(t)
	h := &household{provider: lab.Host("provider"), beyond: lab.Host("beyond"), device: lab.Host("device")}
	router := lab.Host("router")
	lab.Link(router, "wan0", "", h.provider, "cpe0", "198.51.100.1/24")
	lab.Link(router, "lan0", "", h.device, "eth0", "")
	lab.Link(h.provider, "up0", "203.0.113.1/24", h.beyond, "eth0", "203.0.113.2/24")
	h.provider.Addr("cpe0", "2001:db8:a::1/64")
	h.provider.Addr("up0", "2001:db8:b::1/64")
	h.beyond.Addr("eth0", "2001:db8:b::2/64")
	h.provider.Forward()
	h.provider.Sysctl("net.ipv6.conf.cpe0.accept_ra", "0")
	h.beyond.Route("default", "203.0.113.1")
	h.beyond.Route("default", "2001:db8:b::1")
	h.serve(t)
	h.cell = newCell(t, router)
	return h
}

// serve starts the provider's servers: DHCP, DHCPv6 with delegation, and router
// advertisements.
func (h *household) serve(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for name, conf := range map[string]string{
		"kea-dhcp4": `{"Dhcp4": {"interfaces-config": {"interfaces": ["cpe0"]}, "lease-database": {"type": "memfile", "persist": false},
			"valid-lifetime": 600, "subnet4": [{"subnet": "198.51.100.0/24", "pools": [{"pool": "198.51.100.50 - 198.51.100.50"}],
			"option-data": [{"name": "routers", "data": "198.51.100.1"}, {"name": "domain-name-servers", "data": "203.0.113.53"}]}]}}`,
		"kea-dhcp6": `{"Dhcp6": {"interfaces-config": {"interfaces": ["cpe0"]}, "lease-database": {"type": "memfile", "persist": false},
			"server-id": {"type": "EN", "enterprise-id": 32473, "identifier": "0123456789ABCDEF", "persist": false},
			"preferred-lifetime": 300, "valid-lifetime": 600, "subnet6": [{"subnet": "2001:db8:a::/64", "interface": "cpe0",
			"pd-pools": [{"prefix": "2001:db8:f000::", "prefix-len": 56, "delegated-len": 56}]}]}}`,
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := h.provider.Command(nettest.Tool(t, name), "-c", file)
		cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+dir, "KEA_LOCKFILE_DIR="+dir)
		nettest.Start(t, cmd)
	}
	radvd := filepath.Join(dir, "radvd.conf")
	if err := os.WriteFile(radvd, []byte("interface cpe0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10; prefix 2001:db8:a::/64 {}; };"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.provider.Start(t, "radvd", "-n", "-C", radvd, "-p", filepath.Join(dir, "radvd.pid"), "-m", "stderr", "-u", "root")
}

// state is GET /api/router.
func (h *household) state(t *testing.T) wire.Router {
	t.Helper()
	var out wire.Router
	if err := json.Unmarshal([]byte(h.pic("router", "--json")), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCellIsTheRouterOfItsHousehold(t *testing.T) {
	h := newHousehold(t)
	h.start()
	h.pic("set", "network", `{"router":true,"lan":{"name":"lan0","address":"192.168.7.1/24","address6":"fd77::1/64"},"wan":{"name":"wan0"}}`)
	h.set("dhcp.enabled", true)
	nettest.WaitFor(t, 30*time.Second, func() bool {
		w := h.state(t).WAN
		return w != nil && w.Address.IsValid() && len(w.Prefixes) == 1 && w.Gateway6.IsValid()
	})
	w := h.state(t).WAN
	if w.Address.String() != "198.51.100.50/24" || w.Gateway.String() != "198.51.100.1" || w.Lease == nil || w.Prefixes[0].Prefix.String() != "2001:db8:f000::/56" {
		t.Errorf("%+v", w)
	}
	// Real providers route what they delegate.
	h.provider.Run(t, "ip", "-6", "route", "add", "2001:db8:f000::/56", "via", linkLocal(t, h.host, "wan0"), "dev", "cpe0")

	// A device of the LAN gets both, by dhclient and by the kernel.
	script := filepath.Join(t.TempDir(), "script")
	text := "#!/bin/sh\n[ \"$reason\" = BOUND ] && ip addr add $new_ip_address/24 dev $interface && ip route add default via $new_routers\ntrue\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := h.device.Start(t, "dhclient", "-4", "-d", "-1", "-v", "-sf", script, "-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), "eth0")
	nettest.WaitFor(t, 30*time.Second, func() bool { return strings.Contains(p.Output(), "renewal in") })
	nettest.WaitFor(t, 30*time.Second, func() bool {
		out := h.device.Run(t, "ip", "-6", "address", "show", "eth0")
		return strings.Contains(out, "2001:db8:f000:") && strings.Contains(out, "fd77:")
	})
	out := h.device.Run(t, "rdisc6", "-1", "eth0")
	for _, want := range []string{"2001:db8:f000::/64", "fd77::/64", "Recursive DNS server     : fd77::1", "DNS search list          : lan.oak.home.arpa oak.home.arpa"} {
		if !strings.Contains(out, want) {
			t.Errorf("advertised without %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "Valid time                : 0") {
		t.Errorf("withdraws what it gives:\n%s", out)
	}
	seen := h.beyond.Start(t, "tcpdump", "-nlp", "-i", "eth0", "icmp or (icmp6 and ip6[40] == 128)")
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(seen.Output(), "listening on") })
	h.device.Run(t, "ping", "-c1", "-W3", "203.0.113.2")
	h.device.Run(t, "ping", "-6", "-c1", "-W3", "2001:db8:b::2")
	nettest.WaitFor(t, 10*time.Second, func() bool {
		return strings.Contains(seen.Output(), "IP 198.51.100.50 > 203.0.113.2") && strings.Contains(seen.Output(), "IP6 2001:db8:f000:")
	})
	// What is not given out is unreachable, instead of running in circles.
	if out, err := h.beyond.Try("ping", "-6", "-c1", "-W3", "2001:db8:f000:ff::1"); err == nil || !strings.Contains(out, "nreachable") {
		t.Errorf("an unused part of the prefix: %s", out)
	}
	// The provider's name server is asked, since the document names none.
	nettest.WaitFor(t, 30*time.Second, func() bool { return strings.Contains(h.pic("dns", "status"), "203.0.113.53") })

	out = h.pic("route", "ls")
	for _, want := range []string{`default +198\.51\.100\.1 +wan0 +20 +main +pic`, `2001:db8:f000::/56 +none +unreachable`, `default6 +fe80\S+ +wan0 +\d+ +main +ra`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("route ls without %s:\n%s", want, out)
		}
	}
	// Two streams through the cell are counted for the device.
	srv := h.beyond.Start(t, "iperf3", "-s", "--forceflush")
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(srv.Output(), "listening") })
	h.device.Run(t, "iperf3", "-c", "203.0.113.2", "-n", "20M")
	h.device.Run(t, "iperf3", "-c", "2001:db8:b::2", "-n", "20M", "-R")
	mac := regexp.MustCompile(`link/ether (\S+)`).FindStringSubmatch(h.device.Run(t, "ip", "-o", "link", "show", "eth0"))[1]
	var all wire.TrafficHistory
	defer func() {
		if t.Failed() {
			t.Logf("the device is %s; counted: %+v", mac, all)
		}
	}()
	nettest.WaitFor(t, 40*time.Second, func() bool {
		all = wire.TrafficHistory{}
		if err := json.Unmarshal([]byte(h.pic("traffic", "--json", "--hours", "1")), &all); err != nil {
			t.Fatal(err)
		}
		var wan, device bool
		for _, d := range all.Devices {
			whole := d.Sent > 15<<20 && d.Received > 15<<20 && d.Sent < 30<<20 && d.Received < 30<<20
			wan = wan || d.Kind == "wan" && whole
			device = device || d.Kind == "lan" && d.MAC == mac && d.Address.IsValid() && whole
		}
		return wan && device
	})

	before := addresses(t, h.host)
	monitor := h.host.Start(t, "ip", "-o", "monitor", "address")
	h.kill()
	h.start()
	nettest.WaitFor(t, 30*time.Second, func() bool { w := h.state(t).WAN; return w.State == "bound" && w.State6 == "bound" })
	if after := addresses(t, h.host); after != before {
		t.Errorf("addresses were %s and are %s", before, after)
	}
	if gone := regexp.MustCompile(`Deleted.*(wan0|lan0).*`).FindString(monitor.Output()); gone != "" {
		t.Errorf("an address went and came: %s", gone)
	}
	h.device.Run(t, "ping", "-c1", "-W3", "203.0.113.2")
	h.device.Run(t, "ping", "-6", "-c1", "-W3", "2001:db8:b::2")
	h.stop()
	if out := h.host.Run(t, "sh", "-c", "ip -4 address show scope global; ip route; ip -6 address show dev lan0 scope global; sysctl -n net.ipv4.ip_forward"); strings.TrimSpace(out) != "0" {
		t.Errorf("left on the host:\n%s", out)
	}
}

func linkLocal(t *testing.T, h *nettest.Host, card string) string {
	t.Helper()
	for _, f := range strings.Fields(h.Run(t, "ip", "-6", "-o", "address", "show", "dev", card, "scope", "link")) {
		if p, err := netip.ParsePrefix(f); err == nil {
			return p.Addr().String()
		}
	}
	t.Fatalf("%s has no link-local address", card)
	return ""
}

// addresses are those of a host, without lifetimes.
func addresses(t *testing.T, h *nettest.Host) string {
	t.Helper()
	var out []string
	for _, line := range strings.Split(h.Run(t, "ip", "-o", "address", "show", "scope", "global"), "\n") {
		if f := strings.Fields(line); len(f) > 3 {
			out = append(out, f[1]+" "+f[3])
		}
	}
	return fmt.Sprint(out)
}
