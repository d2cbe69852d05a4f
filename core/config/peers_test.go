package config

import (
	"net/netip"
	"testing"
)

func TestNextAddressFillsTheGaps(t *testing.T) {
	peers := func(addrs ...string) []Peer {
		var out []Peer
		for _, a := range addrs {
			out = append(out, Peer{Address: netip.MustParseAddr(a), Disabled: true})
		}
		return out
	}
	for name, tt := range map[string]struct {
		subnet string
		peers  []Peer
		want   string // empty: an error
	}{
		"first":       {"10.1.2.0/24", nil, "10.1.2.2"},
		"gap":         {"10.1.2.0/24", peers("10.1.2.2", "10.1.2.4"), "10.1.2.3"},
		"last one":    {"10.1.2.0/29", peers("10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5"), "10.1.2.6"},
		"full":        {"10.1.2.0/29", peers("10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"), ""},
		"no room":     {"10.1.2.0/30", peers("10.1.2.2"), ""},
		"single":      {"10.1.2.0/32", nil, ""},
		"not masked":  {"10.1.2.77/24", nil, "10.1.2.2"},
		"end of IPv4": {"255.255.255.248/29", peers("255.255.255.250"), "255.255.255.251"},
		"IPv6":        {"fd00::/64", nil, ""},
	} {
		d := &Document{WireGuard: WireGuard{Subnet: netip.MustParsePrefix(tt.subnet)}, Peers: tt.peers}
		got, err := NextAddress(d)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: got %s", name, got)
			}
			continue
		}
		if err != nil || got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, tt.want)
		}
	}
	if _, err := NextAddress(&Document{}); err == nil {
		t.Error("an address without a subnet")
	}
}
