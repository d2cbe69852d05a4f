package netstack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

// back echoes what comes to a socket that an address in the tunnel has.
func back(t *testing.T, c net.PacketConn, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	}()
}

// answered reports whether what listens at the address echoes.
func answered(t *testing.T, s *Server, network, address string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c, err := s.Dial(ctx, network, address)
	if err != nil {
		return false
	}
	defer c.Close()
	for range 10 { // the first datagram may be lost while the tunnel shakes hands
		c.SetDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Write([]byte("hello")); err != nil {
			return false
		}
		b := make([]byte, 5)
		if n, err := c.Read(b); err == nil {
			return strings.HasPrefix("hello", string(b[:n]))
		}
	}
	return false
}

func TestTheCellReachesAPeerThroughTheTunnel(t *testing.T) {
	a := newLad(t, "a", 2)
	s, c, public := cell(t, a.peer())
	a.connect(t, public, c.Port)
	l, err := a.tun.stack.ListenTCP(netip.MustParseAddrPort("10.77.0.2:53"))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
	pc, err := a.tun.stack.ListenUDP(netip.MustParseAddrPort("10.77.0.2:53"))
	back(t, pc, err)
	pc6, err := a.tun.stack.ListenUDP(netip.MustParseAddrPort("[fd77::2]:53"))
	back(t, pc6, err)
	nettest.WaitFor(t, 10*time.Second, func() bool { return answered(t, s, "tcp", "10.77.0.2:53") })
	for _, to := range []string{"10.77.0.2:53", "[fd77::2]:53", "[::ffff:10.77.0.2]:53"} {
		if !answered(t, s, "udp", to) {
			t.Errorf("no answer over UDP from %s", to)
		}
	}
	// What the host reaches, but the tunnel does not, is not reached.
	host, err := net.ListenPacket("udp", "127.0.0.1:0")
	back(t, host, err)
	if answered(t, s, "udp", host.LocalAddr().String()) {
		t.Error("reached the host itself")
	}
	c.Mode = Off
	apply(t, s, c)
	if _, err := s.Dial(t.Context(), "udp", "10.77.0.2:53"); !errors.Is(err, ErrDown) {
		t.Errorf("without a tunnel: %v", err)
	}
	if _, err := s.Dial(t.Context(), "udp", "not an address"); err == nil || errors.Is(err, ErrDown) {
		t.Errorf("got %v", err)
	}
}

func TestTheCellReachesThroughItsInterfaceAlone(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	w.join(t)
	w.pings(t, "10.77.0.1")
	var pc net.PacketConn
	err := w.client.Do(func() (err error) {
		pc, err = net.ListenPacket("udp", "10.77.0.2:53")
		return err
	})
	back(t, pc, err)
	var l net.Listener
	err = w.client.Do(func() (err error) {
		l, err = net.Listen("tcp", "10.77.0.2:53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
	for _, network := range []string{"udp", "tcp"} {
		if !answered(t, s, network, "10.77.0.2:53") {
			t.Errorf("no answer over %s", network)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if c, err := s.Dial(ctx, "tcp", "198.51.100.2:80"); err == nil {
		c.Close()
		t.Error("reached the internet by the host's route")
	}
}
