package datagram

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// echo serves pc with the address asked as the reply, until it is closed.
func echo(t *testing.T, pc net.PacketConn) {
	t.Helper()
	c := Wrap(pc)
	c.Stamp()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p := NewPacket(64)
		for c.Read(p) == nil {
			if late := time.Since(p.At); late < 0 || late > time.Minute {
				t.Errorf("arrived %v ago", late)
			}
			if err := c.Reply([]byte(p.To.String()), p); err != nil {
				t.Errorf("reply to %v from %v: %v", p.From, p.To, err)
			}
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
}

// ask sends to addr on a connected socket, which takes replies from addr alone.
func ask(t *testing.T, addr netip.AddrPort) string {
	t.Helper()
	b := make([]byte, 64)
	// More than once and from new sockets: what is sent to a new IPv6 address
	// before its route is in place gets lost, and a connected socket keeps the
	// route that it found.
	for range 25 {
		c, err := net.Dial("udp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("?"))
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Read(b)
		c.Close()
		if err == nil {
			return string(b[:n])
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("asked %v: %v", addr, err)
		}
	}
	t.Errorf("asked %v: no answer", addr)
	return ""
}

// lo2 gives the namespace a second address of each family.
func lo2(t *testing.T) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.0.2.1/32", "192.0.2.2/32", "fd00::1/128", "fd00::2/128"} {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		addr.Flags = unix.IFA_F_NODAD // or it cannot be bound for a moment
		if err := netlink.AddrAdd(lo, addr); err != nil && err.Error() != "file exists" {
			t.Fatal(err)
		}
	}
}

func TestRepliesComeFromTheAddressAsked(t *testing.T) {
	nettest.NeedNamespace(t)
	lo2(t)
	for name, tt := range map[string]struct {
		network, listen string
		asked           []string
	}{
		"dual":   {"udp", "[::]:0", []string{"127.0.0.1", "127.0.0.9", "192.0.2.1", "192.0.2.2", "::1", "fd00::1", "fd00::2"}},
		"v4":     {"udp4", "0.0.0.0:0", []string{"127.0.0.1", "192.0.2.1", "192.0.2.2"}},
		"one v4": {"udp", "192.0.2.2:0", []string{"192.0.2.2"}},
		"one v6": {"udp", "[fd00::2]:0", []string{"fd00::2"}},
	} {
		t.Run(name, func(t *testing.T) {
			pc, err := net.ListenPacket(tt.network, tt.listen)
			if err != nil {
				t.Fatal(err)
			}
			echo(t, pc)
			port := uint16(pc.LocalAddr().(*net.UDPAddr).Port)
			for _, a := range tt.asked {
				if got := ask(t, netip.AddrPortFrom(netip.MustParseAddr(a), port)); got != a {
					t.Errorf("asked %s, it saw %s", a, got)
				}
			}
		})
	}
}

// opaque hides that a socket is the kernel's.
type opaque struct{ net.PacketConn }

func TestServesSocketsThatAreNotTheKernels(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	echo(t, opaque{pc})
	if got := ask(t, pc.LocalAddr().(*net.UDPAddr).AddrPort()); got != "127.0.0.1" {
		t.Errorf("got %q", got)
	}
}

func TestSkipsBroadcasts(t *testing.T) {
	nettest.NeedNamespace(t)
	pc, err := net.ListenPacket("udp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	echo(t, pc)
	port := pc.LocalAddr().(*net.UDPAddr).Port
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// 127.255.255.255 is the broadcast address of lo.
	if _, err := c.WriteTo([]byte("?"), &net.UDPAddr{IP: net.IPv4(127, 255, 255, 255), Port: port}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo([]byte("?"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 64)
	n, from, err := c.ReadFrom(b)
	if err != nil || string(b[:n]) != "127.0.0.1" {
		t.Errorf("got %q from %v, %v", b[:n], from, err)
	}
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, _, err := c.ReadFrom(b); err == nil {
		t.Errorf("a broadcast was answered: %q", b[:n])
	}
}

// A broken control message must not end in a panic or an address made up.
func FuzzControl(f *testing.F) {
	f.Add(source(netip.MustParseAddr("192.0.2.1"), 0))
	f.Add(source(netip.MustParseAddr("fe80::1"), 3))
	f.Fuzz(func(t *testing.T, oob []byte) {
		p := NewPacket(0)
		alone := p.control(oob)
		if alone && p.To.IsMulticast() {
			t.Fatalf("%v taken for this host alone", p.To)
		}
		if p.To.Is4In6() {
			t.Fatalf("%v is mapped", p.To)
		}
	})
}
