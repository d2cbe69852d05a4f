package netstack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/netstack/fw"
	"pic/netstack/policy"
)

// What the document makes public, and that alone, is open to the internet on a
// router; a server filters nothing there.
func TestPublicServicesAreOpenToTheInternet(t *testing.T) {
	doc := func(router bool, public ...string) *config.Document {
		d := &config.Document{
			Cell: config.Cell{Name: "oak", Domain: "oak.home.arpa", Mode: config.Appliance},
			Network: config.Network{
				Router: &router, Public: public, WAN: config.WAN{Name: "wan0"},
				LAN: config.Interface{Name: "lan0", Address: netip.MustParsePrefix("192.168.1.1/24")},
			},
			WireGuard: config.WireGuard{Enabled: new(true), PublicKey: pubA, Subnet: netip.MustParsePrefix("10.77.0.0/24")},
		}
		d.Mail.Enabled, d.Proxy.Enabled = new(true), new(true)
		return config.Resolve(d, config.Env{})
	}
	stranger, wan := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("198.51.100.1")
	g := terrain{host: []netip.Addr{wan}, public: []netip.Addr{wan}}
	for name, tt := range map[string]struct {
		doc  *config.Document
		open map[uint16]bool // TCP
	}{
		"nothing":      {doc(true), map[uint16]bool{25: false, 80: false, 443: false, 587: false, 993: false, 8081: false, 53: false}},
		"mail":         {doc(true, "mail"), map[uint16]bool{25: true, 80: false, 443: false, 587: false, 993: false, 8081: false}},
		"mail, proxy":  {doc(true, "mail", "proxy"), map[uint16]bool{25: true, 80: true, 443: true, 587: false, 8081: false}},
		"a server":     {doc(false, "mail"), map[uint16]bool{25: true, 80: true}},
		"no mail runs": {func() *config.Document { d := doc(true, "mail"); d.Mail.Enabled = new(false); return d }(), map[uint16]bool{25: false}},
	} {
		c := Config{Rules: rulesOf(tt.doc), Mode: TUN, Interface: "pic0", WAN: "wan0", LAN: "lan0"}
		p := policy.New(c.rules(g, passing{}, time.Now()))
		text := fw.Compile(c.model(g, passing{}, time.Now())).String()
		for port, want := range tt.open {
			v := p.Decide(policy.Flow{Src: stranger, Dst: wan, Proto: policy.TCP, Port: port})
			if v.Allow != want || want && c.Rules.Router && v.Why != "the port is open to the public" {
				t.Errorf("%s: port %d is open: %v, %s", name, port, v.Allow, v.Why)
			}
		}
		if c.Rules.Router && strings.Contains(text, "tcp . 25") != tt.open[25] {
			t.Errorf("%s: the table has\n%s", name, text)
		}
	}
}
