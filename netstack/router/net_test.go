package router

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		routeUntilKilled(dir)
	}
	os.Exit(nettest.Main(m))
}

// A town is a provider with a host beyond it, the cell, and a LAN with a device.
type town struct {
	self, provider, beyond, device *nettest.Host
	dir                            string
	conf                           Config
	kea                            map[string]*nettest.Proc
}

func newTown(t *testing.T) *town {
	t.Helper()
	lab := nettest.New(t)
	w := &town{
		self: lab.Self(), provider: lab.Host("provider"), beyond: lab.Host("beyond"), device: lab.Host("device"),
		dir: t.TempDir(), kea: map[string]*nettest.Proc{},
	}
	lab.Link(w.self, "wan0", "", w.provider, "cpe0", "198.51.100.1/24")
	lab.Link(w.self, "lan0", "", w.device, "eth0", "192.168.7.20/24")
	lab.Link(w.provider, "up0", "203.0.113.1/24", w.beyond, "eth0", "203.0.113.2/24")
	w.provider.Addr("up0", "2001:db8:b::1/64")
	w.beyond.Addr("eth0", "2001:db8:b::2/64")
	w.provider.Forward()
	w.beyond.Route("default", "203.0.113.1")
	w.beyond.Route("default", "2001:db8:b::1")
	w.device.Route("default", "192.168.7.1")
	w.conf = Config{
		LAN: LAN{Name: "lan0", Address: netip.MustParsePrefix("192.168.7.1/24"), Address6: netip.MustParsePrefix("fd77::1/64")},
		WAN: WAN{Name: "wan0", DHCP: true},
	}
	return w
}

// dhcp4 starts the provider's DHCP server, with leases of so many seconds.
func (w *town) dhcp4(t *testing.T, first, last string, life int) *nettest.Proc {
	t.Helper()
	return w.server(t, "kea-dhcp4", map[string]any{"Dhcp4": map[string]any{
		"interfaces-config": map[string]any{"interfaces": []string{"cpe0"}},
		"lease-database":    map[string]any{"type": "memfile", "persist": false},
		"valid-lifetime":    life, "authoritative": true,
		"subnet4": []any{map[string]any{
			"subnet": "198.51.100.0/24", "pools": []any{map[string]any{"pool": first + " - " + last}},
			"option-data": []any{
				map[string]any{"name": "routers", "data": "198.51.100.1"},
				map[string]any{"name": "domain-name-servers", "data": "203.0.113.53, 203.0.113.54"},
				map[string]any{"name": "interface-mtu", "data": "1492"},
				map[string]any{"name": "ntp-servers", "data": "203.0.113.2"},
			},
		}},
	}})
}

func (w *town) server(t *testing.T, name string, conf any) *nettest.Proc {
	t.Helper()
	path := nettest.Tool(t, name)
	if old := w.kea[name]; old != nil {
		old.Kill()
	}
	b, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := w.provider.Command(path, "-c", file)
	cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+dir, "KEA_LOCKFILE_DIR="+dir)
	p := nettest.Start(t, cmd)
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(p.Output(), "_STARTED") || !p.Running() })
	if !p.Running() {
		t.Fatalf("%s ended:\n%s", name, p.Output())
	}
	w.kea[name] = p
	return p
}

// serve runs a router until the test, or stop, ends it.
func (w *town) serve(t *testing.T) (s *Server, stop func()) {
	t.Helper()
	s = New(slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug})), w.dir)
	if err := s.Apply(t.Context(), w.conf); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func (w *town) wan(t *testing.T) string {
	return w.self.Run(t, "ip", "-4", "-o", "address", "show", "wan0")
}

func TestWANGetsItsAddressAndGivesTheHostBack(t *testing.T) {
	w := newTown(t)
	before := hostState(t, w.self)
	w.dhcp4(t, "198.51.100.50", "198.51.100.50", 600)
	s, stop := w.serve(t)
	wait(t, "an address", func() bool { return strings.Contains(w.wan(t), "198.51.100.50/24") })
	st := s.Status()
	if st.WAN.Address.String() != "198.51.100.50/24" || st.WAN.Gateway.String() != "198.51.100.1" || fmt.Sprint(st.WAN.DNS) != "[203.0.113.53 203.0.113.54]" ||
		st.WAN.Lease == nil || fmt.Sprint(st.WAN.Lease.NTP) != "[203.0.113.2]" || time.Until(st.WAN.Lease.Until) < 590*time.Second {
		t.Errorf("status %+v", st.WAN)
	}
	out := w.self.Run(t, "ip", "route", "show", "default")
	if !strings.Contains(out, "via 198.51.100.1 dev wan0 proto 112 src 198.51.100.50 metric 20") {
		t.Errorf("default route: %s", out)
	}
	if out := w.self.Run(t, "ip", "link", "show", "wan0"); !strings.Contains(out, "mtu 1492") {
		t.Errorf("MTU: %s", out)
	}
	w.self.Run(t, "ping", "-c1", "-W2", "203.0.113.2")
	w.device.Run(t, "ping", "-c1", "-W2", "192.168.7.1")
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("problems: %+v", p)
	}
	stop()
	if after := hostState(t, w.self); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
	if m, err := os.ReadFile(filepath.Join(w.dir, madeFile)); err != nil || strings.TrimSpace(string(m)) != "{}" {
		t.Errorf("left in the record: %s, %v", m, err)
	}
}

// hostState is what the router may change, without lifetimes.
func hostState(t *testing.T, h *nettest.Host) string {
	t.Helper()
	out := h.Run(t, "sh", "-c", "ip -o link | sed 's/@.*: /: /;s/ qlen.*//'; ip -o -4 address; ip -o -6 address show scope global; ip route; ip -6 route | grep -v fe80; "+
		"sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.wan0.accept_ra net.ipv6.conf.lan0.accept_ra; tc qdisc")
	return out
}
