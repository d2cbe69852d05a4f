package netstack

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
	"pic/netstack/handout"
)

// A provider sells a way to the internet: Debian's wireguard-go, and address
// translation.
type provider struct {
	host      *nettest.Host
	card      string
	device    *nettest.Proc
	conf      string // of wg
	four, six string // as the internet sees it
}

// provide adds a provider, number n, beyond the internet, and an exit of that
// name that goes there.
func (w *town) provide(t *testing.T, name string, n int, six bool) *provider {
	t.Helper()
	p := &provider{
		host: w.lab.Host(name), card: fmt.Sprintf("prov%d", n),
		four: fmt.Sprintf("192.0.2.%d", n*16+2), six: fmt.Sprintf("2001:db8:7:%d::2", n),
	}
	gate4, gate6 := fmt.Sprintf("192.0.2.%d", n*16+1), fmt.Sprintf("2001:db8:7:%d::1", n)
	up := fmt.Sprintf("up%d", n)
	w.lab.Link(w.network, up, gate4+"/28", p.host, "eth0", p.four+"/28")
	w.network.Addr(up, gate6+"/64")
	p.host.Addr("eth0", p.six+"/64")
	w.network.Forward()
	p.host.Forward()
	p.host.Route("default", gate4)
	p.host.Run(t, "ip", "-6", "route", "add", "default", "via", gate6)
	if n == 1 {
		w.self.Route("192.0.2.0/24", "198.51.100.2")
	}
	p.host.Run(t, "nft", "add table inet nat; add chain inet nat post { type nat hook postrouting priority srcnat; }; add rule inet nat post oifname eth0 masquerade")

	own, ownPub := NewKey()
	key, pub := NewKey()
	psk := NewPreshared()
	inside4, inside6 := fmt.Sprintf("10.2.%d.2", n), fmt.Sprintf("fd02:%d::2", n)
	allowed := inside4 + "/32"
	if six {
		allowed += ", " + inside6 + "/128"
	}
	p.conf = filepath.Join(t.TempDir(), "wg.conf")
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\nListenPort = 51999\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = %s\n", own, pub, psk, allowed)
	if err := os.WriteFile(p.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start(t, n)

	w.keys[name], w.keys[name+"-psk"] = key, psk
	e := config.Exit{
		Name: name, Key: config.Secret(name), Preshared: config.Secret(name + "-psk"), PublicKey: ownPub,
		Endpoint: net.JoinHostPort(p.four, "51999"), Addresses: []netip.Prefix{netip.MustParsePrefix(inside4 + "/32")}, Keepalive: 5,
	}
	if six {
		e.Addresses = append(e.Addresses, netip.MustParsePrefix(inside6+"/128"))
	}
	w.doc.Network.Exits = append(w.doc.Network.Exits, e)
	return p
}

func (p *provider) start(t *testing.T, n int) {
	t.Helper()
	p.device = userWireGuard(t, p.host, p.card)
	p.host.Run(t, "wg", "setconf", p.card, p.conf)
	p.host.Run(t, "ip", "link", "set", p.card, "mtu", "1420", "up")
	p.host.Addr(p.card, fmt.Sprintf("10.2.%d.1/24", n))
	p.host.Addr(p.card, fmt.Sprintf("fd02:%d::1/64", n))
}

// userWireGuard starts Debian's wireguard-go. Hosts share /run, so names of
// interfaces must differ.
func userWireGuard(t *testing.T, h *nettest.Host, card string) *nettest.Proc {
	t.Helper()
	socket := "/run/wireguard/" + card + ".sock"
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	p := h.Start(t, "wireguard-go", "-f", card)
	nettest.WaitFor(t, 5*time.Second, func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

// second adds another peer with a client of its own.
func (w *town) second(t *testing.T, name string) (*nettest.Host, func()) {
	t.Helper()
	h := w.lab.Host(name)
	w.lab.Link(w.self, "road1", "203.0.114.1/24", h, "eth0", "203.0.114.2/24")
	h.Route("203.0.113.0/24", "203.0.114.1")
	key, pub := NewKey()
	w.doc.Peers = append(w.doc.Peers, config.Peer{
		Name: name, PublicKey: pub, Address: netip.MustParseAddr("10.77.0.3"), Address6: netip.MustParseAddr("fd77::3"),
	})
	return h, func() {
		given, err := handout.Of(config.Resolve(w.doc, config.Env{}), name, "")
		if err != nil {
			t.Fatal(err)
		}
		conf, err := given.Text(handout.Keys{Private: key})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "wg1.conf")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		stripped := file + ".stripped"
		if err := os.WriteFile(stripped, []byte(h.Run(t, "wg-quick", "strip", file)), 0o600); err != nil {
			t.Fatal(err)
		}
		userWireGuard(t, h, "wg1")
		h.Run(t, "wg", "setconf", "wg1", stripped)
		h.Run(t, "ip", "link", "set", "wg1", "mtu", "1420", "up")
		h.Addr("wg1", "10.77.0.3/32")
		h.Addr("wg1", "fd77::3/128")
		h.Run(t, "ip", "route", "add", "default", "dev", "wg1")
		h.Run(t, "ip", "-6", "route", "add", "default", "dev", "wg1")
	}
}

const (
	site4 = "http://198.51.100.2/"
	site6 = "http://[2001:db8:9::2]/"
)

// sees waits until a page answers h with the address that it came from.
func sees(t *testing.T, h *nettest.Host, url, want string) {
	t.Helper()
	var out string
	var err error
	end := time.Now().Add(20 * time.Second)
	for time.Now().Before(end) {
		if out, err = h.Try("curl", "-sS", "-m", "2", url); err == nil && strings.TrimSpace(out) == "hello "+want {
			return
		}
	}
	t.Fatalf("%s: %q, %v; want hello %s", url, out, err, want)
}

func refused(t *testing.T, h *nettest.Host, url string) {
	t.Helper()
	if out, err := h.Try("curl", "-sS", "-m", "2", url); err == nil {
		t.Errorf("%s answers %q", url, out)
	}
}

// told is refused where h must hear of it. The kernel says so a few times, and then
// once a second (icmp_ratelimit).
func told(t *testing.T, h *nettest.Host, url string) {
	t.Helper()
	if out, err := h.Try("curl", "-sS", "-m", "12", url); err == nil || strings.Contains(out, "timed out") {
		t.Errorf("%s: no refusal: %q, %v", url, out, err)
	}
}

// A capture is what leaves by the WAN besides the tunnels of providers.
type capture struct{ p *nettest.Proc }

func (w *town) capture(t *testing.T, but ...string) capture {
	t.Helper()
	nettest.Tool(t, "tcpdump")
	p := w.self.Start(t, "tcpdump", "-i", "wan0", "-nn", "-l", "--immediate-mode", "-Q", "out", "not udp port 51999 and not arp and not icmp6 and not (ip6 and ip6[6] == 0) "+strings.Join(but, " "))
	nettest.WaitFor(t, 5*time.Second, func() bool { return strings.Contains(p.Output(), "listening on") })
	return capture{p}
}

func (c capture) packets() []string {
	var out []string
	for line := range strings.Lines(c.p.Output()) {
		if strings.Contains(line, " IP") {
			out = append(out, line)
		}
	}
	return out
}

func TestPeersLeaveByTheirExits(t *testing.T) {
	w := newTown(t)
	far := w.provide(t, "far", 1, true)
	near := w.provide(t, "near", 2, false)
	w.doc.Peers[0].Address6 = netip.MustParseAddr("fd77::2")
	w.doc.Peers[0].Exit = "far"
	phone, join := w.second(t, "phone")
	w.doc.Peers[1].Exit = "near"
	before := w.traces(t)
	s, stop := w.serve(t)
	w.join(t)
	join()

	cap := w.capture(t)
	sees(t, w.client, site4, far.four)
	sees(t, w.client, site6, far.six)
	sees(t, phone, site4, near.four)
	told(t, phone, site6) // its exit has no IPv6
	sees(t, w.client, "http://192.168.1.20/", "10.77.0.2")
	if st := s.Exits(); len(st) != 2 || !st[0].Up || !st[1].Up || st[0].Rx == 0 || st[0].Handshake.IsZero() {
		t.Errorf("status: %+v", st)
	}
	if left := cap.packets(); len(left) > 0 {
		t.Errorf("past the exits went %q", left)
	}

	// By an exit the cell comes to itself from outside, unless something shuts the
	// port before it.
	at := netip.MustParseAddrPort("198.51.100.1:51820")
	if k, ok := s.Knock(t.Context(), at); !ok || k != (Knock{"far", at, 51820}) {
		t.Errorf("knocking: %+v, %v", k, ok)
	}
	w.network.Run(t, "nft", "add table ip shut; add chain ip shut pass { type filter hook forward priority 0; }; add rule ip shut pass udp dport 51820 ip daddr 198.51.100.1 drop")
	if k, ok := s.Knock(t.Context(), at); !ok || k != (Knock{"far", at, 0}) {
		t.Errorf("knocking at a shut port: %+v, %v", k, ok)
	}
	w.network.Run(t, "nft", "delete", "table", "ip", "shut")

	// A change of the peer's exit also moves what is open.
	w.doc.Peers[1].Exit = "far"
	apply(t, s, w.config())
	sees(t, phone, site6, far.six)
	w.doc.Peers[1].Exit = ""
	apply(t, s, w.config())
	sees(t, phone, site4, "198.51.100.1")
	stop()
	if after := w.traces(t); after != before {
		t.Errorf("traces are left; before:\n%s\nafter:\n%s", before, after)
	}
	if rules := w.self.Run(t, "ip", "rule"); strings.Contains(rules, "518") {
		t.Errorf("rules are left:\n%s", rules)
	}
}

func TestNothingLeavesPastAnExitThatIsDown(t *testing.T) {
	w := newTown(t)
	far := w.provide(t, "far", 1, true)
	yes := true
	w.doc.Peers[0].Address6 = netip.MustParseAddr("fd77::2")
	w.doc.Peers[0].Exit = "far"
	phone, join := w.second(t, "phone")
	w.doc.Peers[1].Exit, w.doc.Peers[1].Fallback = "far", &yes
	far.device.Stop()
	s, _ := w.serve(t)
	w.join(t)
	join()

	cap := w.capture(t)
	w.pings(t, "10.77.0.1") // the tunnel is there
	told(t, w.client, site4)
	told(t, w.client, site6)
	for range 2 {
		refused(t, w.client, site4)
		refused(t, w.client, site6)
		w.client.Try("curl", "-sS", "-m", "1", "http://198.51.100.2:53/")
		if left := cap.packets(); len(left) > 0 {
			t.Fatalf("past the exit went %q", left)
		}
	}
	sees(t, phone, site4, "198.51.100.1") // it may
	cap.p.Stop()

	far.start(t, 1)
	nettest.WaitFor(t, 30*time.Second, func() bool { return s.ExitUp("far") })
	sees(t, w.client, site4, far.four)
	sees(t, w.client, site6, far.six)
	sees(t, phone, site4, far.four)

	// It goes down under way. Until that is seen its packets go nowhere; then they
	// are refused.
	cap = w.capture(t)
	far.device.Stop()
	w.client.Try("curl", "-sS", "-m", "1", site4)
	w.client.Try("curl", "-sS", "-m", "1", site6)
	nettest.WaitFor(t, 60*time.Second, func() bool { return !s.ExitUp("far") })
	nettest.WaitFor(t, 5*time.Second, func() bool {
		out, _ := w.self.Try("ip", "route", "get", "198.51.100.2", "mark", "0x10000")
		return !strings.Contains(out, "pix") // told to the kernel
	})
	refused(t, w.client, site4)
	refused(t, w.client, site6)
	if left := cap.packets(); len(left) > 0 {
		t.Errorf("past the exit went %q", left)
	}
	sees(t, phone, site4, "198.51.100.1")
}
