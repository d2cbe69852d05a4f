package dhcpsrv

import (
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
func start(t *testing.T, c Config, dir string) (*Server, *names.Registry) {
	t.Helper()
	reg := names.New(c.Domain)
	s := New(slog.New(slog.DiscardHandler), dir, reg)
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
	out := h.Run(t, "dhclient", append(files, "-1", "-v", "eth0")...)
	h.Run(t, "dhclient", append(files, "-x", "eth0")...)
	return found(t, out)
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
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ $1 = bound ] && ip addr add $ip/24 dev $interface\ntrue\n"), 0o755); err != nil {
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
	nettest.WaitFor(t, 10*time.Second, func() bool { return state() == Leased })
	nettest.WaitFor(t, 10*time.Second, func() bool {
		busy.Cmd.Process.Signal(syscall.SIGUSR2) // release; ignored until it is bound
		return state() == Free
	})
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
	if err := s.Apply(t.Context(), c); err == nil {
		t.Error("followed a missing interface")
	}
	udhcpc(t, h["busy"])
}

// An interface that goes ends the run with an error, so that the supervisor
// tries again until it is back.
func TestVanishedInterfaceEndsTheRun(t *testing.T) {
	lab := nettest.New(t)
	lab.Bridge("sw0").Join(lab.Self(), "lan0", "192.168.7.1/24")
	s := New(slog.New(slog.DiscardHandler), t.TempDir(), names.New(lan.Domain))
	if err := s.Apply(t.Context(), lan); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	lab.Self().Run(t, "ip", "link", "del", "lan0")
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "lan0") {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still runs")
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
