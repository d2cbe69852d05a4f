package lookup_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	. "pic/mailsrv/lookup"
	"pic/mailsrv/lookup/lookuptest"
)

func TestWhatMailAsks(t *testing.T) {
	ctx := t.Context()
	z := lookuptest.Zone(
		`example.net. 60 IN MX 20 b.example.net.`, `example.net. 60 IN MX 10 A.example.net.`,
		`example.net. 60 IN TXT "v=spf1 a" " -all"`, `example.net. 60 IN TXT "a \"quoted\" \255 byte"`,
		`a.example.net. 60 IN A 192.0.2.1`, `a.example.net. 60 IN AAAA 2001:db8::1`,
		`1.2.0.192.in-addr.arpa. 60 IN PTR a.example.net.`,
		`null.example. 60 IN MX 0 .`,
	)
	z["down.example."] = nil
	mx, exists, _, err := MXs(ctx, z, "Example.NET")
	if want := []MX{{10, "a.example.net"}, {20, "b.example.net"}}; err != nil || !exists || !slices.Equal(mx, want) {
		t.Errorf("MX: %v, %v", mx, err)
	}
	if mx, _, _, err := MXs(ctx, z, "null.example"); err != nil || len(mx) != 1 || mx[0].Host != "" {
		t.Errorf("null MX: %v, %v", mx, err)
	}
	txt, exists, err := TXT(ctx, z, "example.net")
	if want := []string{"v=spf1 a -all", "a \"quoted\" \xff byte"}; err != nil || !exists || !slices.Equal(txt, want) {
		t.Errorf("TXT: %q, %v", txt, err)
	}
	addrs, _, err := Addresses(ctx, z, "a.example.net")
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}; err != nil || !slices.Equal(addrs, want) {
		t.Errorf("addresses: %v, %v", addrs, err)
	}
	if names, err := Names(ctx, z, netip.MustParseAddr("::ffff:192.0.2.1")); err != nil || !slices.Equal(names, []string{"a.example.net"}) {
		t.Errorf("names: %v, %v", names, err)
	}
	if _, _, err := TXT(ctx, z, "down.example"); !errors.Is(err, ErrTemporary) {
		t.Errorf("of a server that is down: %v", err)
	}
	for _, name := range []string{"nobody.example", "", "a b.example", "a..b", `a\.b.example`} {
		if txt, exists, err := TXT(ctx, z, name); err != nil || exists || txt != nil {
			t.Errorf("%q: %v %v %v", name, txt, exists, err)
		}
	}
}
