package e2e

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

// tunnel is what others have to know of the cell's VPN.
func (c *cell) tunnel() config.WireGuard {
	c.t.Helper()
	var w config.WireGuard
	if err := json.Unmarshal([]byte(c.pic("get", "--resolved", "wireguard")), &w); err != nil {
		c.t.Fatal(err)
	}
	return w
}

// Two linked cells: the devices of one find the names of the other, which its own
// name server answers through the tunnel and nobody else hears, and use what the
// link gives them there.
func TestLinkedCellsKnowEachOthersNames(t *testing.T) {
	nettest.NeedTUN(t)
	lab := nettest.New(t)
	here, there, laptop, shed, internet := lab.Self(), lab.Host("there"), lab.Host("laptop"), lab.Host("shed"), lab.Host("internet")
	lab.Link(here, "lan0", "192.168.7.1/24", laptop, "eth0", "192.168.7.2/24")
	lab.Link(here, "wan0", "203.0.113.1/24", internet, "eth0", "203.0.113.9/24")
	lab.Link(there, "wan0", "192.0.2.1/24", internet, "eth1", "192.0.2.9/24")
	lab.Link(there, "lan0", "192.168.88.1/24", shed, "eth0", "192.168.88.20/24")
	here.Route("default", "203.0.113.9")
	there.Route("default", "192.0.2.9")
	shed.Route("default", "192.168.88.1")
	internet.Forward()

	elm := newCell(t, there, "--name", "elm", "--domain", "elm.home.arpa")
	oak := newCell(t, here)
	for _, c := range []*cell{elm, oak} {
		c.start()
		if c == elm { // hosts share /run, where the sockets of interfaces are
			c.set("wireguard.interface", "picelm")
		}
		c.pic("set", "network.wan", `{"name":"wan0"}`)
		c.set("dns.upstreams", []string{"203.0.113.9"}) // where nobody listens
		c.set("dns.validate", "off")
	}
	oak.pic("set", "network.lan", `{"name":"lan0","address":"192.168.7.1/24"}`)
	elm.pic("set", "network.lan", `{"name":"lan0","address":"192.168.88.1/24"}`)
	elm.pic("set", "dns.records", `[{"name":"shed","type":"A","value":"192.168.88.20"}]`)
	oak.pic("peer", "add", "laptop", "--endpoint", "192.168.7.1:51820")

	link := func(at, to *cell, l config.Link) {
		t.Helper()
		w := to.tunnel()
		four, _ := w.VPN()
		l.PublicKey, l.DNS, l.Subnets = w.PublicKey, four, append(l.Subnets, w.Subnet)
		at.set("links", []config.Link{l})
	}
	lan := []netip.Prefix{netip.MustParsePrefix("192.168.88.0/24")}
	link(elm, oak, config.Link{Name: "oak", Domain: "oak.home.arpa", Services: []string{"dns", "proxy"}, LAN: true})
	link(oak, elm, config.Link{Name: "elm", Domain: "elm.home.arpa", Endpoints: []string{"192.0.2.1:51820"}, Subnets: lan})

	d := connect(t, laptop, oak.pic("peer", "config", "laptop", "--endpoint", "192.168.7.1:51820"))
	w := elm.tunnel()
	elmVPN, _ := w.VPN()
	clear := here.Start(t, "tcpdump", "-i", "wan0", "-nn", "-l", "--immediate-mode", "port 53")
	asked := there.Start(t, "tcpdump", "-i", "picelm", "-nn", "-l", "--immediate-mode", "udp port 53")
	for _, p := range []*nettest.Proc{clear, asked} {
		nettest.WaitFor(t, 5*time.Second, func() bool { return strings.Contains(p.Output(), "listening on") })
	}
	ask := func(h *nettest.Host, at, name string, more ...string) string {
		out, _ := h.Try("dig", append([]string{"@" + at, "+short", "+tries=1", "+time=3", name}, more...)...)
		return strings.TrimSpace(out)
	}
	nettest.WaitFor(t, 30*time.Second, func() bool { return ask(here, "127.0.0.1", "files.elm.home.arpa") == elmVPN.String() })
	for name, want := range map[string]string{"shed.elm.home.arpa": "192.168.88.20", "elm.home.arpa": elmVPN.String()} {
		for _, by := range []struct {
			host *nettest.Host
			at   string
		}{{here, "127.0.0.1"}, {laptop, d.cell.String()}, {laptop, "192.168.7.1"}} {
			if got := ask(by.host, by.at, name); got != want {
				t.Errorf("%s asks %s for %s and hears %q, want %s", by.host.Name, by.at, name, got, want)
			}
		}
	}
	if got := ask(laptop, d.cell.String(), "-x", elmVPN.String()); !strings.HasSuffix(got, "elm.home.arpa.") {
		t.Errorf("the address of the other cell is called %q", got)
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return strings.Contains(strings.ToLower(asked.Output()), "a? shed.elm.home.arpa.") })
	if strings.Contains(strings.ToLower(clear.Output()), "elm.home.arpa") {
		t.Errorf("asked in the clear:\n%s", clear.Output())
	}

	// By name to a page of the other cell, and to its LAN; not to what the link does
	// not give.
	if err := shed.Do(func() error {
		l, err := netListen("192.168.88.20:80")
		if err != nil {
			return err
		}
		web := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		go web.Serve(l)
		t.Cleanup(func() { web.Close() })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	root := elm.root()
	page := func(url string, more ...string) string {
		out, _ := laptop.Try("curl", append([]string{
			"-sS", "-m", "5", "--cacert", root, "-o", "/dev/null", "-w", "%{http_code}", url,
		}, more...)...)
		return out
	}
	byName := func(name, port string) []string {
		return []string{"--resolve", name + ":" + port + ":" + ask(laptop, d.cell.String(), name)}
	}
	if got := page("https://files.elm.home.arpa/", byName("files.elm.home.arpa", "443")...); got != "200" {
		t.Errorf("a page of the other cell: %s", got)
	}
	nettest.WaitFor(t, 10*time.Second, func() bool { return page("http://shed.elm.home.arpa/", byName("shed.elm.home.arpa", "80")...) == "200" })
	if got := page("http://elm.home.arpa:8081/", byName("elm.home.arpa", "8081")...); !strings.Contains(got, "000") {
		t.Errorf("its UI, which the link does not give: %s", got)
	}

	// While it is away, its names are not asked of anybody else.
	elm.stop()
	elm.cmd = nil
	if got := ask(laptop, d.cell.String(), "late.elm.home.arpa"); got != "" && !strings.HasPrefix(got, ";") {
		t.Errorf("a name of a cell that is away: %q", got)
	}
	if strings.Contains(strings.ToLower(clear.Output()), "elm.home.arpa") {
		t.Errorf("asked in the clear:\n%s", clear.Output())
	}
}
