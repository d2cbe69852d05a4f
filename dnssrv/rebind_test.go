package dnssrv

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"pic/core/config"
)

func TestNamesOfStrangersLeadToNoPrivateAddress(t *testing.T) {
	up := source(t, knows(
		"lan.evil.example. 60 IN A 192.168.1.1", "both.evil.example. 60 IN A 192.168.1.1", "both.evil.example. 60 IN A 192.0.2.1",
		"loop.evil.example. 60 IN A 127.0.0.1", "zero.evil.example. 60 IN A 0.0.0.0", "link.evil.example. 60 IN A 169.254.1.1",
		"six.evil.example. 60 IN AAAA ::ffff:10.0.0.1", "any.evil.example. 60 IN AAAA ::", "ula.evil.example. 60 IN AAAA fd12::1",
		"nat.evil.example. 60 IN AAAA 64:ff9b::c0a8:101", "ours.evil.example. 60 IN AAAA 2001:db8:64::a00:1",
		"to4.evil.example. 60 IN AAAA 2002:c0a8:101::1", "good.evil.example. 60 IN AAAA 2001:db8:1::1",
		"alias.evil.example. 60 IN CNAME lan.evil.example.",
		"svc.evil.example. 60 IN HTTPS 1 . ipv4hint=192.168.1.1", "svc6.evil.example. 60 IN HTTPS 1 . ipv6hint=fe80::1", "fine.evil.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1",
		"nas.home.example. 60 IN A 192.168.1.9", "nas.box. 60 IN A 192.168.1.8"))
	d := lab(up.addr)
	d.DNS.DNS64 = netip.MustParsePrefix("2001:db8:64::/96")
	d.DNS.Private = []string{"home.example"}
	d.DNS.Forwards = []config.Forward{{Name: "box", Upstreams: []string{up.addr}}}
	s := start(t, conf(d), nil)
	for name, want := range map[string]string{
		"lan.evil.example. A":      "NOERROR EDE 15",
		"both.evil.example. A":     "NOERROR | both.evil.example. A 192.0.2.1 EDE 15",
		"loop.evil.example. A":     "NOERROR EDE 15",
		"zero.evil.example. A":     "NOERROR EDE 15",
		"link.evil.example. A":     "NOERROR EDE 15",
		"six.evil.example. AAAA":   "NOERROR EDE 15",
		"any.evil.example. AAAA":   "NOERROR EDE 15",
		"ula.evil.example. AAAA":   "NOERROR EDE 15",
		"nat.evil.example. AAAA":   "NOERROR EDE 15",
		"ours.evil.example. AAAA":  "NOERROR EDE 15",
		"to4.evil.example. AAAA":   "NOERROR EDE 15",
		"good.evil.example. AAAA":  "NOERROR | good.evil.example. AAAA 2001:db8:1::1",
		"alias.evil.example. A":    "NOERROR | alias.evil.example. CNAME lan.evil.example. EDE 15",
		"svc.evil.example. HTTPS":  "NOERROR EDE 15",
		"svc6.evil.example. HTTPS": "NOERROR EDE 15",
		"fine.evil.example. HTTPS": `NOERROR | fine.evil.example. HTTPS 1 . alpn="h2" ipv4hint="192.0.2.1"`,
		"nas.home.example. A":      "NOERROR | nas.home.example. A 192.168.1.9", // the user allows it
		"nas.box. A":               "NOERROR | nas.box. A 192.168.1.8",          // the user's own resolver
	} {
		qname, typ, _ := strings.Cut(name, " ")
		for range 2 {
			m := ask(t, s, "udp", qname, dns.StringToType[typ], edns)
			if got := brief(m); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
			if e := reason(m); strings.HasSuffix(want, "EDE 15") && (e == nil || !strings.Contains(e.text, "dns.private")) {
				t.Errorf("%s: %+v does not say what to do", name, e)
			}
		}
	}
	// What was taken away is kept as such. Of six names DNS64 asks for A too.
	if up.udp.Load() != 18+6 {
		t.Errorf("asked %d times", up.udp.Load())
	}
	off := false
	d = lab(up.addr)
	d.DNS.Rebind = &off
	s = start(t, conf(d), nil)
	if got := brief(ask(t, s, "udp", "lan.evil.example.", dns.TypeA)); got != "NOERROR | lan.evil.example. A 192.168.1.1" {
		t.Errorf("switched off: got %s", got)
	}
}

// Whatever the prefix, an address comes out of it as it went in, and a prefix of
// the household is seen through it.
func FuzzEmbed(f *testing.F) {
	f.Add([]byte{192, 0, 2, 33}, []byte("0123456789abcdef"), byte(5))
	f.Fuzz(func(t *testing.T, four, six []byte, n byte) {
		a, ok := netip.AddrFromSlice(four)
		b, ok6 := netip.AddrFromSlice(six)
		if !ok || !ok6 || !a.Is4() || !b.Is6() || b.Is4In6() {
			return
		}
		p, err := b.Prefix([]int{32, 40, 48, 56, 64, 96}[n%6])
		if err != nil {
			t.Fatal(err)
		}
		into := embed(p, a)
		back, ok := extract(p, into)
		if !ok || back != a || into.As16()[8] != 0 && p.Bits() < 96 {
			t.Fatalf("%v in %v is %v, and back %v", a, p, into, back)
		}
		g := &guard{dns64: p}
		if g.inside(a) && !g.inside(into) {
			t.Fatalf("%v is hidden in %v", a, into)
		}
		if r, ok := reverse64(p, reverseName(netip.PrefixFrom(into, 128))); ok && r != reverseName(netip.PrefixFrom(a, 32)) {
			t.Fatalf("the reverse of %v is %v", into, r)
		}
	})
}
