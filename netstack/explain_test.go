package netstack

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"pic/netstack/policy"
)

// Behind another router, what is explained is what the kernel does: a private
// address on the WAN's side is outside, and one that both the VPN and the WAN have
// goes where the routes say.
func TestExplainGoesByTheKernelsRoutes(t *testing.T) {
	w := newTown(t)
	yes := true
	w.doc.Network.Router = &yes
	w.self.Run(t, "ip", "addr", "add", "10.5.0.2/16", "dev", "wan0")
	s, _ := w.serve(t)
	w.self.Run(t, "ip", "addr", "add", "10.77.0.129/25", "dev", "wan0") // as a lease may bring it
	ask := func(src, dst string) (policy.Verdict, string) {
		v, remarks := s.Explain(policy.Flow{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: policy.TCP, Port: 443})
		var words []string
		for _, r := range remarks {
			if !r.OK {
				v.Allow = false
			}
			words = append(words, r.Text)
		}
		return v, strings.Join(words, " ")
	}
	for name, tt := range map[string]struct {
		src, dst string
		allow    bool
		way      policy.Way
		says     string
	}{
		"from the LAN out":       {"192.168.1.20", "198.51.100.2", true, policy.ToWAN, ""},
		"from another's network": {"10.5.0.9", "192.168.1.20", false, policy.ToLAN, "it is outside"},
		"to the cell from there": {"10.5.0.9", "192.168.1.10", false, policy.ToCell, "it is outside"},
		"to another's network":   {"10.77.0.2", "10.5.0.9", true, policy.ToWAN, "counts as the LAN"},
		"to the VPN":             {"192.168.1.20", "10.77.0.2", false, policy.ToPeer, ""},
		"to what both have":      {"192.168.1.20", "10.77.0.200", false, policy.ToPeer, "reaches it by wan0"},
		"from what both have":    {"10.77.0.200", "192.168.1.20", false, policy.ToLAN, "reaches it by wan0"},
	} {
		v, says := ask(tt.src, tt.dst)
		if v.Allow != tt.allow || v.Way != tt.way || !strings.Contains(says, tt.says) || tt.says == "" && says != "" {
			t.Errorf("%s: %+v, %q", name, v, says)
		}
	}
	// And so the kernel does: the host in the network in front of the cell gets
	// nothing from the LAN.
	w.network.Run(t, "ip", "addr", "add", "10.5.0.9/16", "dev", "eth0")
	w.network.Run(t, "ip", "route", "add", "192.168.1.0/24", "via", "10.5.0.2")
	if out, err := w.network.Try("curl", "-sS", "-m", "1", "http://192.168.1.20/"); err == nil {
		t.Errorf("from outside the LAN answers: %s", out)
	}
}

// Where the kernel does not tell of the host's addresses, rights go by what it told
// last, and a problem says so until it tells again.
func TestUnknownHostIsAProblemAndChangesNoRights(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	known := s.Policy().Rules()
	fails := errors.New("no buffer space")
	s.mu.Lock()
	s.host.addrs = func(netlink.Link, int) ([]netlink.Addr, error) { return nil, fails }
	s.mu.Unlock()
	apply(t, s, w.config())
	if now := s.Policy(); !now.Same(policy.New(known)) {
		t.Errorf("the rules were\n%+v\nand are\n%+v", known, now.Rules())
	}
	problem := func() string {
		for _, p := range s.Problems() {
			if p.Code == "network/host-unknown" {
				return p.Text
			}
		}
		return ""
	}
	if got := problem(); !strings.Contains(got, "addresses of wan0: no buffer space") {
		t.Errorf("the problem says %q", got)
	}
	s.mu.Lock()
	s.host.addrs = netlink.AddrList
	s.mu.Unlock()
	apply(t, s, w.config())
	if got := problem(); got != "" {
		t.Errorf("the problem stays: %q", got)
	}
}
