package netstack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pic/internal/nettest"
	"pic/netstack/policy"
	"pic/netstack/wgdev"
)

// A lad is a WireGuard client in user space.
type lad struct {
	name    string
	private string
	public  string
	addrs   []netip.Addr
	tun     *tunnel
}

func newLad(t *testing.T, name string, n int) *lad {
	t.Helper()
	l := &lad{name: name, addrs: addrs(fmt.Sprintf("10.77.0.%d", n), fmt.Sprintf("fd77::%x", n))}
	l.private, l.public = NewKey()
	return l
}

func (l *lad) peer() Peer {
	return Peer{Name: l.name, PublicKey: l.public, Addrs: l.addrs}
}

// connect points the lad at the cell's port on loopback.
func (l *lad) connect(t *testing.T, cell string, port uint16) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s := New(log, vault{"k": l.private}.open)
	c := Config{Mode: UserSpace, Key: "k", MTU: 1420}
	for _, a := range l.addrs {
		c.Addresses = append(c.Addresses, netip.PrefixFrom(a, a.BitLen()))
	}
	want, err := s.desire(c)
	if err != nil {
		t.Fatal(err)
	}
	// The cell may reach all of it.
	s.policy.Store(policy.New(policy.Rules{
		Cell: l.addrs, Peers: []policy.Peer{{Name: "cell", Addrs: addrs("10.77.0.1", "fd77::1"), Services: []string{"all"}}},
	}))
	l.tun, err = s.openTunnel(UserSpace, c, want)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.tun.close)
	pub, err := parseKey(cell)
	if err != nil {
		t.Fatal(err)
	}
	want.Peers[pub] = wgdev.Peer{
		Endpoint:  fmt.Sprintf("127.0.0.1:%d", port),
		Allowed:   []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
		Keepalive: time.Second,
	}
	err = l.tun.dev.Set(want)
	if err != nil {
		t.Fatal(err)
	}
}

func (l *lad) dial(t *testing.T, network, to string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := l.tun.stack.Dial(ctx, network, netip.MustParseAddrPort(to))
	if err != nil {
		t.Fatalf("%s dials %s: %v", l.name, to, err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// cell runs a server in user space with these peers.
func cell(t *testing.T, peers ...Peer) (s *Server, c Config, public string) {
	t.Helper()
	nettest.NeedNamespace(t)
	private, public := NewKey()
	s = New(slog.New(slog.DiscardHandler), vault{"wg-1": private, "wg-2": keyB}.open)
	c = Config{
		Mode: UserSpace, Key: "wg-1", Port: 51820, MTU: 1420, Peers: peers,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24"), netip.MustParsePrefix("fd77::1/64")},
	}
	apply(t, s, c)
	run(t, s)
	return s, c, public
}

func apply(t *testing.T, s *Server, c Config) {
	t.Helper()
	if c.Rules.Peers == nil { // not from a document
		for _, p := range c.Peers {
			c.Rules.Peers = append(c.Rules.Peers, policy.Peer{Name: p.Name, Addrs: p.Addrs, Services: []string{"all"}})
		}
	}
	if err := s.Check(t.Context(), c); err != nil {
		t.Fatalf("check: %v", err)
	}
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

// run runs s until the end of the test and reports an error of Run.
func run(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// echo answers on a TCP listener.
func echo(t *testing.T, l net.Listener) {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
}

func echoes(c net.Conn, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != text {
		return fmt.Errorf("%q came back as %q", text, b)
	}
	return nil
}

func TestPeersReachServicesInTheTunnel(t *testing.T) {
	a := newLad(t, "a", 2)
	s, _, public := cell(t, a.peer())
	tcp, err := s.ListenTCP(netip.MustParseAddrPort("10.77.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, tcp)
	tcp6, err := s.ListenTCP(netip.MustParseAddrPort("[fd77::1]:80"))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, tcp6)
	udp, err := s.ListenUDP(netip.MustParseAddrPort("10.77.0.1:53"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	from := make(chan net.Addr, 10)
	go func() {
		b := make([]byte, 1500)
		for {
			n, addr, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			from <- addr
			udp.WriteTo(b[:n], addr)
		}
	}()
	a.connect(t, public, 51820)
	for _, to := range []string{"10.77.0.1:80", "[fd77::1]:80"} {
		if err := echoes(a.dial(t, "tcp", to), strings.Repeat("hello", 100000)); err != nil {
			t.Errorf("tcp %s: %v", to, err)
		}
	}
	if err := echoes(a.dial(t, "udp", "10.77.0.1:53"), "query"); err != nil {
		t.Errorf("udp: %v", err)
	}
	if addr := (<-from).(*net.UDPAddr).AddrPort().Addr().Unmap(); addr != a.addrs[0] {
		t.Errorf("the query came from %s", addr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if c, err := a.tun.stack.Dial(ctx, "tcp", netip.MustParseAddrPort("10.77.0.1:81")); err == nil {
		c.Close()
		t.Error("a port without a listener was open")
	} else if ctx.Err() != nil {
		t.Error("a port without a listener did not refuse but kept silent")
	}
	st := s.Peers()
	if len(st) != 1 || !st[0].Connected() || st[0].RxBytes == 0 || st[0].Endpoint.Addr().Unmap() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("status %+v", st)
	}
}

// A change of one peer must not cost another a single packet.
func TestPeersComeAndGoWithoutDisturbance(t *testing.T) {
	a, b, c := newLad(t, "a", 2), newLad(t, "b", 3), newLad(t, "c", 4)
	s, conf, public := cell(t, a.peer(), c.peer())
	ln, err := s.ListenTCP(netip.MustParseAddrPort("10.77.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, ln)
	a.connect(t, public, 51820)
	c.connect(t, public, 51820)
	if err := echoes(c.dial(t, "tcp", "10.77.0.1:80"), "c"); err != nil {
		t.Fatal(err)
	}
	before := s.tunnel.Load()

	ping := a.ping(t, "10.77.0.1")
	if err := ping(0); err != nil {
		t.Fatalf("first ping: %v", err)
	}
	stop := make(chan struct{})
	var sent, lost atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := uint16(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			sent.Add(1)
			if err := ping(i); err != nil {
				lost.Add(1)
				t.Errorf("ping %d: %v", i, err)
				return
			}
		}
	})
	end := time.Now().Add(20 * time.Second)
	for i := 0; (i < 20 || sent.Load() < 50) && time.Now().Before(end); i++ {
		conf.Peers = []Peer{a.peer(), b.peer()} // b comes, c goes
		if i%2 == 1 {
			conf.Peers = []Peer{a.peer(), c.peer()}
		}
		apply(t, s, conf)
	}
	conf.Peers = []Peer{a.peer(), b.peer()}
	apply(t, s, conf)
	b.connect(t, public, 51820)
	if err := echoes(b.dial(t, "tcp", "10.77.0.1:80"), "new"); err != nil {
		t.Errorf("the new peer: %v", err)
	}
	close(stop)
	wg.Wait()
	t.Logf("%d pings, %d lost", sent.Load(), lost.Load())
	if sent.Load() < 20 {
		t.Errorf("only %d pings were sent", sent.Load())
	}
	if s.tunnel.Load() != before {
		t.Error("the tunnel was made anew")
	}
	// The one that was removed has no way in.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if conn, err := c.tun.stack.Dial(ctx, "tcp", netip.MustParseAddrPort("10.77.0.1:80")); err == nil {
		conn.Close()
		t.Error("a removed peer still gets in")
	}
}

// ping returns a function that sends one echo request and waits for its answer.
func (l *lad) ping(t *testing.T, to string) func(seq uint16) error {
	t.Helper()
	c, err := l.tun.stack.DialPing(netip.MustParseAddr(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func(seq uint16) error {
		req := []byte{8, 0, 0, 0, 0, 0, byte(seq >> 8), byte(seq), 'p', 'i', 'c'} // the stack fills in id and sum
		if _, err := c.Write(req); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err != nil {
			return err
		}
		if n != len(req) || b[0] != 0 || binary.BigEndian.Uint16(b[6:]) != seq {
			return fmt.Errorf("answer to %d is % x", seq, b[:n])
		}
		return nil
	}
}

func TestVirtualUDPKeepsTheManners(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler), vault{}.open)
	c, err := s.ListenUDP(netip.MustParseAddrPort("10.77.0.1:53"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.LocalAddr().String(); got != "10.77.0.1:53" {
		t.Errorf("local address %s", got)
	}
	b := make([]byte, 10)
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, _, err := c.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("without a tunnel: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	got := make(chan error, 1)
	go func() {
		_, _, err := c.ReadFrom(b)
		got <- err
	}()
	c.SetReadDeadline(time.Now().Add(-time.Second)) // wakes a waiting reader
	if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline set while reading: %v", err)
	}
	if n, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 77, 0, 2), Port: 1}); n != 1 || err != nil {
		t.Errorf("write without a tunnel: %d, %v", n, err)
	}
	c.SetWriteDeadline(time.Now().Add(-time.Second))
	if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 77, 0, 2), Port: 1}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write after its deadline: %v", err)
	}
	c.SetDeadline(time.Time{})
	go func() {
		_, _, err := c.ReadFrom(b)
		got <- err
	}()
	c.Close()
	if err := <-got; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read over close: %v", err)
	}
	if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 77, 0, 2), Port: 1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}
