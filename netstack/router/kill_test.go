package router

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

const childDir = "PIC_TEST_ROUTER_DIR"

// routeUntilKilled is the process that the kill test kills.
func routeUntilKilled(dir string) {
	var c Config
	if err := json.Unmarshal([]byte(os.Getenv("PIC_TEST_ROUTER_CONF")), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := New(slog.New(slog.NewTextHandler(os.Stderr, nil)), dir)
	if err := s.Apply(context.Background(), c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	s.Run(context.Background())
}

func (w *town) child(t *testing.T) *nettest.Proc {
	t.Helper()
	conf, err := json.Marshal(w.conf)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+w.dir, "PIC_TEST_ROUTER_CONF="+string(conf))
	p := nettest.Start(t, cmd)
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(p.Output(), "ready") })
	return p
}

func TestKillAndStartKeepTheAddress(t *testing.T) {
	w := newTown(t)
	before := hostState(t, w.self)
	w.dhcp4(t, "198.51.100.50", "198.51.100.99", 600)
	p := w.child(t)
	wait(t, "an address", func() bool { return strings.Contains(w.self.Run(t, "ip", "route"), "default via 198.51.100.1") })
	first := strings.Fields(w.wan(t))[3]
	monitor := w.self.Start(t, "ip", "-4", "-o", "monitor", "address")
	for range 3 {
		p.Kill()
		if !strings.Contains(w.wan(t), first) {
			t.Fatalf("the address went with the process: %s", w.wan(t))
		}
		p = w.child(t)
		wait(t, "the lease confirmed", func() bool {
			return strings.Contains(w.kea["kea-dhcp4"].Output(), "") && strings.Contains(w.wan(t), first)
		})
		w.self.Run(t, "ping", "-c1", "-W2", "203.0.113.2")
	}
	if strings.Contains(monitor.Output(), "Deleted") {
		t.Errorf("the address went and came:\n%s", monitor.Output())
	}
	p.Kill()
	if err := Cleanup(w.dir); err != nil {
		t.Fatal(err)
	}
	if after := hostState(t, w.self); after != before {
		t.Errorf("after the cleanup the host was\n%s\nand is\n%s", before, after)
	}
}
