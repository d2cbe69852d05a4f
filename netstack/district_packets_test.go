package netstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pic/internal/nettest"
)

// A district is a town whose cell is the router of its LAN, in which there are two
// devices on one Ethernet, with IPv6. Two more are on the road. Everybody knows
// the way to everybody, so that what does not arrive was not let through.
type district struct {
	*town
	s           *Server
	desk, phone *nettest.Host // lan's neighbour; the second device on the road
}

func newDistrict(t *testing.T, edit func(*district)) *district {
	t.Helper()
	d := &district{town: newTown(t)}
	d.router(t)
	d.desk = d.lab.Host("desk")
	d.lab.Link(d.lan, "eth1", "", d.desk, "eth0", "192.168.1.21/24")
	d.lan.Run(t, "sh", "-c", `ip link add br0 type bridge mcast_snooping 0 && ip addr flush dev eth0 &&
		ip link set eth0 master br0 && ip link set eth1 master br0 && ip link set br0 up &&
		ip addr add 192.168.1.20/24 dev br0 && ip route add default via 192.168.1.10`)
	d.desk.Route("default", "192.168.1.10")
	d.self.Addr("lan0", "2001:db8:1::10/64")
	d.self.Addr("lan0", "fd01::10/64")
	for i, h := range []*nettest.Host{d.lan, d.desk} {
		card := []string{"br0", "eth0"}[i]
		h.Addr(card, fmt.Sprintf("2001:db8:1::2%d/64", i))
		h.Addr(card, fmt.Sprintf("fd01::2%d/64", i))
		h.Route("default", "2001:db8:1::10")
	}
	d.network.Addr("eth0", "198.51.100.3/24")
	d.network.Route("default", "198.51.100.1")
	d.network.Route("default", "2001:db8:9::1")

	d.doc.Network.Router = new(true)
	d.doc.Peers[0].Address6 = netip.MustParseAddr("fd77::2")
	phone, join := d.second(t, "phone")
	d.phone = phone
	edit(d)
	d.s, _ = d.serve(t)
	d.join(t)
	join()
	for _, h := range []*nettest.Host{d.client, d.phone} {
		nettest.WaitFor(t, 5*time.Second, func() bool {
			_, err := h.Try("ping", "-c1", "-W1", "10.77.0.1")
			return err == nil
		})
	}
	return d
}

// router has the kernel route, as package router would, and answer each refusal.
func (w *town) router(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.ipv4.icmp_ratelimit": "0", "net.ipv6.icmp.ratelimit": "0",
	} {
		former := strings.TrimSpace(w.self.Run(t, "sysctl", "-n", name))
		w.self.Sysctl(name, value)
		t.Cleanup(func() { w.self.Sysctl(name, former) })
	}
}

// What becomes of a connection that somebody opens; else it is answered by a site
// that says whom it takes the caller for.
const (
	shut   = "refused at once"
	silent = "dropped in silence"
	closed = "nobody listens"
)

// A call is a connection that somebody opens.
type call struct {
	by   *nettest.Host
	to   string
	want string // the address that the site sees, or one of the above
}

// make opens the connection and reports what becomes of it.
func (c call) make(t *testing.T, network string) string {
	t.Helper()
	patience := 3 * time.Second
	if c.want == silent {
		patience = 250 * time.Millisecond
	}
	conn, err := dialFrom(c.by, netip.Addr{}, network, c.to, patience)
	if err != nil {
		return refusal(t, err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return refusal(t, err)
	}
	b := make([]byte, 2000)
	n := 0
	for err == nil && (n == 0 || network == "tcp") {
		var k int
		k, err = conn.Read(b[n:])
		n += k
	}
	if n == 0 {
		return refusal(t, err)
	}
	_, who, _ := strings.Cut(string(b[:n]), "hello ")
	return strings.TrimSpace(who)
}

// dialFrom opens a connection on a host, and asks for it twice at most.
func dialFrom(h *nettest.Host, from netip.Addr, network, to string, patience time.Duration) (c net.Conn, err error) {
	err = h.Do(func() error {
		d := net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1) })
		}}
		if from.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
		var err error
		c, err = d.DialContext(context.Background(), network, to)
		return err
	})
	return c, err
}

func refusal(t *testing.T, err error) string {
	t.Helper()
	var late net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return closed
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES):
		return shut
	case errors.As(err, &late) && late.Timeout():
		return silent
	}
	t.Errorf("an error that tells nothing: %v", err)
	return ""
}

// calls makes connections, all at once, and compares what becomes of them.
func calls(t *testing.T, network string, all map[string]call) {
	t.Helper()
	var wg sync.WaitGroup
	for name, c := range all {
		wg.Go(func() {
			if got := c.make(t, network); got != c.want {
				t.Errorf("%s, by %s to %s: %s; want %s", name, network, c.to, got, c.want)
			}
		})
	}
	wg.Wait()
}

// greet answers datagrams with the address they came from.
func greet(t *testing.T, h *nettest.Host, at ...string) {
	t.Helper()
	for _, a := range at {
		var pc net.PacketConn
		if err := h.Do(func() (err error) {
			pc, err = net.ListenPacket("udp", a)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pc.Close() })
		go func() {
			b := make([]byte, 2000)
			for {
				_, from, err := pc.ReadFrom(b)
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(from.String())
				pc.WriteTo([]byte("hello "+host), from)
			}
		}()
	}
}

// A tap is tcpdump on a card, in its own words.
type tap struct{ *nettest.Proc }

func listenAt(t *testing.T, h *nettest.Host, card, filter string) tap {
	t.Helper()
	p := h.Start(t, "tcpdump", "-i", card, "-nn", "-l", "--immediate-mode", "-Q", "in", filter)
	nettest.WaitFor(t, 5*time.Second, func() bool { return strings.Contains(p.Output(), "listening on") })
	return tap{p}
}

// packets are the lines of packets seen so far.
func (p tap) packets() []string {
	var out []string
	for line := range strings.Lines(p.Output()) {
		if strings.Contains(line, " > ") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// A stream is a page without end.
type stream struct{ last atomic.Int64 } // when it last said something

// follow opens a stream and waits until it says something.
func follow(t *testing.T, h *nettest.Host, to string) *stream {
	t.Helper()
	c, err := dialFrom(h, netip.Addr{}, "tcp", to, patient)
	if err != nil {
		t.Fatalf("a stream from %s to %s: %v", h.Name, to, err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, "GET /slow HTTP/1.0\r\n\r\n")
	s := &stream{}
	go func() {
		b := make([]byte, 1000)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			s.last.Store(time.Now().UnixNano())
		}
	}()
	s.goesOn(t)
	return s
}

func (s *stream) goesOn(t *testing.T) {
	t.Helper()
	now := time.Now().UnixNano()
	nettest.WaitFor(t, patient, func() bool { return s.last.Load() > now })
}

// over reports how long after since it said its last word; once it is silent.
func (s *stream) over(t *testing.T, since time.Time) time.Duration {
	t.Helper()
	said := func() time.Time { return time.Unix(0, s.last.Load()) }
	nettest.WaitFor(t, 2*patient, func() bool { return time.Since(said()) > 400*time.Millisecond })
	return said().Sub(since)
}

// hits are the packets that rules of this name have met.
func (d *district) hits(t *testing.T, note string) uint64 {
	t.Helper()
	rules, err := d.s.FirewallRules()
	if err != nil {
		t.Fatal(err)
	}
	n, found := uint64(0), false
	for _, r := range rules {
		if r.Note == note {
			n, found = n+r.Packets, true
		}
	}
	if !found {
		t.Fatalf("no rule is called %q", note)
	}
	return n
}

const patient = 3 * time.Second
