package dhcpsrv

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pic/core/names"
	"pic/internal/nettest"
)

const childDir = "PIC_TEST_DHCP_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		serveUntilKilled(dir)
	}
	os.Exit(nettest.Main(m))
}

// serveUntilKilled is the process that the kill test kills. It has the namespace
// of the test that started it.
func serveUntilKilled(dir string) {
	s := New(slog.New(slog.NewTextHandler(os.Stderr, nil)), dir, names.New(lan.Domain))
	if err := s.Apply(context.Background(), lan); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	s.Run(context.Background())
}

// home is a LAN with the cell and devices on one switch.
func home(t *testing.T, devices ...string) (*nettest.Lab, map[string]*nettest.Host) {
	t.Helper()
	lab := nettest.New(t)
	sw := lab.Bridge("sw0")
	sw.Join(lab.Self(), "lan0", "192.168.7.1/24")
	hosts := map[string]*nettest.Host{}
	for _, name := range devices {
		hosts[name] = lab.Host(name)
		sw.Join(hosts[name], "eth0")
	}
	return lab, hosts
}

// start runs a server until the test ends.
func start(t *testing.T, c Config, dir string, before ...func(*Server)) (*Server, *names.Registry) {
	t.Helper()
	reg := names.New(c.Domain)
	s := New(slog.New(slog.DiscardHandler), dir, reg)
	for _, f := range before {
		f(s)
	}
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, reg
}

var bound = regexp.MustCompile(`bound to (\S+)|lease of (\S+) obtained`)

// dhclient gets an address the way Debian does, and leaves no process behind.
func dhclient(t *testing.T, h *nettest.Host, dir, name string) netip.Addr {
	t.Helper()
	nettest.Tool(t, "dhclient")
	conf := filepath.Join(dir, name+".conf")
	text := fmt.Sprintf("send host-name %q;\nrequest subnet-mask, routers, domain-name-servers, domain-name, ntp-servers;\ntimeout 20;\n", name)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	files := []string{"-4", "-cf", conf, "-lf", filepath.Join(dir, name+".leases"), "-pf", filepath.Join(dir, name+".pid"), "-sf", "/bin/true"}
	// In the foreground: one that goes into the background writes its pid late,
	// could not be found by then, and would outlive the test.
	p := h.Start(t, "dhclient", append(files, "-d", "-1", "-v", "eth0")...)
	nettest.WaitFor(t, 30*time.Second, func() bool { return strings.Contains(p.Output(), "renewal in") || !p.Running() })
	p.Kill() // SIGTERM would give the address back
	return found(t, p.Output())
}

func udhcpc(t *testing.T, h *nettest.Host, args ...string) netip.Addr {
	t.Helper()
	nettest.Tool(t, "udhcpc")
	out := h.Run(t, "udhcpc", append([]string{"-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true"}, args...)...)
	return found(t, out)
}

func found(t *testing.T, out string) netip.Addr {
	t.Helper()
	m := bound.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no lease in:\n%s", out)
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(m[1]+m[2], ","))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRealClientsGetLeasesAndNames(t *testing.T) {
	_, h := home(t, "deb", "busy")
	dir := t.TempDir()
	s, reg := start(t, lan, dir)
	a := udhcpc(t, h["busy"], "-x", "hostname:Busy_Box")
	b := dhclient(t, h["deb"], dir, "deb")
	if a == b || !lan.Server.Contains(a) || !lan.Server.Contains(b) {
		t.Fatalf("leases are %s and %s", a, b)
	}
	for name, want := range map[string]netip.Addr{
		"busy-box.lan.oak.home.arpa": a, "busy-box.oak.home.arpa": a, "deb.lan.oak.home.arpa": b,
	} {
		if got := reg.Snapshot().Addrs(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	if again := udhcpc(t, h["busy"], "-x", "hostname:Busy_Box"); again != a {
		t.Errorf("busy had %s and got %s", a, again)
	}
	if again := dhclient(t, h["deb"], dir, "deb"); again != b { // it remembers: INIT-REBOOT
		t.Errorf("deb had %s and got %s", b, again)
	}
	// A client that ends gives its address back.
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ $1 = bound ] && ip addr add $ip/24 dev $interface && touch $0.bound\ntrue\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	state := func() State {
		for _, l := range s.Leases() {
			if l.Address == a {
				return l.State
			}
		}
		return ""
	}
	if err := s.Release(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if got := reg.Snapshot().Addrs("busy-box.oak.home.arpa"); len(got) != 0 {
		t.Errorf("the name of a removed lease is still %v", got)
	}
	busy := h["busy"].Start(t, "udhcpc", "-i", "eth0", "-f", "-s", script, "-r", a.String())
	nettest.WaitFor(t, 30*time.Second, func() bool {
		_, err := os.Stat(script + ".bound")
		return err == nil && state() == Leased
	})
	busy.Cmd.Process.Signal(syscall.SIGUSR2) // release; once, and not before it is bound
	nettest.WaitFor(t, 30*time.Second, func() bool { return state() == Free })
}

func TestAddressInUseIsNotOffered(t *testing.T) {
	_, h := home(t, "squatter", "busy")
	for n := range 9 { // all but one of the pool
		h["squatter"].Addr("eth0", fmt.Sprintf("192.168.7.%d/24", 100+n))
	}
	small := lan
	small.First = netip.MustParseAddr("192.168.7.107")
	s, _ := start(t, small, t.TempDir())
	if a := udhcpc(t, h["busy"]); a.String() != "192.168.7.109" {
		t.Errorf("got %s, which somebody uses", a)
	}
	_ = s
}

func TestChangeKeepsTheSocket(t *testing.T) {
	_, h := home(t, "busy")
	s, _ := start(t, lan, t.TempDir())
	before := s.link
	c := lan
	c.Lease = 2 * time.Hour
	c.DNS = []netip.Addr{netip.MustParseAddr("192.168.7.2")}
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if s.link != before {
		t.Error("the socket was opened anew")
	}
	c.Interface = "nic7"
	if err := s.Check(t.Context(), c); err == nil || !strings.Contains(err.Error(), "ip link") {
		t.Errorf("a missing interface gave %v", err)
	}
	c.Interface = "lo"
	if err := s.Apply(t.Context(), c); err == nil || s.link != before {
		t.Errorf("followed an interface that is no Ethernet: %v", err)
	}
	udhcpc(t, h["busy"])
}

// problem reports whether the server has a problem of that code.
func problem(s *Server, code string) bool {
	for _, p := range s.Problems() {
		if p.Code == code && !p.Since.IsZero() && p.Fix != "" {
			return true
		}
	}
	return false
}

func TestInterfaceMayComeLateAndGo(t *testing.T) {
	lab := nettest.New(t)
	sw, busy := lab.Bridge("sw0"), lab.Host("busy")
	sw.Join(busy, "eth0")
	s, _ := start(t, lan, t.TempDir())
	if !problem(s, "dhcp/no-interface") || len(s.Sockets()) != 0 {
		t.Errorf("without an interface: %v", s.Problems())
	}
	sw.Join(lab.Self(), "lan0")
	nettest.WaitFor(t, 15*every, func() bool { return len(s.Sockets()) == 1 && problem(s, "dhcp/no-address") })
	lab.Self().Addr("lan0", "192.168.7.1/24")
	nettest.WaitFor(t, 15*every, func() bool { return len(s.Problems()) == 0 })
	a := udhcpc(t, busy)
	lab.Self().Run(t, "ip", "link", "del", "lan0")
	nettest.WaitFor(t, 15*every, func() bool { return problem(s, "dhcp/no-interface") })
	sw.Join(lab.Self(), "lan0", "192.168.7.1/24")
	nettest.WaitFor(t, 15*every, func() bool { return len(s.Problems()) == 0 })
	if again := udhcpc(t, busy); again != a {
		t.Errorf("had %s and got %s", a, again)
	}
}

// A device that uses the address that it asks for, since only we forgot, is no
// conflict.
func TestForgottenDeviceKeepsItsAddress(t *testing.T) {
	_, h := home(t, "busy")
	h["busy"].Addr("eth0", "192.168.7.103/24")
	start(t, lan, t.TempDir())
	if a := udhcpc(t, h["busy"], "-r", "192.168.7.103"); a.String() != "192.168.7.103" {
		t.Errorf("it got %s", a)
	}
}

func TestDamagedLeasesDoNotStopTheHousehold(t *testing.T) {
	_, h := home(t, "busy", "deb")
	dir := t.TempDir()
	given := make(chan Lease, 10)
	s, _ := start(t, lan, dir, func(s *Server) { s.Given = func(l Lease) { given <- l } })
	a := udhcpc(t, h["busy"])
	if l := <-given; l.Address != a || l.State != Leased {
		t.Errorf("told of %+v", l)
	}
	size := s.book.Size()
	udhcpc(t, h["deb"])
	udhcpc(t, h["deb"])
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "leases")
	book, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	book[size+20] ^= 1 // within the second record
	if err := os.WriteFile(path, book, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), lan); err != nil {
		t.Fatal(err)
	}
	if !problem(s, "dhcp/leases-damaged") {
		t.Errorf("problems: %v", s.Problems())
	}
	if kept, err := os.ReadFile(s.damaged); err != nil || !bytes.Equal(kept, book) {
		t.Errorf("the damaged file: %v", err)
	}
	if ls := s.Leases(); len(ls) != 1 || ls[0].Address != a {
		t.Errorf("read before the damage: %+v", ls)
	}
	if again := udhcpc(t, h["busy"]); again != a {
		t.Errorf("had %s and got %s", a, again)
	}
}

func TestJournalStaysShort(t *testing.T) {
	nettest.NeedNamespace(t)
	s := New(slog.New(slog.DiscardHandler), t.TempDir(), names.New(lan.Domain))
	if err := s.Apply(t.Context(), lan); err != nil { // there is no lan0
		t.Fatal(err)
	}
	defer s.stop()
	for i := range 5000 {
		s.mu.Lock()
		rec, _, ok := s.pool.lease(time.Now(), device(i%3), s.pool.nth(i%3))
		s.mu.Unlock()
		if !ok {
			t.Fatal("no lease")
		}
		if err := s.book.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		s.shorten(s.book)
	}
	if n := s.book.Size(); n > 2*small || s.kept == 0 {
		t.Errorf("the journal of 3 leases has %d bytes", n)
	}
}

// child starts the server as a process of its own.
func child(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line := make([]byte, 16)
	if n, _ := out.Read(line); !strings.HasPrefix(string(line[:n]), "ready") {
		t.Fatalf("the server did not start: %q", line[:n])
	}
	return cmd
}

func TestKillGivesNoAddressTwice(t *testing.T) {
	devices := []string{"d0", "d1", "d2", "d3", "d4"}
	_, h := home(t, devices...)
	dir := t.TempDir()
	had := map[string]netip.Addr{}
	for round := range 3 {
		cmd := child(t, dir)
		// Every round brings a new device, and the others must get what they had.
		for i := range round + 3 {
			name := devices[i]
			a := udhcpc(t, h[name], "-x", "hostname:"+name)
			if old, ok := had[name]; ok && old != a {
				t.Errorf("round %d: %s had %s and got %s", round, name, old, a)
			}
			for other, b := range had {
				if other != name && a == b {
					t.Errorf("round %d: %s and %s both have %s", round, name, other, a)
				}
			}
			had[name] = a
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
}
