package wgdev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pic/internal/nettest"
)

// A pair is one of our devices on the host of the test and Debian's wireguard-go
// on another, joined by a cable.
type pair struct {
	self, far *nettest.Host
	dev       *Device
	conf      Config
	farPub    Key
	farName   string
	farFile   string // its configuration
	addrs     []netip.Prefix
}

func newKey(t *testing.T) (private, public Key) {
	t.Helper()
	rand.Read(private[:])
	private[0] &= 248
	private[31] = private[31]&127 | 64
	public, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// newPair leaves the far end without an endpoint: ours calls it at farAt.
func newPair(t *testing.T, farAt string, o Options) *pair {
	t.Helper()
	nettest.NeedTUN(t)
	for _, tool := range []string{"wireguard-go", "wg", "ip", "ping"} {
		nettest.Tool(t, tool)
	}
	lab := nettest.New(t)
	p := &pair{self: lab.Self(), far: lab.Host("far"), farName: "wgfar"}
	lab.Link(p.self, "cable0", "192.0.2.1/24", p.far, "eth0", "192.0.2.2/24")
	p.self.Addr("cable0", "2001:db8::1/64")
	p.far.Addr("eth0", "2001:db8::2/64")

	private, public := newKey(t)
	farPrivate, farPublic := newKey(t)
	p.farPub = farPublic
	var psk Key
	rand.Read(psk[:])
	p.conf = Config{Private: private, Port: 51820, Peers: map[Key]Peer{farPublic: {
		Preshared: psk, Endpoint: farAt, Allowed: nets("10.9.0.2/32", "fd09::2/128"), Keepalive: time.Second,
	}}}
	p.addrs = nets("10.9.0.1/24", "fd09::1/64")

	if err := os.Remove("/run/wireguard/wgfar.sock"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	p.far.Start(t, "wireguard-go", "-f", p.farName)
	nettest.WaitFor(t, 10*time.Second, func() bool {
		c, err := net.Dial("unix", "/run/wireguard/wgfar.sock")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	file := filepath.Join(t.TempDir(), "far.conf")
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\nListenPort = 7000\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.9.0.1/32, fd09::1/128\n",
		farPrivate.Base64(), public.Base64(), psk.Base64())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.farFile = file
	p.far.Run(t, "wg", "setconf", p.farName, file)
	p.far.Run(t, "ip", "link", "set", p.farName, "mtu", "1420", "up")
	p.far.Addr(p.farName, "10.9.0.2/24")
	p.far.Addr(p.farName, "fd09::2/64")

	o.Interface, o.Log = "wgown", slog.New(slog.DiscardHandler)
	var err error
	if p.dev, err = Open(o, p.conf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.dev.Close() })
	if err := Dress("wgown", 1420, p.addrs); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestToolShowsAndItsChangesAreDrift(t *testing.T) {
	p := newPair(t, "192.0.2.2:7000", Options{})
	if err := p.dev.SocketError(); err != nil {
		t.Fatal(err)
	}
	show := p.self.Run(t, "wg", "show", "wgown")
	if !strings.Contains(show, p.farPub.Base64()) || !strings.Contains(show, "51820") {
		t.Errorf("wg shows\n%s", show)
	}
	if d := p.dev.Drift(); d != nil {
		t.Errorf("drift without a cause: %v", d)
	}
	_, stranger := newKey(t)
	p.self.Run(t, "wg", "set", "wgown", "fwmark", "0x10", "peer", stranger.Base64(), "allowed-ips", "10.9.0.77/32")
	p.self.Run(t, "wg", "set", "wgown", "peer", p.farPub.Base64(), "allowed-ips", "10.9.0.2/32,10.9.0.3/32")
	if d := strings.Join(p.dev.Drift(), "\n"); !strings.Contains(d, "mark") || !strings.Contains(d, stranger.Base64()) || !strings.Contains(d, "10.9.0.3") {
		t.Errorf("drift: %s", d)
	}
	if err := p.dev.Set(p.conf); err != nil {
		t.Fatal(err)
	}
	if d := p.dev.Drift(); d != nil {
		t.Errorf("not undone: %v", d)
	}
	p.self.Run(t, "ping", "-c1", "-W5", "10.9.0.2")
}

// The far end changes its address while a stream runs.
func TestPeerRoamsInMidStream(t *testing.T) {
	p := newPair(t, "192.0.2.2:7000", Options{})
	p.far.Run(t, "wg", "set", p.farName, "peer", mustPublic(t, p.conf.Private), "endpoint", "192.0.2.1:51820", "persistent-keepalive", "1")
	p.self.Run(t, "ping", "-c1", "-W5", "10.9.0.2")
	p.far.Run(t, "ip", "addr", "add", "192.0.2.55/24", "dev", "eth0")
	p.far.Run(t, "ip", "addr", "del", "192.0.2.2/24", "dev", "eth0")
	p.far.Run(t, "ip", "addr", "replace", "192.0.2.55/24", "dev", "eth0")
	p.far.Run(t, "wg", "set", p.farName, "listen-port", "7001") // it clings to an address that is gone
	start := time.Now()
	nettest.WaitFor(t, 10*time.Second, func() bool {
		_, err := p.self.Try("ping", "-c1", "-W1", "10.9.0.2")
		return err == nil
	})
	s, err := p.dev.State()
	if err != nil {
		t.Fatal(err)
	}
	if at := s.Peers[p.farPub].Endpoint.Addr().String(); at != "192.0.2.55" {
		t.Errorf("called at %s", at)
	}
	t.Logf("back after %v", time.Since(start).Round(time.Millisecond))
}

func mustPublic(t *testing.T, private Key) string {
	t.Helper()
	k, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	return k.Base64()
}

// The far end, that never calls by itself, gets another address, and the DNS
// says so.
func TestNameIsLookedUpAgainWhenPeerFallsSilent(t *testing.T) {
	var addr atomic.Value
	addr.Store(netip.MustParseAddr("192.0.2.2"))
	var asked atomic.Int64
	p := newPair(t, "far.example:7000", Options{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		asked.Add(1)
		if host != "far.example" {
			return nil, errors.New("another name")
		}
		return []netip.Addr{addr.Load().(netip.Addr)}, nil
	}})
	p.self.Run(t, "ping", "-c1", "-W8", "10.9.0.2")
	p.far.Run(t, "ip", "addr", "add", "192.0.2.66/24", "dev", "eth0")
	p.far.Run(t, "ip", "addr", "del", "192.0.2.2/24", "dev", "eth0")
	p.far.Run(t, "ip", "addr", "replace", "192.0.2.66/24", "dev", "eth0")
	p.far.Run(t, "wg", "setconf", p.farName, p.farFile) // as after a restart, it does not know us
	addr.Store(netip.MustParseAddr("192.0.2.66"))
	start := time.Now()
	nettest.WaitFor(t, 40*time.Second, func() bool {
		_, err := p.self.Try("ping", "-c1", "-W1", "10.9.0.2")
		return err == nil
	})
	if asked.Load() < 2 {
		t.Error("it was not looked up again")
	}
	t.Logf("back after %v", time.Since(start).Round(time.Millisecond))
}

func TestTenThousandPeersAreListedAndSmall(t *testing.T) {
	nettest.NeedTUN(t)
	nettest.Tool(t, "wg")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const count = 10000
	private, _ := newKey(t)
	c := Config{Private: private, Peers: make(map[Key]Peer, count)}
	for i := range count {
		_, pub := newKey(t)
		a := netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)})
		c.Peers[pub] = Peer{Allowed: []netip.Prefix{netip.PrefixFrom(a, 32)}}
	}
	d, err := Open(Options{Interface: "wgmany"}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (after.Sys - before.Sys) / count; each > 40<<10 {
		t.Errorf("%d bytes for each peer", each)
	}
	lab := nettest.New(t)
	if n := strings.Count(lab.Self().Run(t, "wg", "show", "wgmany", "peers"), "\n"); n < count-1 {
		t.Errorf("wg lists %d peers", n)
	}
	// One change among many touches one peer.
	for pub := range c.Peers {
		delete(c.Peers, pub)
		break
	}
	have, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	if cmds := diff(have, withPort(c, have.Port), nil); strings.Count(cmds, "\n") != 2 {
		t.Errorf("one removal says\n%.300s", cmds)
	}
	if err := d.Set(c); err != nil {
		t.Fatal(err)
	}
}

func withPort(c Config, port uint16) Config {
	c.Port = port
	return c
}

func TestKernelBackendSaysWhyItCannotBeHad(t *testing.T) {
	nettest.NeedTUN(t)
	can := CanKernel()
	d, err := Open(Options{Interface: "wgkern", Backend: Kernel}, Config{Private: key(8)})
	if can == nil {
		if err != nil {
			t.Fatalf("it should be there: %v", err)
		}
		defer d.Close()
		if s, err := d.State(); err != nil || s.Private != key(8) {
			t.Errorf("state: %v", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), "has no WireGuard") {
		t.Errorf("without the module: %v", err)
	}
}

func TestNothingStaysAfterClose(t *testing.T) {
	nettest.NeedTUN(t)
	before := runtime.NumGoroutine()
	for range 3 {
		d, err := Open(Options{Interface: "wgshort"}, Config{Private: key(8), Peers: map[Key]Peer{key(3): {Endpoint: "none.example:1"}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := net.InterfaceByName("wgshort"); err == nil {
			t.Fatal("the interface is still there")
		}
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return runtime.NumGoroutine() <= before+1 })
	if _, err := os.Stat(toolDir + "/wgshort.sock"); err == nil {
		t.Error("the socket is still there")
	}
	if err := Free(51820); errors.Is(err, unix.EADDRINUSE) {
		t.Error("the port is taken")
	}
}
