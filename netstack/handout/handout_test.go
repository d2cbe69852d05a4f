package handout

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"pic/core/config"
)

const (
	pubCell = "9DdAP1qulSFvLCTRFKSl8d/fI2oAPOC1nuOHx+9o128="
	keyB    = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
	keyC    = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
	keyD    = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="
)

// oak is a cell with a phone that sends everything through it, a guest that does
// not, and a cabin with a network behind it.
func oak(edit func(*config.Document)) *config.Document {
	no := false
	d := &config.Document{
		Cell:    config.Cell{Name: "oak"},
		Network: config.Network{LAN: config.Interface{Name: "eth0", Address: netip.MustParsePrefix("192.168.1.10/24")}},
		WireGuard: config.WireGuard{
			Key: "wg-1", PublicKey: pubCell, Endpoint: "oak.example.org",
			Subnet: netip.MustParsePrefix("10.77.0.0/24"), Subnet6: netip.MustParsePrefix("fd77::/64"),
		},
		Peers: []config.Peer{
			{Name: "phone", PublicKey: keyB, Address: netip.MustParseAddr("10.77.0.2"), Preshared: "psk-1"},
			{Name: "guest", PublicKey: keyC, Address: netip.MustParseAddr("10.77.0.3"), Rights: config.Rights{LAN: &no}, Split: true, Keepalive: -1},
			{Name: "cabin", PublicKey: keyD, Address: netip.MustParseAddr("10.77.0.4"), Site: []netip.Prefix{netip.MustParsePrefix("192.168.9.0/24")}},
		},
		Links: []config.Link{{Name: "elm", Domain: "elm.home.arpa", PublicKey: pubCell, Subnets: []netip.Prefix{netip.MustParsePrefix("10.80.0.0/24")}}},
	}
	edit(d)
	return config.Resolve(d, config.Env{})
}

func same(*config.Document) {}

func TestTheFileIsForWgQuick(t *testing.T) {
	for name, want := range map[string]string{
		"phone": `[Interface]
PrivateKey = ` + keyB + `
Address = 10.77.0.2/32, fd77::2/128
DNS = 10.77.0.1, fd77::1

[Peer]
PublicKey = ` + pubCell + `
PresharedKey = ` + keyC + `
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = oak.example.org:51820
PersistentKeepalive = 25
`,
		"guest": `[Interface]
PrivateKey = ` + keyB + `
Address = 10.77.0.3/32, fd77::3/128
DNS = 10.77.0.1, fd77::1

[Peer]
PublicKey = ` + pubCell + `
PresharedKey = ` + keyC + `
AllowedIPs = 10.77.0.0/24, fd77::/64, 10.80.0.0/24
Endpoint = oak.example.org:51820
`,
	} {
		h, err := Of(oak(same), name, "")
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Text(Keys{Private: keyB, Preshared: keyC})
		if err != nil || got != want {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
	}
}

func TestADeviceWithItsOwnKeyGetsAFileWithoutOne(t *testing.T) {
	h, err := Of(oak(same), "phone", "[2001:db8::1]:99")
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Text(Keys{})
	if err != nil || !strings.Contains(got, "Endpoint = [2001:db8::1]:99\n") || strings.Contains(got, "\nPrivateKey") || strings.Contains(got, "Preshared") {
		t.Errorf("%v, got\n%s", err, got)
	}
	if _, err := h.Text(Keys{Private: keyB + "\nPostUp = rm"}); err == nil {
		t.Error("a key that is none is written")
	}
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	nowhere := oak(func(d *config.Document) { d.Network.LAN = config.Interface{}; d.WireGuard.Endpoint = "" })
	if _, err := Of(nowhere, "phone", ""); err == nil || !strings.Contains(err.Error(), "--endpoint") {
		t.Errorf("without an endpoint: %v", err)
	}
	if _, err := Of(oak(same), "nobody", ""); err == nil {
		t.Error("a peer that is not there")
	}
	if _, err := Of(oak(func(d *config.Document) { d.WireGuard.PublicKey = "" }), "phone", ""); err == nil {
		t.Error("a cell without a key")
	}
}

func TestChangesAreSaidInSentences(t *testing.T) {
	yes := true
	for name, tt := range map[string]struct {
		peer, endpoint string
		edit           func(*config.Document)
		want           []string
	}{
		"nothing":      {"phone", "", same, nil},
		"rights alone": {"phone", "", func(d *config.Document) { d.Peers[0].Rights.LAN = new(bool) }, nil},
		"endpoint": {
			"phone", "", func(d *config.Document) { d.WireGuard.Endpoint = "elm.example.org" },
			[]string{"the endpoint changed from oak.example.org:51820 to elm.example.org:51820"},
		},
		"own endpoint": {"phone", "a.example:9", func(d *config.Document) { d.WireGuard.Endpoint = "elm.example.org" }, nil},
		"cell key":     {"phone", "", func(d *config.Document) { d.WireGuard.PublicKey = keyC[:42] + "0=" }, []string{"the cell's key was changed"}},
		"next key": {
			"phone", "", func(d *config.Document) { d.Peers[0].Next = config.Keys{PublicKey: keyD, Preshared: "psk-2"} },
			[]string{"its key was changed"},
		},
		"DNS": {
			"phone", "", func(d *config.Document) { d.Peers[0].DNS = []netip.Addr{netip.MustParseAddr("9.9.9.9")} },
			[]string{"DNS changed from 10.77.0.1, fd77::1 to 9.9.9.9"},
		},
		"LAN": {
			"guest", "", func(d *config.Document) { d.Peers[1].Rights.LAN = &yes },
			[]string{"networks came in reach: 192.168.1.0/24"},
		},
		"site": {
			"guest", "", func(d *config.Document) { d.Peers[1].Rights.Peers = []string{"cabin"} },
			[]string{"networks came in reach: 192.168.9.0/24"},
		},
		"link gone":  {"guest", "", func(d *config.Document) { d.Links = nil }, []string{"networks are no longer in reach: 10.80.0.0/24"}},
		"full":       {"guest", "", func(d *config.Document) { d.Peers[1].Split = false }, []string{"all of its traffic goes through the cell now"}},
		"split":      {"phone", "", func(d *config.Document) { d.Peers[0].Split = true }, []string{"only the cell's networks go through the tunnel now"}},
		"MTU, alive": {"phone", "", func(d *config.Document) { d.WireGuard.MTU = 1300; d.Peers[0].Keepalive = 10 }, []string{"the MTU changed from 1420 to 1300", "the keepalive changed from 25 s to 10 s"}},
		"address": {
			"phone", "", func(d *config.Document) { d.Peers[0].Address = netip.MustParseAddr("10.77.0.9") },
			[]string{"its address changed from 10.77.0.2/32, fd77::2/128 to 10.77.0.9/32, fd77::9/128"},
		},
	} {
		was, err := Of(oak(same), tt.peer, tt.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		is, err := Of(oak(tt.edit), tt.peer, tt.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := Changes(was, is); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// An endpoint comes from people; it must not become a line such as PostUp.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"oak.example.org", "oak:51820", "[fd00::1]:5", "fd00::1", "1.2.3.4:0", "a\nPostUp = rm", "fe80::1%eth0"} {
		f.Add(s)
	}
	d := oak(same)
	d.WireGuard.Endpoint = ""
	f.Fuzz(func(t *testing.T, endpoint string) {
		h, err := Of(d, "phone", endpoint)
		if err != nil {
			return
		}
		conf, err := h.Text(Keys{Private: keyB})
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(conf, "\n"); n != 10 {
			t.Errorf("%d lines:\n%s", n, conf)
		}
		_, rest, _ := strings.Cut(conf, "Endpoint = ")
		line, _, _ := strings.Cut(rest, "\n")
		if strings.ContainsAny(line, " \t\r#") {
			t.Errorf("endpoint %q", line)
		}
		if ap, err := netip.ParseAddrPort(line); err == nil && ap.Port() == 0 {
			t.Errorf("port 0: %s", line)
		}
	})
}
