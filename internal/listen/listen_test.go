package listen

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

func at(network, addr string) Socket {
	return Socket{Net: network, Addr: netip.MustParseAddrPort(addr)}
}

// free returns an address whose port nobody has, for udp and tcp.
func free(t *testing.T, ip string) string {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", ip+":0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err != nil {
			continue
		}
		u.Close()
		return addr
	}
	t.Fatal("no free port")
	return ""
}

func mustOpen(t *testing.T, s *Set, want ...Socket) *Swap {
	t.Helper()
	w, err := s.Open(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// greet answers each connection to b with name, until b is closed.
func greet(b Bound, name string) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, name)
		c.Close()
	}
}

func asks(t *testing.T, addr string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	b, _ := io.ReadAll(c)
	return string(b)
}

func inode(t *testing.T, b Bound) string {
	t.Helper()
	rc, err := b.raw()
	if err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	rc.Control(func(fd uintptr) { err = syscall.Fstat(int(fd), &st) })
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(st.Ino)
}

func TestUnchangedSocketsStay(t *testing.T) {
	p := NewPool(nil)
	s := p.Set()
	defer s.Close()
	a, b, c := at("tcp", free(t, "127.0.0.1")), at("udp", free(t, "127.0.0.1")), at("tcp", free(t, "127.0.0.1"))
	mustOpen(t, s, a, b).Commit()
	before := map[Socket]string{}
	for _, o := range s.Bound() {
		before[o.Socket] = inode(t, o)
	}
	w := mustOpen(t, s, a, c)
	if len(w.Added()) != 1 || w.Added()[0].Socket != c {
		t.Fatalf("added %v, want only %v", w.Added(), c)
	}
	w.Commit()
	if got := s.Sockets(); len(got) != 2 {
		t.Errorf("open sockets are %v", got)
	}
	for _, o := range s.Bound() {
		if o.Socket == a && inode(t, o) != before[a] {
			t.Error("an unchanged socket was opened anew")
		}
	}
}

func TestRefusedSocketLeavesAllAsItWas(t *testing.T) {
	p := NewPool(nil)
	s := p.Set()
	defer s.Close()
	a := at("tcp", free(t, "127.0.0.1"))
	w := mustOpen(t, s, a)
	go greet(w.Added()[0], "old")
	w.Commit()
	other := at("tcp", free(t, "127.0.0.1"))
	_, err := s.Open(t.Context(), []Socket{other, at("tcp", "192.0.2.1:53")})
	if !errors.Is(err, syscall.EADDRNOTAVAIL) || !strings.Contains(err.Error(), "not an address of this host") {
		t.Fatalf("foreign address gave %v", err)
	}
	if got := asks(t, a.Addr.String()); got != "old" {
		t.Errorf("old socket answers %q", got)
	}
	if l, err := net.Listen("tcp", other.Addr.String()); err != nil {
		t.Errorf("the aborted socket is still open: %v", err)
	} else {
		l.Close()
	}
}

func TestForeignPortIsRefusedWithACommandThatNamesIt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = NewPool(nil).Set().Open(t.Context(), []Socket{at("tcp", l.Addr().String())})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "ss -ltnp") {
		t.Errorf("got %v", err)
	}
}

// Two services that swap their ports within one change must not meet each
// other's sockets, neither on the way nor on the way back.
func TestSocketsAreHandedOverWithinAChange(t *testing.T) {
	p := NewPool(nil)
	one, two := p.Set(), p.Set()
	defer one.Close()
	defer two.Close()
	a, b := at("tcp", free(t, "127.0.0.1")), at("tcp", free(t, "127.0.0.1"))
	move := func(s *Set, name string, to Socket) {
		w := mustOpen(t, s, to)
		for _, n := range w.Added() {
			go greet(n, name)
		}
		w.Commit()
	}
	move(one, "one", a)
	move(two, "two", b)
	ino := inode(t, two.Bound()[0])

	end := p.Begin()
	move(one, "one", b)
	move(two, "two", a)
	end()
	if x, y := asks(t, a.Addr.String()), asks(t, b.Addr.String()); x != "two" || y != "one" {
		t.Errorf("after the swap the ports answer %q and %q", x, y)
	}
	if inode(t, one.Bound()[0]) != ino {
		t.Error("the socket was not handed over but opened anew")
	}

	end = p.Begin()
	move(one, "one", a) // refused further on: undone
	move(one, "one", b)
	end()
	if x, y := asks(t, a.Addr.String()), asks(t, b.Addr.String()); x != "two" || y != "one" {
		t.Errorf("after the undo the ports answer %q and %q", x, y)
	}
}

func TestWildcardGivesWayToAnAddressOnItsPort(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			p := NewPool(nil)
			s := p.Set()
			defer s.Close()
			port := netip.MustParseAddrPort(free(t, "127.0.0.1")).Port()
			wild := Socket{Net: network, Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), port)}
			lo := Socket{Net: network, Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)}
			for _, want := range []Socket{wild, lo, wild} {
				mustOpen(t, s, want).Commit()
				if got := s.Bound(); len(got) != 1 || got[0].Socket != want {
					t.Fatalf("open sockets are %v, want %v", got, want)
				}
			}
			// A second cell must not share the port after such a change.
			if w, err := NewPool(nil).Set().Open(t.Context(), []Socket{lo}); err == nil {
				w.Abort()
				t.Error("another process could share the port")
			}
		})
	}
}

func TestTunnelAddressesAreBoundBeforeTheyExist(t *testing.T) {
	s := NewPool(nil).Set()
	defer s.Close()
	for _, a := range []string{"10.99.0.1:10053", "[fd00:99::1]:10053"} {
		k := at("udp", a)
		k.Scope = InTunnel
		w, err := s.Open(t.Context(), []Socket{k})
		if err != nil {
			t.Errorf("%s: %v", a, err)
			continue
		}
		w.Commit()
	}
}

func TestForAddsTheTunnelUnlessAWildcardCoversIt(t *testing.T) {
	vpn := []netip.Addr{netip.MustParseAddr("10.64.0.1")}
	lo, all := netip.MustParseAddr("127.0.0.1"), netip.IPv6Unspecified()
	for name, tt := range map[string]struct {
		addr netip.Addr
		port uint16
		want string
	}{
		"loopback, high port":     {lo, 10053, "[udp 127.0.0.1:10053 udp 10.64.0.1:53 (VPN)]"},
		"wildcard, high port":     {all, 10053, "[udp [::]:10053 udp 10.64.0.1:53 (VPN)]"},
		"wildcard, standard port": {all, 53, "[udp [::]:53]"},
	} {
		if got := fmt.Sprint(For("udp", []netip.Addr{tt.addr}, tt.port, vpn, 53)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}
