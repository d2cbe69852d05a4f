package netstack

import (
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

func (w *town) serve(t *testing.T) (s *Server, stop func()) {
	t.Helper()
	s = New(slog.New(slog.DiscardHandler), w.secret)
	apply(t, s, w.config())
	return s, run(t, s)
}

func TestRealClientCrossesTheCell(t *testing.T) {
	w := newTown(t)
	before := w.traces(t)
	s, stop := w.serve(t)
	w.join(t)

	w.pings(t, "10.77.0.1")
	w.pings(t, "fd77::1")
	w.client.Run(t, "ping", "-c1", "-W3", "-Mdo", "-s1392", "10.77.0.1") // fills the MTU
	for url, want := range map[string]string{
		"http://198.51.100.2/":    "hello 198.51.100.1", // not the peer's address
		"http://[2001:db8:9::2]/": "hello 2001:db8:9::1",
		"http://192.168.1.20/":    "hello 10.77.0.2", // the LAN knows the way back
	} {
		if out, err := w.fetch(url); err != nil || strings.TrimSpace(out) != want {
			t.Errorf("%s: %q, %v; want %q", url, out, err, want)
		}
	}

	show := w.self.Run(t, "wg", "show", "pic0")
	for _, want := range []string{"listening port: 51820", "peer: " + w.doc.Peers[0].PublicKey, "latest handshake:", "preshared key: (hidden)", "allowed ips: 10.77.0.2/32, fd77::2/128"} {
		if !strings.Contains(show, want) {
			t.Errorf("wg show lacks %q:\n%s", want, show)
		}
	}
	st := s.Peers()
	if len(st) != 1 || !st[0].Connected() || st[0].RxBytes == 0 || st[0].Endpoint.Addr() != netip.MustParseAddr("203.0.113.2") {
		t.Errorf("status %+v", st)
	}
	routes, err := s.Routes()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range routes {
		found = found || r.To == netip.MustParsePrefix("10.77.0.0/24") && r.Interface == "pic0" && r.Origin == "kernel"
	}
	if !found {
		t.Errorf("no route to the VPN in %+v", routes)
	}
	if nat := s.NAT(); len(nat) != 2 || !strings.Contains(nat[0], "10.77.0.0/24 leaves by wan0") {
		t.Errorf("NAT: %q", nat)
	}
	stop()
	if after := w.traces(t); after != before {
		t.Errorf("traces are left; before:\n%s\nafter:\n%s", before, after)
	}
}

// traces is what a server could leave behind on the host.
func (w *town) traces(t *testing.T) string {
	t.Helper()
	links := regexp.MustCompile(`(?m)^\d+: (\S+).*$`).ReplaceAllString(w.self.Run(t, "ip", "-o", "link"), "$1")
	return w.self.Run(t, "nft", "list", "ruleset") + links +
		w.self.Run(t, "sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.wan0.accept_ra")
}

func TestRightsHoldAndChangeHot(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	w.join(t)
	w.pings(t, "10.77.0.1")
	urls := map[string]string{"internet": "http://198.51.100.2/", "internet6": "http://[2001:db8:9::2]/", "lan": "http://192.168.1.20/"}
	for _, internet := range []bool{true, false} {
		for _, lan := range []bool{true, false} {
			w.allow(internet, lan)
			apply(t, s, w.config())
			for where, url := range urls {
				want := internet
				if where == "lan" {
					want = lan
				}
				start := time.Now()
				out, err := w.fetch(url)
				if (err == nil) != want {
					t.Errorf("internet %v, lan %v: %s answered %q, %v", internet, lan, where, out, err)
				}
				if d := time.Since(start); d > 2*time.Second {
					t.Errorf("internet %v, lan %v: %s took %v; a refusal should come at once", internet, lan, where, d)
				}
			}
			w.pings(t, "10.77.0.1") // the cell itself, always
		}
	}
	// From outside nobody gets in.
	if out, err := w.lan.Try("ping", "-c1", "-W1", "10.77.0.2"); err == nil {
		t.Errorf("the LAN reaches a peer:\n%s", out)
	}
}

// table is ours as the kernel has it, its counters at zero and without what it
// has noted of addresses.
func (w *town) table(t *testing.T) string {
	t.Helper()
	out := w.self.Run(t, "nft", "list", "table", "inet", "pic")
	for _, r := range [][2]string{
		{`,\s+`, ", "},
		{`packets \d+ bytes \d+`, "packets 0 bytes 0"},
		{`\t\telements = \{[^}]*(limit|counter)[^}]*\}\n`, ""},
	} {
		out = regexp.MustCompile(r[0]).ReplaceAllString(out, r[1])
	}
	return out
}

// A right that is taken away ends what runs on it.
func TestRevokedRightEndsAnOpenStream(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	w.join(t)
	stream := w.client.Start(t, "curl", "-sSN", "-m", "20", "http://198.51.100.2/slow")
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Count(stream.Output(), "tick") > 3 })
	w.allow(false, true)
	apply(t, s, w.config())
	time.Sleep(100 * time.Millisecond) // what was on its way
	n := len(stream.Output())
	time.Sleep(500 * time.Millisecond)
	if m := len(stream.Output()); m != n {
		t.Errorf("the stream goes on: %d bytes, then %d", n, m)
	}
}

func TestLoneInterfaceHidesPeersFromTheLAN(t *testing.T) {
	w := newTown(t)
	w.doc.Network.WAN = config.WAN{} // the LAN's router is another
	w.lan.Run(t, "ip", "route", "del", "default")
	s, _ := w.serve(t)
	w.join(t)
	if out, err := w.fetch("http://192.168.1.20/"); err != nil || !strings.Contains(out, "hello 192.168.1.10") {
		t.Errorf("%q, %v", out, err)
	}
	w.allow(true, false)
	apply(t, s, w.config())
	if out, err := w.fetch("http://192.168.1.20/"); err == nil {
		t.Errorf("the LAN is open: %q", out)
	}
	if out, err := w.fetch("http://198.51.100.2/"); err != nil || !strings.Contains(out, "hello 198.51.100.1") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestTunnelChangesHot(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	w.join(t)
	w.pings(t, "10.77.0.1")
	w.doc.WireGuard.Subnet = netip.MustParsePrefix("10.0.0.0/8") // wider, so the peer stays in
	w.doc.WireGuard.MTU = 1300
	apply(t, s, w.config())
	if out := w.self.Run(t, "ip", "addr", "show", "pic0"); !strings.Contains(out, "mtu 1300") || !strings.Contains(out, "inet 10.0.0.1/8") || strings.Contains(out, "10.77.0.1") {
		t.Errorf("interface:\n%s", out)
	}
	w.pings(t, "10.0.0.1")
	w.doc.WireGuard.Interface = "vpn7"
	apply(t, s, w.config())
	if out, err := w.self.Try("ip", "link", "show", "pic0"); err == nil {
		t.Errorf("the old interface stays:\n%s", out)
	}
	// The cell calls its peers, so they need not find out by silence.
	nettest.WaitFor(t, 3*time.Second, func() bool {
		_, err := w.client.Try("ping", "-c1", "-W1", "10.0.0.1")
		return err == nil
	})
	if _, err := w.fetch("http://198.51.100.2/"); err != nil {
		t.Error(err)
	}
	// An admin's change by wg is undone by the next Apply.
	want := w.self.Run(t, "wg", "show", "vpn7", "allowed-ips")
	w.self.Run(t, "wg", "set", "vpn7", "peer", w.doc.Peers[0].PublicKey, "remove")
	apply(t, s, w.config())
	if got := w.self.Run(t, "wg", "show", "vpn7", "allowed-ips"); got != want || !strings.Contains(got, "10.77.0.2/32") {
		t.Errorf("peers are %q, were %q", got, want)
	}
}

func TestAddressesOfTheHostAreWatched(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	told := make(chan struct{}, 1)
	s.OnAddresses(func() { poke(told) })
	has := func(a string) bool {
		for _, b := range s.Addresses() {
			if b == netip.MustParseAddr(a) {
				return true
			}
		}
		return false
	}
	if !has("192.168.1.10") || !has("10.77.0.1") || has("127.0.0.1") {
		t.Errorf("addresses %v", s.Addresses())
	}
	w.self.Addr("lan0", "203.0.113.129/25")
	nettest.WaitFor(t, 5*time.Second, func() bool {
		select {
		case <-told:
			return has("203.0.113.129")
		default:
			return false
		}
	})
	// A new network of the LAN is the LAN to the firewall too.
	nettest.WaitFor(t, 5*time.Second, func() bool {
		return strings.Contains(w.self.Run(t, "nft", "list", "set", "inet", "pic", "lan_nets4"), "203.0.113.128/25")
	})
}

// The mode is a field of the document like others: services keep their sockets
// in the tunnel when its ground changes under them.
func TestListenersFollowAChangeOfMode(t *testing.T) {
	w := newTown(t)
	w.doc.Cell.Mode = config.Trial
	s := New(slog.New(slog.DiscardHandler), w.secret)
	ln, err := s.ListenTCP(netip.MustParseAddrPort("10.77.0.1:8000"))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, ln)
	udp, err := s.ListenUDP(netip.MustParseAddrPort("10.77.0.1:8000"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			udp.WriteTo(b[:n], from)
		}
	}()
	apply(t, s, w.config())
	run(t, s)
	if _, err := net.Dial("tcp", "10.77.0.1:8000"); err == nil {
		t.Error("the host has the address in trial mode")
	}
	w.doc.Cell.Mode = config.Appliance
	taken, err := net.Listen("tcp", ":8000")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, w.config())
	nettest.WaitFor(t, 5*time.Second, func() bool {
		p := s.Problems()
		return len(p) == 1 && p[0].Code == "wireguard/ports-taken" && strings.Contains(p[0].Text, "tcp 10.77.0.1:8000")
	})
	taken.Close()
	for _, network := range []string{"tcp", "udp"} {
		nettest.WaitFor(t, 5*time.Second, func() bool {
			c, err := net.Dial(network, "10.77.0.1:8000")
			if err != nil {
				return false
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Second))
			return echoes(c, "hello") == nil
		})
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return len(s.Problems()) == 0 })
	w.join(t)
	w.pings(t, "10.77.0.1")
}
