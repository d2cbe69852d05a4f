package netstack

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"pic/core/config"
	"pic/internal/listen"
)

// A service on a wildcard that covers the VPN moves to another port and back:
// its own sockets on the VPN's addresses and its wildcard must not be in each
// other's way.
func TestServiceMovesOffTheStandardPortAndBack(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			s := New(slog.New(slog.DiscardHandler), func(config.Secret) ([]byte, error) { return nil, nil })
			s.ports.attach(hostNet{}, now)
			pool := listen.NewPool(s)
			set := pool.Set()
			defer set.Close()
			vpn := []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("fd00:77::1")}
			standard, other := freePort(t), freePort(t)
			for _, port := range []uint16{standard, other, standard, other, standard} {
				end := pool.Begin()
				want := listen.For(network, []netip.Addr{netip.IPv6Unspecified()}, port, vpn, standard)
				swap, err := set.Open(t.Context(), want)
				if err != nil {
					t.Fatalf("to port %d: %v", port, err)
				}
				swap.Commit()
				end()
				if n := len(set.Bound()); n != len(want) {
					t.Fatalf("%d sockets are open, want %v", n, want)
				}
			}
			// A program that does not ask to share gets nothing of what was shared.
			for _, a := range []string{"127.0.0.9", "127.0.0.1"} {
				if _, err := open(net.ListenConfig{}, network, netip.AddrPortFrom(netip.MustParseAddr(a), standard).String()); err == nil {
					t.Errorf("another program has %s", a)
				}
			}
		})
	}
}

func open(lc net.ListenConfig, network, addr string) (func() error, error) {
	if network == "tcp" {
		l, err := lc.Listen(context.Background(), network, addr)
		if err != nil {
			return nil, err
		}
		return l.Close, nil
	}
	c, err := lc.ListenPacket(context.Background(), network, addr)
	if err != nil {
		return nil, err
	}
	return c.Close, nil
}

// freePort returns a port that nobody has on any address, for udp and tcp.
func freePort(t *testing.T) uint16 {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			c.Close()
			return netip.MustParseAddrPort(l.Addr().String()).Port()
		}
	}
	t.Fatal("no free port")
	return 0
}
