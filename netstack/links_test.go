package netstack

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

// elm is another cell, in a namespace of its own beyond the internet.
func (w *town) elm(t *testing.T) *nettest.Host {
	t.Helper()
	nettest.Tool(t, "wg")
	h := w.lab.Host("elm")
	w.lab.Link(w.network, "up9", "192.0.2.145/28", h, "eth0", "192.0.2.146/28")
	w.network.Addr("up9", "2001:db8:7:9::1/64")
	h.Addr("eth0", "2001:db8:7:9::2/64")
	w.network.Forward()
	h.Route("default", "192.0.2.145")
	h.Run(t, "ip", "-6", "route", "add", "default", "via", "2001:db8:7:9::1")
	w.self.Route("192.0.2.0/24", "198.51.100.2")
	return h
}

// Two cells of ours: the peers of one leave by the other, which lets them out.
func TestPeersLeaveByALinkedCell(t *testing.T) {
	w := newTown(t)
	h := w.elm(t)
	key, pub := NewKey()
	psk := NewPreshared()
	w.keys["elm"], w.keys["link"] = key, psk
	w.doc.Links = []config.Link{{
		Name: "elm", Domain: "elm.home.arpa", PublicKey: pub, Preshared: "link", DNS: netip.MustParseAddr("10.88.0.1"),
		// The first leads nowhere.
		Endpoints: []string{"192.0.2.147:51820", "192.0.2.146:51820"},
		Subnets:   []netip.Prefix{netip.MustParsePrefix("10.88.0.0/24"), netip.MustParsePrefix("fd88::/64")},
	}}
	w.doc.Network.Exits = []config.Exit{{Name: "by-elm", Link: "elm"}}
	w.doc.Peers[0].Address6 = netip.MustParseAddr("fd77::2")
	w.doc.Peers[0].Exit = "by-elm"

	other := config.Resolve(&config.Document{
		Cell:    config.Cell{Name: "elm"},
		Network: config.Network{LAN: config.Interface{Name: "eth0", Address: netip.MustParsePrefix("192.0.2.146/28")}, WAN: config.WAN{Name: "eth0"}},
		WireGuard: config.WireGuard{
			Key: "elm", PublicKey: pub, Endpoint: "192.0.2.146", Interface: "picelm",
			Subnet: netip.MustParsePrefix("10.88.0.0/24"), Subnet6: netip.MustParsePrefix("fd88::/64"),
		},
		Links: []config.Link{{
			Name: "oak", Domain: "oak.home.arpa", PublicKey: w.doc.WireGuard.PublicKey, Preshared: "link", Out: true,
			Subnets: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24"), netip.MustParsePrefix("fd77::/64")},
		}},
	}, config.Env{})
	far := w.cellOn(t, h, From(other))

	s, _ := w.serve(t)
	w.join(t)
	cap := w.capture(t, "and not udp port 51820")
	nettest.WaitFor(t, 60*time.Second, func() bool { return s.ExitUp("by-elm") })
	sees(t, w.client, site4, "192.0.2.146")
	sees(t, w.client, site6, "2001:db8:7:9::2")
	if out, err := w.client.Try("ping", "-c1", "-W3", "10.88.0.1"); err != nil { // the cell itself, by its own address
		t.Errorf("the linked cell does not answer: %v\n%s", err, out)
	}
	sees(t, w.client, "http://192.168.1.20/", "10.77.0.2")
	if l := s.Links(); len(l) != 1 || !l[0].Connected() || l[0].Endpoint.String() != "192.0.2.146:51820" {
		t.Errorf("links: %+v", l)
	}

	far.Kill()
	nettest.WaitFor(t, 60*time.Second, func() bool { return !s.ExitUp("by-elm") })
	refused(t, w.client, site4)
	refused(t, w.client, site6)
	if left := cap.packets(); len(left) > 0 {
		t.Errorf("past the exit went %q", left)
	}
}

func TestExitsThatCannotBeAreRefused(t *testing.T) {
	w := newTown(t)
	link := func(n int) {
		_, pub := NewKey()
		w.doc.Links = append(w.doc.Links, config.Link{
			Name: fmt.Sprint("cell", n), Domain: fmt.Sprintf("cell%d.home.arpa", n), PublicKey: pub,
			Subnets: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.8%d.0.0/24", n))},
		})
		w.doc.Network.Exits = append(w.doc.Network.Exits, config.Exit{Name: fmt.Sprint("by", n), Link: fmt.Sprint("cell", n)})
	}
	link(1)
	if err := w.config().check(); err != nil {
		t.Errorf("one: %v", err)
	}
	link(2)
	if err := w.config().check(); err == nil || !strings.Contains(err.Error(), "only one linked cell") {
		t.Errorf("two: %v", err)
	}
	w.doc.Network.Exits[0].Disabled = true
	if err := w.config().check(); err != nil {
		t.Errorf("one of two is off: %v", err)
	}
	w.doc.Cell.Mode = config.Trial
	if err := w.config().check(); err == nil || !strings.Contains(err.Error(), "trial cell has no exits") {
		t.Errorf("in trial mode: %v", err)
	}
}
