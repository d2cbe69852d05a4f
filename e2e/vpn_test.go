package e2e

import (
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

// A device is a host with Debian's wireguard-go and a .conf that the cell printed.
type device struct {
	host *nettest.Host
	cell netip.Addr // the cell's address in the VPN
}

var confLine = regexp.MustCompile(`(?m)^(\w+)\s*=\s*(.*)$`)

// connect brings the tunnel of a .conf up on host, as wg-quick would.
func connect(t *testing.T, host *nettest.Host, conf string) *device {
	t.Helper()
	nettest.NeedTUN(t)
	nettest.Tool(t, "wireguard-go")
	var kept []string
	d := &device{host: host}
	var addrs []string
	routes := ""
	for _, line := range strings.Split(conf, "\n") {
		m := confLine.FindStringSubmatch(line)
		switch {
		case m != nil && m[1] == "Address":
			addrs = strings.Split(m[2], ",")
		case m != nil && m[1] == "DNS":
			first, _, _ := strings.Cut(m[2], ",")
			d.cell = netip.MustParseAddr(strings.TrimSpace(first))
		case m != nil && m[1] == "MTU":
		case m != nil && m[1] == "AllowedIPs":
			routes = m[2]
			kept = append(kept, line)
		default:
			kept = append(kept, line)
		}
	}
	if len(addrs) == 0 || routes == "" || !d.cell.IsValid() {
		t.Fatalf("not a whole .conf:\n%s", conf)
	}
	file := filepath.Join(t.TempDir(), "wg.conf")
	if err := os.WriteFile(file, []byte(strings.Join(kept, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Setenv("WG_PROCESS_FOREGROUND", "1")
	host.Start(t, "wireguard-go", "-f", "wg9")
	nettest.WaitFor(t, 5*time.Second, func() bool {
		_, err := host.Try("wg", "setconf", "wg9", file)
		return err == nil
	})
	for _, a := range addrs {
		host.Run(t, "ip", "addr", "add", strings.TrimSpace(a), "dev", "wg9")
	}
	host.Run(t, "ip", "link", "set", "wg9", "mtu", "1420", "up")
	for _, r := range strings.Split(routes, ",") {
		r = strings.TrimSpace(r)
		if r == "0.0.0.0/0" { // more specific than the default route, as wg-quick's rule would be
			host.Run(t, "ip", "route", "add", "0.0.0.0/1", "dev", "wg9")
			host.Run(t, "ip", "route", "add", "128.0.0.0/1", "dev", "wg9")
			continue
		}
		if r != "::/0" {
			host.Run(t, "ip", "route", "replace", r, "dev", "wg9")
		}
	}
	return d
}

// uses checks what a device owes to the tunnel: ping, DNS and HTTPS by name.
func (d *device) uses(t *testing.T, root string) {
	t.Helper()
	vpn := d.cell.String()
	d.host.Run(t, "ping", "-c", "3", "-i", "0.2", "-W", "5", vpn)
	for _, tcp := range []string{"+notcp", "+tcp"} {
		out := strings.TrimSpace(d.host.Run(t, "dig", "@"+vpn, "+short", "+tries=2", "+time=3", tcp, "files.oak.home.arpa"))
		if out != vpn {
			t.Errorf("files.oak.home.arpa is %q in the VPN, want %s", out, vpn)
		}
	}
	out := d.host.Run(t, "curl", "-sS", "--max-time", "10", "--cacert", root, "--resolve", "files.oak.home.arpa:443:"+vpn,
		"-o", "/dev/null", "-w", "%{http_code}", "https://files.oak.home.arpa/")
	if out != "200" {
		t.Errorf("HTTPS through the tunnel says %s", out)
	}
}

func TestDeviceReachesATrialCellThroughWireGuard(t *testing.T) {
	lab := nettest.New(t)
	laptop := lab.Host("laptop")
	lab.Link(lab.Self(), "ext0", "198.51.100.1/24", laptop, "eth0", "198.51.100.2/24")
	c := newCell(t, lab.Self(), "--trial")
	c.start()
	conf := c.pic("peer", "add", "laptop", "--endpoint", "198.51.100.1:51820")
	if !strings.HasPrefix(conf, "[Interface]") {
		t.Errorf("stdout is not the .conf alone:\n%s", conf)
	}
	// Only the tunnel's networks, so that the endpoint stays reachable.
	c.set("peers.laptop.split", true)
	conf = c.pic("peer", "config", "laptop", "--endpoint", "198.51.100.1:51820")
	connect(t, laptop, conf).uses(t, c.root())
}

func TestApplianceOnATUNMasquerades(t *testing.T) {
	nettest.NeedTUN(t)
	lab := nettest.New(t)
	laptop, internet := lab.Host("laptop"), lab.Host("internet")
	lab.Link(lab.Self(), "lan0", "192.168.7.1/24", laptop, "eth0", "192.168.7.2/24")
	lab.Link(lab.Self(), "wan0", "203.0.113.1/24", internet, "eth0", "203.0.113.9/24")
	lab.Self().Route("default", "203.0.113.9")
	seen := make(chan string, 8)
	var web *http.Server
	if err := internet.Do(func() error {
		l, err := netListen("203.0.113.9:80")
		if err != nil {
			return err
		}
		web = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen <- r.RemoteAddr })}
		go web.Serve(l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	defer web.Close()

	c := newCell(t, lab.Self())
	c.start()
	c.pic("set", "network.lan", `{"name":"lan0","address":"192.168.7.1/24"}`)
	c.pic("set", "network.wan", `{"name":"wan0"}`)
	c.pic("peer", "add", "tablet", "--endpoint", "192.168.7.1:51820")
	before := traces(t, lab.Self())
	c.pic("peer", "add", "laptop", "--endpoint", "192.168.7.1:51820")
	conf := c.pic("peer", "config", "laptop", "--endpoint", "192.168.7.1:51820")
	address, _, _ := strings.Cut(confLine.FindStringSubmatch(conf[strings.Index(conf, "Address"):])[2], "/")
	d := connect(t, laptop, conf)
	d.uses(t, c.root())
	if out := lab.Self().Run(t, "wg", "show"); !strings.Contains(out, "latest handshake") {
		t.Errorf("wg show says:\n%s", out)
	}

	laptop.Run(t, "curl", "-sS", "--max-time", "10", "http://203.0.113.9/")
	if from := <-seen; !strings.HasPrefix(from, "203.0.113.1:") {
		t.Errorf("the internet saw %s, not the cell's address", from)
	}
	used := traces(t, lab.Self())
	for _, what := range []string{"nft", "DNS", "connections", "WireGuard"} {
		if used[what] == before[what] {
			t.Errorf("%s does not show that the device is there:\n%s", what, used[what])
		}
	}
	defer func() { // a device that is removed leaves nothing behind
		c.pic("peer", "rm", "laptop")
		for what, text := range traces(t, lab.Self()) {
			if what == "connections" {
				if strings.Contains(text, address+" ") {
					t.Errorf("connections of %s are left:\n%s", address, text)
				}
			} else if text != before[what] {
				t.Errorf("%s was\n%s\nand is\n%s", what, before[what], text)
			}
		}
	}()
	c.set("peers.laptop.internet", false)
	if out, err := laptop.Try("curl", "-sS", "--max-time", "3", "http://203.0.113.9/"); err == nil {
		t.Errorf("a peer without the right reached the internet: %s", out)
	}
}

var (
	restless = regexp.MustCompile(`packets \d+ bytes \d+`)
	gathered = regexp.MustCompile(`\t\telements = \{[^}]*(limit|counter)[^}]*\}\n`) // by rules, for a while
)

// traces are the places of a host where a device of the VPN shows.
func traces(t *testing.T, h *nettest.Host) map[string]string {
	t.Helper()
	both := func(args ...string) string {
		return h.Run(t, "ip", append([]string{"-4"}, args...)...) + h.Run(t, "ip", append([]string{"-6"}, args...)...)
	}
	table := restless.ReplaceAllString(h.Run(t, "nft", "list", "ruleset"), "packets 0 bytes 0")
	return map[string]string{
		"nft":         gathered.ReplaceAllString(table, ""),
		"routes":      both("route", "show", "table", "all"),
		"rules":       both("rule"),
		"neighbours":  h.Run(t, "ip", "neigh", "show", "dev", "pic0"),
		"DNS":         h.Run(t, "dig", "@192.168.7.1", "+noall", "+answer", "+tries=2", "+time=3", "laptop.vpn.oak.home.arpa"),
		"connections": h.Run(t, "conntrack", "-L") + h.Run(t, "conntrack", "-L", "-f", "ipv6"),
		"WireGuard":   h.Run(t, "wg", "show", "pic0", "allowed-ips"),
	}
}
