package upstream

import "testing"

// What Parse takes is a resolver that somebody could be, and String writes it so
// that Parse reads the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"9.9.9.9", "[2620:fe::fe]:53", "fe80::1%eth0", "tls://dns.quad9.net#9.9.9.9", "tls://9.9.9.9", "https://dns.example/q%2Fx", "https://dns.example/q?y=1", "https://dns.example/q{?dns}",
		"quic://dns.example:8853#[2001:db8::1]:853", "udp://192.0.2.1:5353", "https://[2001:db8::1]/dns-query", "tcp://x#y", "tls://user@x", "https://h/%zz",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			return
		}
		if a.Encrypted() == (a.Host == "") || a.Host == "" && !a.IP.IsValid() || a.IP.IsValid() && a.IP.Port() == 0 {
			t.Fatalf("%q is %+v", s, a)
		}
		if again, err := Parse(a.String()); err != nil || again != a {
			t.Fatalf("%q is %+v, written %q, which is %+v (%v)", s, a, a, again, err)
		}
	})
}

// The path is asked as it was written, and what would be left out is refused.
func TestThePathOfHTTPSIsKept(t *testing.T) {
	for s, want := range map[string]string{
		"https://dns.example/dns-query":        "https://dns.example/dns-query",
		"https://dns.example/a%2Fb/%C3%A9":     "https://dns.example/a%2Fb/%C3%A9",
		"https://dns.example/dns-query{?dns}":  "https://dns.example/dns-query",
		"https://dns.example/dns-query?user=1": "",
	} {
		a, err := Parse(s)
		if (err == nil) != (want != "") {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if want == "" {
			continue
		}
		r := New(a, Options{})
		if got := a.String(); got != want || r.https.url != want {
			t.Errorf("%s: written %s, asked %s", s, got, r.https.url)
		}
		r.Close()
	}
}
