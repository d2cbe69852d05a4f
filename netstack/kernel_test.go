package netstack

import (
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"pic/internal/nettest"
	"pic/netstack/fw"
)

func TestForeignTablesStayAndOursComesBack(t *testing.T) {
	w := newTown(t)
	w.self.Run(t, "nft", "add table inet other; add chain inet other c { type filter hook forward priority 0; policy drop; }; add set inet other s { type ipv4_addr; }; add element inet other s { 1.2.3.4, 5.6.7.8 }")
	t.Cleanup(func() { w.self.Try("nft", "delete", "table", "inet", "other") })
	other := w.self.Run(t, "nft", "list", "table", "inet", "other")
	s, stop := w.serve(t)
	if p := s.Problems(); len(p) != 1 || p[0].Code != "firewall/others-drop" || !strings.Contains(p[0].Text, "inet other c") || !strings.Contains(p[0].Fix, `nft insert rule inet other c iifname pic0 accept`) {
		t.Errorf("problems: %+v", p)
	}
	w.self.Run(t, "nft", "chain inet other c { policy accept; }")
	ours := w.table(t)

	// What nft prints is what the golden files say, but for line breaks.
	c := w.config()
	want := fw.Compile(c.model(s.terrain(c), passing{}, time.Now())).String()
	if ours != want {
		t.Errorf("the kernel has\n%s\nand should have\n%s", ours, want)
	}

	for _, damage := range []string{"delete table inet pic", "flush chain inet pic from_vpn", "flush set inet pic internet4"} {
		w.self.Run(t, "nft", damage)
		nettest.WaitFor(t, 5*time.Second, func() bool {
			_, err := w.self.Try("nft", "list", "table", "inet", "pic")
			return err == nil && w.table(t) == ours
		})
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return len(s.Problems()) == 0 })
	w.self.Run(t, "nft", "chain inet other c { policy drop; }")
	if now := w.self.Run(t, "nft", "list", "table", "inet", "other"); now != other {
		t.Errorf("the other table was\n%s\nand is\n%s", other, now)
	}
	stop()
	if out, err := w.self.Try("nft", "list", "table", "inet", "pic"); err == nil {
		t.Errorf("our table stays:\n%s", out)
	}
	if now := w.self.Run(t, "nft", "list", "table", "inet", "other"); now != other {
		t.Errorf("the other table is gone or changed:\n%s", now)
	}
}

func TestTakenInterfaceIsRefused(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	w.join(t)
	w.pings(t, "10.77.0.1")
	w.doc.WireGuard.Interface = "lan0"
	w.doc.WireGuard.Subnet = netip.MustParsePrefix("10.0.0.0/8")
	err := s.Apply(t.Context(), w.config())
	if err == nil || !strings.Contains(err.Error(), "wireguard.interface") {
		t.Errorf("got %v", err)
	}
	w.pings(t, "10.77.0.1")
	if out := w.self.Run(t, "nft", "list", "table", "inet", "pic"); strings.Contains(out, `iifname "lan0"`) || !strings.Contains(out, `iifname "pic0"`) {
		t.Errorf("the table is not as before:\n%s", out)
	}
}

func TestInterfaceThatGoesAwayIsMadeAgain(t *testing.T) {
	w := newTown(t)
	w.serve(t)
	w.self.Run(t, "ip", "link", "del", "pic0")
	nettest.WaitFor(t, 5*time.Second, func() bool {
		out, err := w.self.Try("wg", "show", "pic0")
		return err == nil && strings.Contains(out, w.doc.Peers[0].PublicKey)
	})
	w.join(t)
	w.pings(t, "10.77.0.1")
}

// TestCellProcess is the process that TestKilledCellLeavesNoHarm kills.
func TestCellProcess(t *testing.T) {
	if os.Getenv("NETSTACK_CELL") == "" {
		t.Skip("only as a child of another test") // nothing is missing: no nettest.Skip
	}
	s := New(slog.New(slog.DiscardHandler), vault{"wg-1": keyA, "psk-1": keyC}.open)
	apply(t, s, From(document()))
	os.Stdout.WriteString("up\n")
	s.Run(t.Context())
}

func TestKilledCellLeavesNoHarm(t *testing.T) {
	lab := nettest.New(t)
	nettest.NeedTUN(t)
	h := lab.Host("cell")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for range 2 {
		cmd := h.Command(self, "-test.run=^TestCellProcess$")
		cmd.Env = append(os.Environ(), "NETSTACK_CELL=1")
		p := nettest.Start(t, cmd)
		nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(p.Output(), "up\n") })
		tables = append(tables, h.Run(t, "nft", "list", "ruleset"))
		h.Run(t, "wg", "show", "pic0")
		p.Signal(syscall.SIGKILL)
		p.Wait()
		if got := h.Run(t, "nft", "list", "ruleset"); got != tables[0] {
			t.Errorf("after kill -9:\n%s", got)
		}
		if _, err := h.Try("ip", "link", "show", "pic0"); err == nil {
			t.Error("the interface outlives its process")
		}
	}
	if tables[0] != tables[1] || !strings.Contains(tables[0], "table inet pic") {
		t.Errorf("the table after a restart is another:\n%s\n%s", tables[0], tables[1])
	}
}

func TestReadOnlySettingsLeaveTheCellReachable(t *testing.T) {
	w := newTown(t)
	// A run that another test killed may have left them on.
	w.self.Run(t, "sysctl", "-w", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
	for _, flags := range []uintptr{syscall.MS_BIND, syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY} {
		if err := syscall.Mount("/proc/sys/net", "/proc/sys/net", "", flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { syscall.Unmount("/proc/sys/net", 0) })
	s, _ := w.serve(t)
	if p := s.Problems(); len(p) != 1 || p[0].Code != "network/no-forwarding" || !strings.Contains(p[0].Fix, "ip_forward") {
		t.Errorf("problems: %+v", p)
	}
	w.join(t)
	w.pings(t, "10.77.0.1")
}

func TestMissingTUNIsAProblemWithAFix(t *testing.T) {
	nettest.NeedTUN(t)
	s := New(slog.New(slog.DiscardHandler), vault{"wg-1": keyA, "psk-1": keyC}.open)
	run(t, s)
	// Hide the device behind an empty file system of our mount namespace.
	if err := syscall.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	hidden := true
	show := func() {
		if hidden {
			if err := syscall.Unmount("/dev/net", 0); err != nil {
				t.Fatal(err)
			}
		}
		hidden = false
	}
	defer show()
	apply(t, s, From(document()))
	p := s.Problems()
	if len(p) != 1 || p[0].Code != "wireguard/no-tun" || !strings.Contains(p[0].Fix, "CAP_NET_ADMIN") {
		t.Fatalf("problems: %+v", p)
	}
	if s.Sockets() != nil {
		t.Errorf("serves at %v", s.Sockets())
	}
	show()
	// Run tries again by itself; here by hand, to save its pause.
	s.again(t.Context(), "test")
	if p := s.Problems(); len(p) != 0 || len(s.Sockets()) == 0 {
		t.Errorf("with the device: %v, %v", p, s.Sockets())
	}
}
