package fw

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
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

// small is a cell with two devices and nothing special.
func small() Model {
	return Model{Interface: "pic0", Rules: policy.Rules{
		Cell: addrs("10.77.0.1", "fd77::1"), Host: addrs("192.168.1.10"), Public: addrs("192.168.1.10"),
		VPN: nets("10.77.0.0/24", "fd77::/64"),
		LAN: nets("192.168.1.0/24", "2001:db8:1::/64"),
		Services: []policy.Service{
			{Name: "dns", Ports: both(53)},
			{Name: "mail", Ports: []policy.Port{{Proto: policy.TCP, Number: 25}, {Proto: policy.TCP, Number: 993}}},
			{Name: "proxy", Ports: both(443)},
		},
		Peers: []policy.Peer{
			{Name: "laptop", Addrs: addrs("10.77.0.2", "fd77::2"), Internet: true, LAN: true, Services: []string{"all"}, Cells: []string{"all"}},
			{Name: "guest", Addrs: addrs("10.77.0.3", "fd77::3"), Internet: true, Services: []string{"none"}},
		},
	}}
}

func both(port uint16) []policy.Port {
	return []policy.Port{{Proto: policy.TCP, Number: port}, {Proto: policy.UDP, Number: port}}
}

// full is a router with all that there is.
func full() Model {
	m := small()
	m.WAN, m.LAN, m.NewRate, m.SynRate, m.Accounting = "wan0", "lan0", 100, 500, true
	r := &m.Rules
	r.Router = true
	r.Host, r.Public = addrs("192.168.1.1", "198.51.100.1", "2001:db8:9::1"), addrs("198.51.100.1", "2001:db8:9::1")
	r.Open = []policy.Port{{Proto: policy.UDP, Number: 51820}, {Proto: policy.TCP, Number: 443}}
	r.Peers[0].Peers, r.Peers[0].Groups = []string{"all"}, []string{"kids"}
	r.Peers = append(
		r.Peers,
		policy.Peer{Name: "tv", Addrs: addrs("10.77.0.5"), LAN: true, Services: []string{"proxy"}, Peers: []string{"kids"}, Cells: []string{"elm"}},
		policy.Peer{Name: "phone", Addrs: addrs("10.77.0.6", "fd77::6"), Internet: true, Exit: "far", Peers: []string{"guest"}, Groups: []string{"kids"}},
		policy.Peer{Name: "hut", Addrs: addrs("10.77.0.7"), Site: nets("10.50.0.0/24"), LAN: true, Internet: true, Exit: "elm-out", Services: []string{"mail"}, Peers: []string{"guest"}},
	)
	r.Links = []policy.Link{
		{Name: "elm", Subnets: nets("10.99.0.0/16", "fd99::/48"), Services: []string{"dns", "proxy"}, Out: true},
		{Name: "ash", Subnets: nets("10.98.0.0/16"), Services: []string{"all"}, LAN: true},
	}
	to := netip.MustParseAddr("192.168.1.20")
	r.Forwards = []policy.Forward{
		{Name: "game", Proto: policy.UDP, First: 7000, Last: 7010, To: to, ToPort: 7000},
		{Name: "shifted", Proto: policy.TCP, First: 8000, Last: 8002, To: to, ToPort: 9000},
		{Name: "ssh", Proto: policy.TCP, First: 2222, Last: 2222, To: netip.MustParseAddr("10.77.0.2"), ToPort: 22, From: nets("203.0.113.0/24")},
		{Name: "six", Proto: policy.TCP, First: 22, Last: 22, To: netip.MustParseAddr("2001:db8:1::20"), ToPort: 22},
		{Name: "smtp", Proto: policy.TCP, First: 25, Last: 25, To: netip.MustParseAddr("192.168.1.1"), ToPort: 25},
		{Name: "vpn6", Proto: policy.TCP, First: 2223, Last: 2223, To: netip.MustParseAddr("fd77::2"), ToPort: 22},
	}
	m.Mappings = []Mapping{
		{Proto: policy.UDP, Port: 6881, To: netip.MustParseAddrPort("192.168.1.30:6881")},
		{Proto: policy.TCP, Port: 80, To: netip.MustParseAddrPort("[2001:db8:1::30]:80")},
	}
	for _, p := range m.Mappings {
		r.Forwards = append(r.Forwards, p.Forward())
	}
	r.Blocked = nets("203.0.113.66/32", "198.18.0.0/15", "2001:db8:bad::/48")
	m.Exits = []Exit{{Name: "far", Number: 1, Interface: "pix1"}, {Name: "elm-out", Number: 2, Interface: "pic0"}}
	m.Split = addrs("10.77.0.2")
	return m
}

func TestCompileWritesThePolicyDown(t *testing.T) {
	for name, m := range models() {
		t.Run(name, func(t *testing.T) { golden(t, "table-"+name+".nft", Compile(m).String()) })
	}
}

func models() map[string]Model {
	wan, bare := small(), small()
	wan.WAN = "wan0"
	bare.Rules.LAN, bare.Rules.Peers = policy.Private, nil
	return map[string]Model{"one-arm": small(), "two-cards": wan, "bare": bare, "full": full()}
}

// On a server with one card the LAN comes in by the WAN's, and reaches what is
// behind links and peers all the same.
func TestTheLANOfOneCardReachesLinks(t *testing.T) {
	m := full()
	m.Rules.Router, m.LAN, m.WAN, m.OneCard = false, "", "eth0", true
	want := `iifname "eth0" ip saddr @lan_nets4 ip daddr @remote4 counter packets 0 bytes 0 accept`
	if text := Compile(m).String(); !strings.Contains(text, want) {
		t.Errorf("no rule %s in\n%s", want, text)
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
