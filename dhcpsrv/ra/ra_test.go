package ra

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/ndp"

	"pic/internal/nettest"
)

const childDir = "PIC_TEST_RA_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		advertiseUntilKilled(dir)
	}
	os.Exit(nettest.Main(m))
}

var (
	noon  = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	conf  = Config{Interface: "lan0", Domain: "oak.home.arpa", DNS: true}
	ula   = Prefix{Net: netip.MustParsePrefix("fd77::/64"), Own: netip.MustParseAddr("fd77::1")}
	first = Prefix{
		Net: netip.MustParsePrefix("2001:db8:f000::/64"), Own: netip.MustParseAddr("2001:db8:f000::1"),
		Preferred: noon.Add(30 * time.Minute), Valid: noon.Add(24 * time.Hour),
	}
)

// told is an advertisement in words.
func told(m *ndp.RouterAdvertisement) string {
	if m == nil {
		return "nothing"
	}
	out := []string{fmt.Sprint("router ", m.RouterLifetime)}
	for _, o := range m.Options {
		switch o := o.(type) {
		case *ndp.PrefixInformation:
			out = append(out, fmt.Sprint(o.Prefix, " ", o.PreferredLifetime, "/", o.ValidLifetime))
		case *ndp.RecursiveDNSServer:
			out = append(out, fmt.Sprint("dns ", o.Servers, " ", o.Lifetime))
		case *ndp.DNSSearchList:
			out = append(out, fmt.Sprint("search ", o.DomainNames))
		case *ndp.MTU:
			out = append(out, fmt.Sprint("mtu ", o.MTU))
		}
	}
	return strings.Join(out, ", ")
}

func TestAdvertisements(t *testing.T) {
	card := &net.Interface{MTU: 1500, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	small := Prefix{Net: netip.MustParsePrefix("2001:db8::/80")}
	ended := first
	ended.Valid = noon
	for name, tt := range map[string]struct {
		conf  Config
		line  Line
		stale []netip.Prefix
		want  string
	}{
		"nothing": {conf, Line{Uplink: true}, nil, "nothing"},
		"own and delegated": {
			conf,
			Line{[]Prefix{ula, first}, true, 1492},
			nil,
			"router 30m0s, fd77:: 45m0s/1h30m0s, 2001:db8:f000:: 30m0s/1h30m0s, mtu 1492, dns [fd77::1] 30m0s, search [lan.oak.home.arpa oak.home.arpa]",
		},
		"no uplink": {
			Config{}, Line{[]Prefix{ula}, false, 0}, nil, "router 0s, fd77:: 45m0s/1h30m0s",
		},
		"withdrawn": {
			Config{},
			Line{[]Prefix{ula}, true, 1500},
			[]netip.Prefix{first.Net},
			"router 30m0s, fd77:: 45m0s/1h30m0s, 2001:db8:f000:: 0s/0s, mtu 1500",
		},
		"only withdrawn":  {conf, Line{nil, true, 0}, []netip.Prefix{first.Net}, "router 0s, 2001:db8:f000:: 0s/0s"},
		"ended":           {conf, Line{[]Prefix{ended}, true, 0}, nil, "nothing"},
		"too small a net": {conf, Line{[]Prefix{small}, true, 0}, nil, "nothing"},
	} {
		m := advertisement(tt.conf, tt.line, tt.stale, card, noon)
		if got := told(m); got != tt.want {
			t.Errorf("%s: %s", name, got)
		}
		if m == nil {
			continue
		}
		if _, err := ndp.MarshalMessage(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := told(farewell(m)); !strings.HasPrefix(got, "router 0s") || strings.Contains(got, "] 30m") {
			t.Errorf("%s, at the end: %s", name, got)
		}
	}
}

func TestMemory(t *testing.T) {
	m := &memory{path: filepath.Join(t.TempDir(), "advertised")}
	check := func(what string, now []Prefix, at time.Time, want string) {
		t.Helper()
		stale, err := m.advertise(now, at)
		if got := fmt.Sprint(stale); err != nil || got != want {
			t.Errorf("%s: %s, %v", what, got, err)
		}
	}
	second := first
	second.Net = netip.MustParsePrefix("2001:db8:e000::/64")
	check("one", []Prefix{first}, noon, "[]")
	check("another", []Prefix{second}, noon, "[2001:db8:f000::/64]")
	m = &memory{path: m.path} // a new process
	check("after a restart", []Prefix{second}, noon.Add(time.Hour), "[2001:db8:f000::/64]")
	check("back", []Prefix{first}, noon.Add(80*time.Minute), "[2001:db8:e000::/64]")
	check("long after", []Prefix{first}, noon.Add(200*time.Minute), "[]")
	for i := range 50 {
		p := first
		b := p.Net.Addr().As16()
		b[7] = byte(i + 1)
		p.Net = netip.PrefixFrom(netip.AddrFrom16(b), 64)
		if _, err := m.advertise([]Prefix{p}, noon); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.known) > mostKnown {
		t.Errorf("%d are remembered", len(m.known))
	}
	if err := os.WriteFile(m.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	m = &memory{path: m.path}
	if stale, err := m.advertise([]Prefix{first}, noon); err == nil || len(stale) != 0 {
		t.Errorf("damage: %v, %v", stale, err)
	}
	check("after it", nil, noon, "[2001:db8:f000::/64]")
}

// advertiseUntilKilled is the process that the kill test kills.
func advertiseUntilKilled(dir string) {
	var line Line
	if err := json.Unmarshal([]byte(os.Getenv("PIC_TEST_RA_LINE")), &line); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := New(slog.New(slog.NewTextHandler(os.Stderr, nil)), filepath.Join(dir, "advertised"), func() Line { return line })
	s.Apply(context.Background(), conf)
	s.Run(context.Background())
}

// A device has an address of a prefix that the provider takes away while the cell
// is dead. After its start the device does not prefer that address any more.
func TestPrefixIsWithdrawnAfterAKill(t *testing.T) {
	lab := nettest.New(t)
	device := lab.Host("device")
	lab.Link(lab.Self(), "lan0", "", device, "eth0", "")
	lab.Self().Sysctl("net.ipv6.conf.all.forwarding", "1")
	t.Cleanup(func() { lab.Self().Sysctl("net.ipv6.conf.all.forwarding", "0") })
	dir := t.TempDir()
	child := func(l Line) *nettest.Proc {
		t.Helper()
		b, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, "PIC_TEST_RA_LINE="+string(b))
		return nettest.Start(t, cmd)
	}
	addresses := func() string { return device.Run(t, "ip", "-6", "-o", "address", "show", "eth0", "scope", "global") }
	now := time.Now()
	a, b := first, first
	a.Preferred, a.Valid = now.Add(time.Hour), now.Add(time.Hour)
	b.Net, b.Own = netip.MustParsePrefix("2001:db8:e000::/64"), netip.MustParseAddr("2001:db8:e000::1")
	b.Preferred, b.Valid = a.Preferred, a.Valid
	p := child(Line{[]Prefix{a}, true, 1500})
	nettest.WaitFor(t, 20*time.Second, func() bool { return strings.Contains(addresses(), "2001:db8:f000:") })
	p.Kill()
	child(Line{[]Prefix{b}, true, 1500})
	nettest.WaitFor(t, 20*time.Second, func() bool {
		out := addresses()
		for _, line := range strings.Split(out, "\n") {
			if strings.Contains(line, "2001:db8:f000:") && !strings.Contains(line, "preferred_lft 0sec") {
				return false
			}
		}
		return strings.Contains(out, "2001:db8:e000:")
	})
}

func TestChangesAndTheEndAreTold(t *testing.T) {
	lab := nettest.New(t)
	device := lab.Host("device")
	lab.Link(lab.Self(), "lan0", "", device, "eth0", "")
	var mu sync.Mutex
	line := Line{Prefixes: []Prefix{ula}}
	s := New(slog.New(slog.DiscardHandler), filepath.Join(t.TempDir(), "advertised"), func() Line {
		mu.Lock()
		defer mu.Unlock()
		return line
	})
	if err := s.Apply(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	route := func() bool {
		return strings.Contains(device.Run(t, "ip", "-6", "route", "show", "default"), "proto ra")
	}
	nettest.WaitFor(t, 20*time.Second, func() bool {
		return strings.Contains(device.Run(t, "ip", "-6", "address", "show", "eth0"), "fd77:")
	})
	if route() {
		t.Error("offers a way to an internet that is not there")
	}
	mu.Lock()
	line.Uplink = true
	mu.Unlock()
	s.Changed()
	nettest.WaitFor(t, 20*time.Second, route)
	if len(s.Sockets()) != 1 || len(s.Problems()) != 0 {
		t.Errorf("%v, %v", s.Sockets(), s.Problems())
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	nettest.WaitFor(t, 20*time.Second, func() bool { return !route() })
}
