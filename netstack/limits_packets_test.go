package netstack

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pic/core/config"
	"pic/internal/nettest"
)

// A flood from one address takes nothing from others, one from very many is
// bounded in all, and the counters show both.
func TestFloodsAreBounded(t *testing.T) {
	d := newDistrict(t, func(d *district) {
		d.doc.Network.Limits = config.Limits{New: 20, Syn: 150}
		d.doc.Network.Forwards = []config.PortForward{{Name: "web", Port: 8080, To: netip.MustParseAddr("192.168.1.20"), ToPort: 80}}
	})
	d.network.Run(t, "ip", "route", "add", "local", "198.51.100.128/25", "dev", "lo")
	seen := listenAt(t, d.lan, "br0", "dst port 80 and tcp[13] == 2")
	one, others := netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("198.51.100.3")
	goal := netip.MustParseAddrPort("198.51.100.1:8080")

	stop, done := make(chan struct{}), make(chan int)
	start := time.Now()
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
				n += knocks(t, d.network, goal, one)
			}
		}
	}()
	nettest.WaitFor(t, patient, func() bool { return d.hits(t, "flood of connections") > 500 })
	for range 5 {
		c, err := dialFrom(d.network, others, "tcp", goal.String(), 700*time.Millisecond)
		if err != nil {
			t.Errorf("beside a flood: %v", err)
			continue
		}
		c.Close()
	}
	close(stop)
	sent := <-done
	most := 20 + int(20*time.Since(start).Seconds()) + 10
	if let := strings.Count(seen.Output(), "IP 198.51.100.2."); let == 0 || let > most {
		t.Errorf("of %d attempts of one address %d came through, want 1 to %d", sent, let, most)
	}
	if n := d.hits(t, "flood of TCP connections"); n > 0 {
		t.Errorf("the limit for all has met %d", n)
	}

	// From a hundred addresses, each of which does what it may.
	var many []netip.Addr
	for i := range 100 {
		many = append(many, netip.AddrFrom4([4]byte{198, 51, 100, byte(130 + i)}))
	}
	start = time.Now()
	for range 10 {
		knocks(t, d.network, goal, many...)
	}
	most = 150 + int(150*time.Since(start).Seconds()) + 20
	nettest.WaitFor(t, patient, func() bool { return d.hits(t, "flood of TCP connections") >= uint64(1000-most) })
	let := len(regexp.MustCompile(`IP 198\.51\.100\.(1[3-9]\d|2\d\d)\.`).FindAllString(seen.Output(), -1))
	if let == 0 || let > most {
		t.Errorf("of 1000 attempts of many addresses %d came through, want 1 to %d", let, most)
	}
	nettest.WaitFor(t, patient, func() bool { // it is over
		c, err := dialFrom(d.network, others, "tcp", goal.String(), 700*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err == nil
	})

	// A device on the road, by TCP and UDP.
	before := d.hits(t, "flood of connections")
	for range 10 {
		knocks(t, d.client, netip.MustParseAddrPort("198.51.100.2:80"), make([]netip.Addr, 20)...)
	}
	nettest.WaitFor(t, patient, func() bool { return d.hits(t, "flood of connections") >= before+150 })
	calls(t, "tcp", map[string]call{
		"the other device": {d.phone, "198.51.100.2:80", "198.51.100.1"},
		"the LAN":          {d.desk, "198.51.100.2:80", "198.51.100.1"},
	})
}

// knocks asks for a connection from each of the addresses, and waits for no
// answer.
func knocks(t *testing.T, h *nettest.Host, to netip.AddrPort, from ...netip.Addr) int {
	t.Helper()
	err := h.Do(func() error {
		for _, a := range from {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			if a.IsValid() {
				err = unix.Bind(fd, &unix.SockaddrInet4{Addr: a.As4()})
			}
			if err == nil {
				err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
			}
			unix.Close(fd)
			if err != nil && err != unix.EINPROGRESS {
				return fmt.Errorf("knocking from %s: %w", a, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return len(from)
}

// TCP segments fit the narrower of both ways, whoever opens the connection: each
// end hears of the other a size that passes.
func TestSegmentsFitTheNarrowWay(t *testing.T) {
	d := newDistrict(t, func(d *district) {
		d.self.Run(t, "ip", "link", "set", "wan0", "mtu", "1492") // PPPoE in the modem; the tunnel follows, with 1412
		d.doc.Network.Forwards = []config.PortForward{
			{Name: "web", Port: 8080, To: netip.MustParseAddr("192.168.1.20"), ToPort: 80},
			{Name: "web6", Port: 80, To: netip.MustParseAddr("2001:db8:1::20")},
			{Name: "game", Port: 7777, To: netip.MustParseAddr("10.77.0.2")},
			{Name: "game6", Port: 7777, To: netip.MustParseAddr("fd77::2")},
		}
	})
	d.client.Run(t, "ip", "link", "set", "wg0", "mtu", "1500") // it knows nothing of the tunnel
	serveSite(t, d.lan, "[2001:db8:1::20]:80")
	serveSite(t, d.client, "10.77.0.2:7777", "[fd77::2]:7777")
	for name, c := range map[string]struct {
		by, at        *nettest.Host
		card, answers string
		to            string
		four          int
	}{
		"LAN to WAN":      {d.desk, d.network, "eth0", "eth0", "198.51.100.2:80", 1452},
		"LAN to WAN 6":    {d.desk, d.network, "eth0", "eth0", "[2001:db8:9::2]:80", 1432},
		"WAN to LAN":      {d.network, d.lan, "br0", "eth0", "198.51.100.1:8080", 1452},
		"WAN to LAN 6":    {d.network, d.lan, "br0", "eth0", "[2001:db8:1::20]:80", 1432},
		"tunnel to WAN":   {d.client, d.network, "eth0", "wg0", "198.51.100.2:80", 1372},
		"tunnel to WAN 6": {d.client, d.network, "eth0", "wg0", "[2001:db8:9::2]:80", 1352},
		"WAN to tunnel":   {d.network, d.client, "wg0", "eth0", "198.51.100.1:7777", 1372},
		"WAN to tunnel 6": {d.network, d.client, "wg0", "eth0", "[2001:db8:9::1]:7777", 1352},
		"tunnel to LAN":   {d.client, d.lan, "br0", "wg0", "192.168.1.20:80", 1372},
		"tunnel to LAN 6": {d.client, d.lan, "br0", "wg0", "[2001:db8:1::20]:80", 1352},
		"LAN to tunnel":   {d.desk, d.client, "wg0", "eth0", "198.51.100.1:7777", 1372},
		"LAN to tunnel 6": {d.desk, d.client, "wg0", "eth0", "[2001:db8:9::1]:7777", 1352},
	} {
		t.Run(name, func(t *testing.T) {
			opens := listenAt(t, c.at, c.card, "tcp[13] == 2 or (ip6 and ip6[53] == 2)")
			answers := listenAt(t, c.by, c.answers, "tcp[13] == 18 or (ip6 and ip6[53] == 18)")
			conn, err := dialFrom(c.by, netip.Addr{}, "tcp", c.to, patient)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			for what, p := range map[string]tap{"the request": opens, "the answer": answers} {
				nettest.WaitFor(t, patient, func() bool { return len(p.packets()) > 0 })
				if line := p.packets()[0]; !strings.Contains(line, fmt.Sprintf("mss %d,", c.four)) {
					t.Errorf("%s has not %d: %s", what, c.four, line)
				}
			}
		})
	}
}

// A block holds at once, in both directions and for what is open, and ends by
// itself; so does one of the document.
func TestBlockedAddressesComeBackInTime(t *testing.T) {
	d := newDistrict(t, func(d *district) {
		d.doc.Network.Forwards = []config.PortForward{{Name: "web", Port: 8080, To: netip.MustParseAddr("192.168.1.20"), ToPort: 80}}
	})
	serveSite(t, d.network, "198.51.100.3:80")
	out := follow(t, d.desk, "198.51.100.3:80")
	beside := follow(t, d.desk, "198.51.100.2:80")
	six := follow(t, d.client, "[2001:db8:9::2]:80")

	start := time.Now()
	end := start.Add(2 * time.Second)
	if err := d.s.Block(Ban{Net: netip.MustParsePrefix("198.51.100.3/32"), Until: end}); err != nil {
		t.Fatal(err)
	}
	d.doc.Network.Blocked = []config.Block{{Net: netip.MustParsePrefix("2001:db8:9::/64"), Until: end}}
	apply(t, d.s, d.config())
	calls(t, "tcp", map[string]call{
		"to it":            {d.desk, "198.51.100.3:80", silent},
		"to it, by a peer": {d.client, "198.51.100.3:80", silent},
		"from the cell":    {d.self, "198.51.100.2:80", "198.51.100.1"},
		"to another":       {d.desk, "198.51.100.2:80", "198.51.100.1"},
		"to it, IPv6":      {d.client, "[2001:db8:9::2]:80", silent},
		"from it, IPv6":    {d.network, "[2001:db8:9::1]:8080", silent},
	})
	if c, err := dialFrom(d.network, netip.MustParseAddr("198.51.100.3"), "tcp", "198.51.100.1:8080", 300*time.Millisecond); err == nil {
		c.Close()
		t.Error("a blocked address gets in by a forward")
	}
	for name, s := range map[string]*stream{"IPv4": out, "IPv6": six} {
		if late := s.over(t, start); late > time.Second {
			t.Errorf("the open stream by %s ended %v after the block", name, late)
		}
	}
	beside.goesOn(t)
	if d.hits(t, "blocked") == 0 {
		t.Error("the block counts nothing")
	}

	for _, to := range []string{"198.51.100.3:80", "[2001:db8:9::2]:80"} {
		nettest.WaitFor(t, 2*patient, func() bool {
			c, err := dialFrom(d.client, netip.Addr{}, "tcp", to, 300*time.Millisecond)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		if early := time.Until(end); early > 0 {
			t.Errorf("%s is open %v before its time", to, early)
		}
	}
	if b := d.s.Bans(); len(b) != 0 {
		t.Errorf("blocks: %v", b)
	}
}
