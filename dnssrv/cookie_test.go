package dnssrv

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"
)

func bytesOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 9018, appendix A: other servers make the same.
func TestCookiesAreThoseOfOtherServers(t *testing.T) {
	for name, tt := range map[string]struct {
		secret, cookie, from string
		now                  int64
	}{
		"A.1, new":   {"e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", "198.51.100.100", 1559731985},
		"A.2, later": {"e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957010000005cf7a871d4a564a1442aca77", "198.51.100.100", 1559734385},
		"A.4, IPv6":  {"dd3bdf9344b678b185a6f5cb60fca715", "22681ab97d52c298010000005cf7c57926556bd0934c72f8", "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741817},
		"A.4, other": {"445536bcd2513298075a5d379663c962", "22681ab97d52c298010000005cf7c609a6bb79d16625507a", "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741961},
		"v4, mapped": {"e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", "::ffff:198.51.100.100", 1559731985},
	} {
		var cs cookies
		cs.secrets.Store(&secrets{since: time.Unix(tt.now, 0), now: [16]byte(bytesOf(t, tt.secret))})
		from := netip.MustParseAddr(tt.from)
		var k cookie
		if !k.read(bytesOf(t, tt.cookie)) {
			t.Fatal(name)
		}
		for age, want := range map[int64][2]bool{0: {true, false}, 1800: {true, false}, 1801: {true, true}, 3600: {true, true}, 3601: {false, true}, -300: {true, false}, -301: {false, true}} {
			if ok, renew := cs.ours(&k, from, time.Unix(tt.now+age, 0)); ok != want[0] || renew != want[1] {
				t.Errorf("%s, after %d s: ours %v, renew %v", name, age, ok, renew)
			}
		}
		if ok, _ := cs.ours(&k, from.Next(), time.Unix(tt.now, 0)); ok {
			t.Errorf("%s: it is another's too", name)
		}
		for i := range k.b {
			other := k
			other.b[i] ^= 1
			if ok, _ := cs.ours(&other, from, time.Unix(tt.now, 0)); ok {
				t.Errorf("%s: byte %d does not matter", name, i)
			}
		}
		var first cookie
		first.read(k.b[:clientCookie])
		made := cs.reply(nil, &first, from, time.Unix(tt.now, 0))
		if string(made[optionLen:]) != string(k.b[:]) {
			t.Errorf("%s: made %x, want %x", name, made[optionLen:], k.b)
		}
	}
}

func TestCookiesOutliveOneChangeOfTheSecret(t *testing.T) {
	var cs cookies
	from, now := netip.MustParseAddr("198.51.100.1"), time.Unix(1_700_000_000, 0)
	cs.secret(now)
	now = now.Add(secretLife - time.Second)
	var k, fresh cookie
	k.read(make([]byte, clientCookie))
	k.read(cs.reply(nil, &k, from, now)[optionLen:])
	for _, tt := range []struct {
		after     time.Duration
		ok, renew bool
	}{{0, true, false}, {2 * time.Second, true, true}, {50 * time.Minute, true, true}, {2 * time.Hour, false, true}} {
		if ok, renew := cs.ours(&k, from, now.Add(tt.after)); ok != tt.ok || renew != tt.renew {
			t.Errorf("after %v: ours %v, renew %v", tt.after, ok, renew)
		}
	}
	now = now.Add(10 * time.Second)
	fresh.read(cs.reply(nil, &k, from, now)[optionLen:])
	if ok, renew := cs.ours(&fresh, from, now); !ok || renew || fresh == k {
		t.Errorf("the new one: ours %v, renew %v", ok, renew)
	}
}

func TestCookiesHaveTheirLength(t *testing.T) {
	for n := range 50 {
		var k cookie
		if got, want := k.read(make([]byte, n)), n == 8 || n >= 16 && n <= 40; got != want {
			t.Errorf("%d bytes: %v", n, got)
		}
	}
}
