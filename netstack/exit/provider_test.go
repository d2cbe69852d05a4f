package exit

import (
	"encoding/base64"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"pic/netstack/wgdev"
)

func key(b byte) wgdev.Key {
	var k wgdev.Key
	for i := range k {
		k[i] = b
	}
	return k
}

var given = `# Key for oak
[Interface]
PrivateKey = ` + key(1).Base64() + `
Address = 10.2.0.2/32, fd02::2/128
DNS = 10.2.0.1, example.org
MTU = 1380

[Peer]
PublicKey = ` + key(2).Base64() + `
PresharedKey=` + key(3).Base64() + `
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = vpn.example.org:51820 # the first
PersistentKeepalive = 20
`

func TestConfOfAProviderIsUnderstood(t *testing.T) {
	want := Provider{
		Private: key(1), Public: key(2), Preshared: key(3), MTU: 1380, Keepalive: 20, Endpoint: "vpn.example.org:51820",
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.2.0.2/32"), netip.MustParsePrefix("fd02::2/128")},
		DNS:       []netip.Addr{netip.MustParseAddr("10.2.0.1")},
	}
	for name, conf := range map[string]string{
		"plain":          given,
		"of Windows":     "\ufeff" + strings.ReplaceAll(given, "\n", "\r\n"),
		"in small type":  strings.ReplaceAll(strings.ReplaceAll(given, "[Interface]", "[interface]"), "PrivateKey", "privatekey"),
		"for a computer": strings.Replace(given, "MTU", "Table = off\nFwMark = 0x1\nListenPort = 7\nMTU", 1),
	} {
		if got, err := Parse(conf); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestConfThatIsNoExitIsRefusedWithItsReason(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"nothing":         {given, "", "no [Interface]"},
		"a page":          {given, "<html>", "line 1: is neither"},
		"a command":       {"MTU = 1380", "PostUp = rm -rf /", "line 6: PostUp: commands are not run"},
		"another setting": {"MTU = 1380", "Jc = 4", "line 6: is not a setting of [Interface]"},
		"no key":          {"PrivateKey = " + key(1).Base64(), "", "no PrivateKey"},
		"a bad key":       {"PrivateKey = ", "PrivateKey = A", "line 3: PrivateKey is not a WireGuard key"},
		"no peer":         {given[strings.Index(given, "[Peer]"):], "", "no [Peer]"},
		"two peers":       {"[Peer]", "[Peer]\n[Peer]", "second [Peer]"},
		"split":           {"0.0.0.0/0, ::/0", "10.0.0.0/8", "no exit"},
		"no endpoint":     {"Endpoint = vpn.example.org:51820", "", "no Endpoint"},
		"no port":         {"vpn.example.org:51820", "vpn.example.org", "Endpoint must be host:port"},
		"a URL":           {"vpn.example.org:51820", "https://vpn.example.org:1", "Endpoint must be host:port"},
		"loopback":        {"10.2.0.2/32", "127.0.0.1/8", "not an address that a host can have"},
		"twice":           {"MTU = 1380", "MTU = 1380\nMTU = 1380", "line 7: MTU is there twice"},
		"a small MTU":     {"MTU = 1380", "MTU = 500", "MTU must be from 1280"},
		"too long":        {given, strings.Repeat("#\n", mostConf), "too long"},
	} {
		_, err := Parse(strings.Replace(given, tt.old, tt.new, 1))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q in it", name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), key(1).Base64()) {
			t.Errorf("%s: the error tells the key", name)
		}
	}
}

func FuzzConf(f *testing.F) {
	f.Add(given)
	f.Add("[Interface]\nPrivateKey=\n[Peer]\nEndpoint=[::1]:1\n")
	f.Fuzz(func(t *testing.T, conf string) {
		p, err := Parse(conf)
		if err != nil {
			if len(err.Error()) > 300 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		// What is understood can be written down again, and is then the same.
		var addrs, dns []string
		for _, a := range p.Addresses {
			addrs = append(addrs, a.String())
		}
		for _, a := range p.DNS {
			dns = append(dns, a.String())
		}
		again := "[Interface]\nPrivateKey=" + p.Private.Base64() + "\nAddress=" + strings.Join(addrs, ",") + "\nDNS=" + strings.Join(dns, ",") +
			"\n[Peer]\nPublicKey=" + p.Public.Base64() + "\nEndpoint=" + p.Endpoint + "\nAllowedIPs=0.0.0.0/0\n"
		q, err := Parse(again)
		if err != nil {
			t.Fatalf("%q: %v", again, err)
		}
		q.Preshared, q.MTU, q.Keepalive = p.Preshared, p.MTU, p.Keepalive
		if !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v, then %+v", p, q)
		}
		if len(p.Addresses) == 0 || len(p.Addresses) > mostAddrs || len(p.DNS) > mostDNS || p.MTU != 0 && p.MTU < 1280 {
			t.Fatalf("out of bounds: %+v", p)
		}
		if _, err := base64.StdEncoding.DecodeString(p.Public.Base64()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNumbersAreMostlyTheSameWhateverOthersThereAre(t *testing.T) {
	var names []string
	for c := 'a'; c < 'a'+Most; c++ {
		names = append(names, string(c))
	}
	all := Numbers(names)
	taken := map[int]bool{}
	for name, n := range all {
		if n < 1 || n > Most || taken[n] {
			t.Errorf("%s has number %d", name, n)
		}
		taken[n] = true
	}
	if one := Numbers(names[:1]); one["a"] != all["a"] {
		t.Errorf("a has number %d alone and %d among others", one["a"], all["a"])
	}
	if n := Numbers(append(names, "more")); len(n) != Most {
		t.Errorf("%d exits have numbers", len(n))
	}
}
