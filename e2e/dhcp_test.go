package e2e

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

func netListen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

var leased = regexp.MustCompile(`lease of ([0-9.]+) obtained|bound to ([0-9.]+)`)

func TestApplianceLeasesAddressesAcrossAKill(t *testing.T) {
	lab := nettest.New(t)
	sw := lab.Bridge("sw0")
	sw.Join(lab.Self(), "lan0", "192.168.7.1/24")
	box, deb := lab.Host("box"), lab.Host("deb")
	sw.Join(box, "eth0")
	sw.Join(deb, "eth0")
	c := newCell(t, lab.Self())
	c.start()
	c.pic("set", "network.lan", `{"name":"lan0","address":"192.168.7.1/24"}`)
	c.set("dhcp.enabled", true)

	dir := t.TempDir()
	conf := filepath.Join(dir, "dhclient.conf")
	if err := os.WriteFile(conf, []byte("send host-name \"deb\";\ntimeout 20;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	address := func(out string) string {
		t.Helper()
		m := leased.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no lease:\n%s", out)
		}
		return m[1] + m[2]
	}
	get := func(host *nettest.Host) string {
		t.Helper()
		if host == box {
			return address(host.Run(t, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true", "-x", "hostname:box"))
		}
		args := []string{"-4", "-cf", conf, "-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), "-sf", "/bin/true"}
		// In the foreground: one in the background writes its pid late, and could
		// outlive the test.
		p := host.Start(t, "dhclient", append(args, "-d", "-1", "-v", "eth0")...)
		nettest.WaitFor(t, 30*time.Second, func() bool { return strings.Contains(p.Output(), "renewal in") || !p.Running() })
		p.Kill() // SIGTERM would give the address back
		return address(p.Output())
	}
	first := map[*nettest.Host]string{box: get(box), deb: get(deb)}
	if first[box] == first[deb] {
		t.Fatalf("both got %s", first[box])
	}
	resolves := func() {
		t.Helper()
		for host, a := range first {
			for _, name := range []string{host.Name + ".oak.home.arpa", host.Name + ".lan.oak.home.arpa"} {
				if got := strings.TrimSpace(lab.Self().Run(t, "dig", "@192.168.7.1", "+short", name)); got != a {
					t.Errorf("%s is %q, want %s", name, got, a)
				}
			}
			if got := lab.Self().Run(t, "dig", "@192.168.7.1", "+short", "-x", a); !strings.Contains(got, host.Name+".") {
				t.Errorf("%s is called %q", a, got)
			}
		}
	}
	resolves()
	if out := c.pic("lease", "ls"); !strings.Contains(out, first[box]) || !strings.Contains(out, first[deb]) {
		t.Errorf("lease ls says:\n%s", out)
	}
	c.kill()
	c.start()
	resolves()
	for host, a := range first {
		if got := get(host); got != a {
			t.Errorf("%s had %s and got %s after the kill", host.Name, a, got)
		}
	}
	third := lab.Host("third")
	sw.Join(third, "eth0")
	if got := address(third.Run(t, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true")); got == first[box] || got == first[deb] {
		t.Errorf("a third device got %s, which is taken", got)
	}
}
