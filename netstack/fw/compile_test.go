package fw

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pic/netstack/policy"
)

func nets(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// household is a cell with two devices.
func household() Model {
	return Model{Interface: "pic0", Rules: policy.Rules{
		Cell: addrs("10.77.0.1", "fd77::1"), VPN: nets("10.77.0.0/24", "fd77::/64"),
		LAN: nets("192.168.1.0/24", "2001:db8:1::/64"),
		Peers: []policy.Peer{
			{Name: "laptop", Addrs: addrs("10.77.0.2", "fd77::2"), Internet: true, LAN: true},
			{Name: "guest", Addrs: addrs("10.77.0.3", "fd77::3"), Internet: true},
		},
	}}
}

func TestCompileWritesThePolicyDown(t *testing.T) {
	for name, edit := range map[string]func(*Model){
		"one-arm": func(*Model) {},
		"router":  func(m *Model) { m.WAN = "wan0" },
		"no-lan":  func(m *Model) { m.Rules.LAN, m.Rules.Peers = policy.Private, nil },
	} {
		t.Run(name, func(t *testing.T) {
			m := household()
			edit(&m)
			golden(t, "table-"+name+".nft", Compile(m).String())
		})
	}
}

// golden compares with a file of testdata; GOLDEN=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("GOLDEN") == "1" {
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

func TestWithdrawnRightsAreFound(t *testing.T) {
	old, less := household(), household()
	less.Rules.Peers[0].Internet = false
	less.Rules.Peers[1].LAN = true // more
	got := Compile(less).withdrawn(Compile(old))
	if want := addrs("10.77.0.2", "fd77::2"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Compile(old).withdrawn(Table{}); got != nil {
		t.Errorf("from nothing: %v", got)
	}
}
