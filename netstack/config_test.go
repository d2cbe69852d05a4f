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

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}
