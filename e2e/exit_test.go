package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/api/wire"
	"pic/internal/nettest"
	"pic/netstack"
)

// A device whose internet goes by a provider: what it opens and what it asks the
// cell leave by the provider, or not at all.
func TestDeviceLeavesByAProviderOrNotAtAll(t *testing.T) {
	nettest.NeedTUN(t)
	lab := nettest.New(t)
	self, laptop, internet, provider := lab.Self(), lab.Host("laptop"), lab.Host("internet"), lab.Host("provider")
	lab.Link(self, "lan0", "192.168.7.1/24", laptop, "eth0", "192.168.7.2/24")
	lab.Link(self, "wan0", "203.0.113.1/24", internet, "eth0", "203.0.113.9/24")
	lab.Link(internet, "eth1", "192.0.2.1/24", provider, "eth0", "192.0.2.7/24")
	self.Route("default", "203.0.113.9")
	provider.Route("default", "192.0.2.1")
	internet.Forward()
	provider.Forward()
	provider.Run(t, "nft", "add table inet nat; add chain inet nat post { type nat hook postrouting priority srcnat; }; add rule inet nat post oifname eth0 masquerade")
	if err := internet.Do(func() error {
		l, err := netListen("203.0.113.9:80")
		if err != nil {
			return err
		}
		web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			fmt.Fprint(w, host)
		})}
		go web.Serve(l)
		t.Cleanup(func() { web.Close() })
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	own, ownPub := netstack.NewKey()
	key, pub := netstack.NewKey()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wg := file("wg.conf", fmt.Sprintf("[Interface]\nPrivateKey = %s\nListenPort = 51999\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.2.0.2/32\n", own, pub))
	begin := func() *nettest.Proc {
		p := provider.Start(t, "wireguard-go", "-f", "oslo0")
		nettest.WaitFor(t, 5*time.Second, func() bool {
			_, err := provider.Try("wg", "setconf", "oslo0", wg)
			return err == nil
		})
		provider.Run(t, "ip", "link", "set", "oslo0", "mtu", "1420", "up")
		provider.Run(t, "ip", "addr", "add", "10.2.0.1/24", "dev", "oslo0")
		return p
	}
	tunnel := begin()
	answer := func(h *nettest.Host, at, with string) {
		err := h.Do(func() error {
			pc, err := net.ListenPacket("udp", at)
			if err != nil {
				return err
			}
			srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
				m := new(dns.Msg).SetReply(r)
				if r.Question[0].Qtype == dns.TypeA {
					rr, _ := dns.NewRR(r.Question[0].Name + " 60 IN A " + with)
					m.Answer = append(m.Answer, rr)
				}
				w.WriteMsg(m)
			})}
			go srv.ActivateAndServe()
			t.Cleanup(func() { srv.Shutdown() })
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	answer(internet, "203.0.113.9:53", "203.0.113.9")
	answer(provider, ":53", "192.0.2.77")

	c := newCell(t, self)
	c.start()
	c.pic("set", "network.lan", `{"name":"lan0","address":"192.168.7.1/24"}`)
	c.pic("set", "network.wan", `{"name":"wan0"}`)
	c.set("dns.upstreams", []string{"203.0.113.9"})
	c.set("dns.validate", "off")
	c.pic("peer", "add", "laptop", "--endpoint", "192.168.7.1:51820")
	oslo := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.2.0.2/32\nDNS = 10.2.0.1\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 192.0.2.7:51999\n", key, ownPub)
	c.pic("exit", "add", file("oslo.conf", oslo))
	if _, err := c.try("exit", "add", file("bad.conf", strings.Replace(oslo, "DNS", "PostUp = reboot\nDNS", 1))); err == nil || !strings.Contains(err.Error(), "line 4: PostUp: commands are not run") {
		t.Errorf("a .conf with a command: %v", err)
	}
	if doc := c.pic("get"); strings.Contains(doc, key) {
		t.Error("the provider's key is in the document")
	}
	d := connect(t, laptop, c.pic("peer", "config", "laptop", "--endpoint", "192.168.7.1:51820"))
	get := func() string {
		out, _ := laptop.Try("curl", "-sS", "-m", "3", "http://203.0.113.9/")
		return out
	}
	ask := func(name string) string {
		out, _ := laptop.Try("dig", "@"+d.cell.String(), "+noall", "+answer", "+comments", "+tries=1", "+time=4", name)
		return out
	}
	if got := get(); got != "203.0.113.1" {
		t.Errorf("by the cell's own line the internet sees %q", got)
	}
	if got := ask("first.example.net"); !strings.Contains(got, "203.0.113.9") {
		t.Errorf("by the cell's own line: %s", got)
	}

	c.pic("exit", "use", "laptop", "oslo")
	if _, err := c.try("exit", "rm", "oslo"); err == nil || !strings.Contains(err.Error(), "laptop uses it") {
		t.Errorf("removing what is in use: %v", err)
	}
	capture := self.Start(t, "tcpdump", "-i", "wan0", "-nn", "-l", "--immediate-mode", "-Q", "out", "udp port 53 or tcp")
	nettest.WaitFor(t, 5*time.Second, func() bool { return strings.Contains(capture.Output(), "listening on") })
	up := func() bool {
		var all []wire.Exit
		if err := json.Unmarshal([]byte(c.pic("exit", "ls", "--json")), &all); err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		return all[0].State == "up"
	}
	nettest.WaitFor(t, 20*time.Second, up)
	// The household's own names are the cell's, all others the provider's.
	for name, want := range map[string]string{"first.example.net": "192.0.2.77", "second.example.net": "192.0.2.77", "files.oak.home.arpa": d.cell.String()} {
		if got := ask(name); !strings.Contains(got, want) {
			t.Errorf("by the exit, %s is\n%s", name, got)
		}
	}
	if got := get(); got != "192.0.2.7" {
		t.Errorf("by the exit the internet sees %q", got)
	}

	tunnel.Stop()
	nothing := func(when string) {
		t.Helper()
		if got := get(); strings.HasPrefix(got, "203.") || strings.HasPrefix(got, "192.") {
			t.Errorf("%s the internet sees %q", when, got)
		}
		if got := ask("late.example.net"); strings.Contains(got, "203.0.113.9") {
			t.Errorf("%s a name is found:\n%s", when, got)
		}
	}
	nothing("just now down,")
	nettest.WaitFor(t, 60*time.Second, func() bool { return !up() })
	nothing("down,")
	c.kill()
	c.start()
	nettest.WaitFor(t, 30*time.Second, func() bool { // until the laptop notices
		_, err := laptop.Try("ping", "-c1", "-W1", d.cell.String())
		return err == nil
	})
	nothing("after kill -9,")
	begin()
	nettest.WaitFor(t, 40*time.Second, up)
	if got := get(); got != "192.0.2.7" {
		t.Errorf("by the exit again the internet sees %q", got)
	}
	for line := range strings.Lines(capture.Output()) {
		if strings.Contains(line, "example.net") || strings.Contains(line, "203.0.113.9.80") {
			t.Errorf("past the exit went %s", line)
		}
	}
}
