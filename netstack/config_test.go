package netstack

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pic/core/config"
	"pic/core/service"
	"pic/internal/listen"
)

var (
	_ service.Server[Config] = (*Server)(nil)
	_ service.Reporter       = (*Server)(nil)
	_ listen.VPN             = (*Server)(nil)
)

const (
	keyA = "YAnIG8Mkz+qeKY9gXhBFMMkAdQXLyUwNRXMoN6UyJkA="
	pubA = "9DdAP1qulSFvLCTRFKSl8d/fI2oAPOC1nuOHx+9o128="
	keyB = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
	keyC = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
)

// document is a cell with three peers, one of them switched off.
func document() *config.Document {
	no := false
	return config.Resolve(&config.Document{
		Cell: config.Cell{Name: "oak"},
		Network: config.Network{
			LAN: config.Interface{Name: "eth0", Address: netip.MustParsePrefix("192.168.1.10/24")},
		},
		WireGuard: config.WireGuard{
			Key: "wg-1", PublicKey: pubA, Endpoint: "oak.example.org",
			Subnet: netip.MustParsePrefix("10.77.0.0/24"), Subnet6: netip.MustParsePrefix("fd77::/64"),
		},
		Peers: []config.Peer{
			{Name: "laptop", PublicKey: keyB, Address: netip.MustParseAddr("10.77.0.2"), Preshared: "psk-1"},
			{Name: "guest", PublicKey: keyC, Address: netip.MustParseAddr("10.77.0.3"), Rights: config.Rights{LAN: &no}, Split: true},
			{Name: "lost", PublicKey: keyA, Address: netip.MustParseAddr("10.77.0.4"), Disabled: true},
		},
	}, config.Env{})
}

func TestFromPicksWhatTheDocumentSays(t *testing.T) {
	for name, edit := range map[string]func(*config.Document){
		"appliance": func(*config.Document) {},
		"trial":     func(d *config.Document) { d.Cell.Mode = config.Trial },
		"off":       func(d *config.Document) { d.WireGuard.Enabled = new(bool) },
		"router": func(d *config.Document) {
			d.Network.WAN.Name = "wan0"
			d.Network.LAN.Name = "lan0"
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := document()
			edit(d)
			got, err := json.MarshalIndent(From(d), "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "from-"+name+".json", string(got)+"\n")
		})
	}
}

func TestCompileWritesThePolicyDown(t *testing.T) {
	d := document()
	for name, c := range map[string]Config{
		"one-arm": From(d),
		"router": func() Config {
			c := From(d)
			c.LAN, c.WAN = "lan0", "wan0"
			return c
		}(),
		"no-lan": func() Config {
			c := From(d)
			c.LAN, c.LANNets, c.Peers = "", nil, nil
			return c
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			var onLink []netip.Prefix
			if c.LAN != "" {
				onLink = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("2001:db8:1::/64")}
			}
			golden(t, "table-"+name+".nft", compile(c, onLink).String())
		})
	}
}

// golden compares with a file of testdata; GOLDEN=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("GOLDEN") == "1" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not as before (GOLDEN=1 rewrites it); got:\n%s", path, got)
	}
}

func TestConfigThatCannotWorkIsRefused(t *testing.T) {
	good := From(document())
	if err := good.check(); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for name, tt := range map[string]struct {
		edit func(*Config)
		word string
	}{
		"small MTU":      {func(c *Config) { c.MTU = 576 }, "wireguard.mtu"},
		"no addresses":   {func(c *Config) { c.Addresses = nil }, "wireguard.subnet"},
		"long interface": {func(c *Config) { c.Interface = "abcdefghijklmnop" }, "wireguard.interface"},
		"odd interface":  {func(c *Config) { c.Interface = "a/../b" }, "wireguard.interface"},
		"peer as cell":   {func(c *Config) { c.Peers[0].Addrs[0] = c.Addresses[0].Addr() }, "the cell has"},
		"shared address": {func(c *Config) { c.Peers[1].Addrs = c.Peers[0].Addrs }, "peer laptop has"},
	} {
		c := good
		c.Peers = slices.Clone(good.Peers)
		for i := range c.Peers {
			c.Peers[i].Addrs = slices.Clone(c.Peers[i].Addrs)
		}
		tt.edit(&c)
		if err := c.check(); err == nil || !strings.Contains(err.Error(), tt.word) {
			t.Errorf("%s: got %v, want something of %q", name, err, tt.word)
		}
	}
}

func TestPolicyAllowsByRight(t *testing.T) {
	c := From(document())
	c.Peers = append(c.Peers, Peer{Name: "tv", Addrs: addrs("10.77.0.5"), LAN: true})
	p := newPolicy(c)
	for name, tt := range map[string]struct {
		src, dst string
		want     bool
	}{
		"internet":              {"10.77.0.2", "198.51.100.7", true},
		"internet v6":           {"fd77::2", "2001:db8::7", true},
		"LAN":                   {"10.77.0.2", "192.168.1.1", true},
		"guest to internet":     {"10.77.0.3", "198.51.100.7", true},
		"guest to LAN":          {"10.77.0.3", "192.168.1.1", false},
		"LAN only to internet":  {"10.77.0.5", "198.51.100.7", false},
		"LAN only to LAN":       {"10.77.0.5", "192.168.1.1", true},
		"switched off":          {"10.77.0.4", "198.51.100.7", false},
		"stranger":              {"203.0.113.9", "198.51.100.7", false},
		"another peer":          {"10.77.0.2", "10.77.0.3", false},
		"the cell's loopback":   {"10.77.0.2", "127.0.0.1", false},
		"loopback in disguise":  {"fd77::2", "::ffff:127.0.0.1", false},
		"loopback v6":           {"fd77::2", "::1", false},
		"unspecified":           {"10.77.0.2", "0.0.0.0", false},
		"metadata of the cloud": {"10.77.0.2", "169.254.169.254", false},
		"everybody":             {"10.77.0.2", "255.255.255.255", false},
		"a group":               {"10.77.0.2", "224.0.0.251", false},
	} {
		got := p.allows(netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst))
		if got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestNetworksBecomeDisjoint(t *testing.T) {
	var in []netip.Prefix
	for _, s := range []string{"192.168.1.7/24", "192.168.0.0/16", "10.0.0.0/8", "fd00::/8", "192.168.1.0/24", "fd12::/16"} {
		in = append(in, netip.MustParsePrefix(s))
	}
	var got []string
	for _, p := range disjoint(in) {
		got = append(got, p.String())
	}
	if want := []string{"10.0.0.0/8", "192.168.0.0/16", "fd00::/8"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWithdrawnRightsAreFound(t *testing.T) {
	old := From(document())
	less := old
	less.Peers = slices.Clone(old.Peers)
	less.Peers[0].Internet = false
	less.Peers[1].LAN = true // more
	got := compile(less, nil).withdrawn(compile(old, nil))
	if want := addrs("10.77.0.2", "fd77::2"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := compile(old, nil).withdrawn(table{}); got != nil {
		t.Errorf("from nothing: %v", got)
	}
}
