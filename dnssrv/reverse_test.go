package dnssrv

import (
	"net/netip"
	"strings"
	"testing"
)

func TestReverseZonesHoldJustTheirPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"192.168.1.7/24": "1.168.192.in-addr.arpa.",
		"10.0.0.0/8":     "10.in-addr.arpa.",
		"10.64.4.0/22":   "4.64.10.in-addr.arpa. 5.64.10.in-addr.arpa. 6.64.10.in-addr.arpa. 7.64.10.in-addr.arpa.",
		"203.0.113.4/31": "4.113.0.203.in-addr.arpa. 5.113.0.203.in-addr.arpa.",
		"fd00:1::/63":    "0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa. 1.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.",
		"0.0.0.0/0":      "",
		"255.255.0.0/15": "254.255.in-addr.arpa. 255.255.in-addr.arpa.",
	} {
		var got []string
		for _, n := range reverseZones(netip.MustParsePrefix(prefix)) {
			got = append(got, n.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", prefix, got, want)
		}
	}
}

func FuzzReverseNamesAreInverse(f *testing.F) {
	f.Add([]byte{192, 168, 1, 7}, uint8(24))
	f.Add(netip.MustParseAddr("fd00::7").AsSlice(), uint8(64))
	f.Fuzz(func(t *testing.T, b []byte, bits uint8) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		step := 8
		if a.Is6() {
			step = 4
		}
		p := netip.PrefixFrom(a, max(step, min(int(bits), a.BitLen())/step*step)).Masked()
		if got, ok := reverseOf(reverseName(p)); !ok || got != p {
			t.Fatalf("%v: got %v, %v", p, got, ok)
		}
	})
}
