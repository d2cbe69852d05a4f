package wgdev

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func key(n byte) (k Key) {
	for i := range k {
		k[i] = n
	}
	return k
}

func nets(s ...string) (out []netip.Prefix) {
	for _, a := range s {
		out = append(out, netip.MustParsePrefix(a))
	}
	return out
}

// reached is the state of a device that has become c.
func reached(c Config) State {
	s := State{Private: c.Private, Port: c.Port, Mark: c.Mark, Peers: map[Key]PeerState{}}
	for k, p := range c.Peers {
		ps := PeerState{Preshared: p.Preshared, Allowed: p.Allowed, Keepalive: p.Keepalive}
		ps.Endpoint, _ = netip.ParseAddrPort(p.Endpoint)
		s.Peers[k] = ps
	}
	return s
}

func twoPeers() Config {
	return Config{Private: key(9), Port: 51820, Peers: map[Key]Peer{
		key(1): {Preshared: key(7), Allowed: nets("10.77.0.2/32", "fd77::2/128"), Endpoint: "192.0.2.1:1000"},
		key(2): {Allowed: nets("10.77.0.3/32"), Keepalive: 25 * time.Second, Endpoint: "oak.example:51820"},
	}}
}

func TestDiffNamesOnlyWhatDiffers(t *testing.T) {
	hex1, hex2 := strings.Repeat("01", 32), strings.Repeat("02", 32)
	edit := func(c *Config, n byte, f func(*Peer)) {
		p := c.Peers[key(n)]
		f(&p)
		c.Peers[key(n)] = p
	}
	for name, tt := range map[string]struct {
		edit  func(*Config)
		want  string
		drift string // of a device that is as before
	}{
		"nothing": {func(*Config) {}, "", ""},
		"port":    {func(c *Config) { c.Port = 1234 }, "listen_port=1234\n", "the port is 51820 in place of 1234"},
		"mark":    {func(c *Config) { c.Mark = 16 }, "fwmark=16\n", "the mark is 0x0 in place of 0x10"},
		"gone":    {func(c *Config) { delete(c.Peers, key(2)) }, "public_key=" + hex2 + "\nremove=true\n", "was added"},
		"no preshared": {
			func(c *Config) { edit(c, 1, func(p *Peer) { p.Preshared = Key{} }) },
			"public_key=" + hex1 + "\npreshared_key=" + strings.Repeat("00", 32) + "\n", "the preshared key",
		},
		"moved": {
			func(c *Config) { edit(c, 2, func(p *Peer) { p.Allowed = nets("10.77.0.9/32") }) },
			"public_key=" + hex2 + "\nreplace_allowed_ips=true\nallowed_ip=10.77.0.9/32\n", "has the addresses",
		},
		"keepalive": {
			func(c *Config) { edit(c, 2, func(p *Peer) { p.Keepalive = 0 }) },
			"public_key=" + hex2 + "\npersistent_keepalive_interval=0\n", "keepalive of 25 s in place of 0 s",
		},
		"endpoint": {
			func(c *Config) { edit(c, 1, func(p *Peer) { p.Endpoint = "[2001:db8::1]:7" }) },
			"public_key=" + hex1 + "\nendpoint=[2001:db8::1]:7\n", "",
		},
		"endpoint by name": { // is looked up in the background
			func(c *Config) { edit(c, 1, func(p *Peer) { p.Endpoint = "oak.example:7" }) }, "", "",
		},
		"new": {
			func(c *Config) { c.Peers[key(3)] = Peer{Endpoint: "192.0.2.3:3"} },
			"public_key=" + strings.Repeat("03", 32) + "\nendpoint=192.0.2.3:3\n", "was removed",
		},
	} {
		have := reached(twoPeers())
		c := twoPeers()
		tt.edit(&c)
		if got := diff(have, c, moves(twoPeers(), c, have)); got != tt.want {
			t.Errorf("%s: got\n%s", name, got)
		}
		if got := strings.Join(drift(have, c), "; "); !strings.Contains(got, tt.drift) || (tt.drift == "") != (got == "") {
			t.Errorf("%s: drift %q", name, got)
		}
		// The kernel is told the same, in its terms.
		if _, some := kernelDiff(have, c, moves(twoPeers(), c, have)); some != (tt.want != "") {
			t.Errorf("%s: differs for the kernel: %v", name, some)
		}
	}
}

// A peer that has gone elsewhere must not be called where it was.
func TestRoamedPeerIsLeftWhereItIs(t *testing.T) {
	have := reached(twoPeers())
	p := have.Peers[key(1)]
	p.Endpoint = netip.MustParseAddrPort("198.51.100.7:9")
	have.Peers[key(1)] = p
	c := twoPeers()
	if m := moves(c, c, have); len(m) != 0 {
		t.Errorf("called at %v", m)
	}
	if d := drift(have, c); d != nil {
		t.Errorf("counts as drift: %v", d)
	}
}

func TestDriftIsBounded(t *testing.T) {
	s := reached(twoPeers())
	for i := range 100 {
		s.Peers[key(byte(i+10))] = PeerState{}
	}
	if n := len(drift(s, twoPeers())); n != maxDrift {
		t.Errorf("%d lines", n)
	}
}

func TestAnswerOfTheDeviceIsRead(t *testing.T) {
	text := "private_key=" + strings.Repeat("0a", 32) + "\nlisten_port=51820\nfwmark=1\n" +
		"public_key=" + strings.Repeat("01", 32) + "\npreshared_key=" + strings.Repeat("00", 32) +
		"\nprotocol_version=1\nendpoint=192.0.2.1:1000\nlast_handshake_time_sec=100\nlast_handshake_time_nsec=5\n" +
		"tx_bytes=7\nrx_bytes=9\npersistent_keepalive_interval=25\nallowed_ip=10.0.0.2/32\nallowed_ip=fd00::2/128\n" +
		"public_key=" + strings.Repeat("02", 32) + "\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\n"
	d, err := parseState(text)
	if err != nil {
		t.Fatal(err)
	}
	if d.Port != 51820 || d.Mark != 1 || len(d.Peers) != 2 || !d.Peers[key(2)].Handshake.IsZero() {
		t.Fatalf("got %+v", d)
	}
	p := d.Peers[key(1)]
	if p.Endpoint != netip.MustParseAddrPort("192.0.2.1:1000") || !p.Handshake.Equal(time.Unix(100, 5)) ||
		p.Rx != 9 || p.Tx != 7 || p.Keepalive != 25*time.Second || !slices.Equal(p.Allowed, nets("10.0.0.2/32", "fd00::2/128")) {
		t.Errorf("got %+v", p)
	}
}

func FuzzParseState(f *testing.F) {
	f.Add("private_key=" + strings.Repeat("0a", 32) + "\nlisten_port=51820\npublic_key=" + strings.Repeat("01", 32) + "\nallowed_ip=10.0.0.2/32\n")
	f.Add("fwmark=7\npublic_key=" + strings.Repeat("02", 32) + "\nendpoint=[fe80::1%eth0]:1\npersistent_keepalive_interval=25\n")
	f.Add("public_key=zz\n")
	f.Add("errno=0\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseState(text)
		if err != nil {
			if len(err.Error()) > 60 {
				t.Errorf("the error may show a key: %v", err)
			}
			return
		}
		// What was read can be set again, and nothing is left to do then.
		c := asConfig(d)
		if cmds := diff(d, c, nil); cmds != "" {
			t.Errorf("differs from itself: %q", cmds)
		}
		again, err := parseState(diff(State{}, c, nil))
		if err != nil {
			t.Fatalf("our own words are refused: %v", err)
		}
		if cmds := diff(again, c, nil); strings.Contains(strings.ReplaceAll(cmds, "public_key=", ""), "=") {
			t.Errorf("got lost: %q", cmds)
		}
	})
}

func TestKeysAreThoseOfWireGuard(t *testing.T) {
	// RFC 7748, section 6.1.
	private, err := parseHex("77076d0a7318a57d3c16c17251b26645df4c2f92ebc099a45b2f3b4b1d2f3e2a")
	if err != nil {
		t.Fatal(err)
	}
	pub, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseKey(pub.Base64()); err != nil || again != pub || len(pub.Hex()) != 64 {
		t.Errorf("%v, %v", again, err)
	}
	good := pub.Base64()
	for _, bad := range []string{"", "AAAA", good + "\n", strings.Repeat("A", 44), "*" + good[1:]} {
		if _, err := ParseKey(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if s := fmt.Sprint(slog.AnyValue(key(1)).Resolve()); strings.Contains(s, "1") {
		t.Errorf("a key shows in logs as %s", s)
	}
}

func TestConfigsThatCannotWorkAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		peer Peer
		want string
	}{
		"no port":          {Peer{Endpoint: "192.0.2.1"}, "host:port"},
		"port 0":           {Peer{Endpoint: "192.0.2.1:0"}, "port 0"},
		"line end":         {Peer{Endpoint: "oak\nprivate_key=0:1"}, "host:port"},
		"a part of second": {Peer{Keepalive: time.Millisecond}, "keepalive"},
		"too slow":         {Peer{Keepalive: 65536 * time.Second}, "keepalive"},
	} {
		_, err := Open(Options{Interface: "wg9"}, Config{Peers: map[Key]Peer{key(1): tt.peer}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
