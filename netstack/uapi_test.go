package netstack

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pic/core/config"
)

// vault is a vault for tests.
type vault map[config.Secret]string

func (v vault) open(id config.Secret) ([]byte, error) {
	s, ok := v[id]
	if !ok {
		return nil, errors.New("no such secret")
	}
	return []byte(s), nil
}

func desired(t *testing.T, c Config) device {
	t.Helper()
	s := New(slog.New(slog.DiscardHandler), vault{"wg-1": keyA, "psk-1": keyC}.open)
	d, err := s.desire(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDiffNamesOnlyWhatDiffers(t *testing.T) {
	base := From(document())
	hexB, hexC := strings.Repeat("01", 32), strings.Repeat("02", 32)
	for name, tt := range map[string]struct {
		edit func(*Config)
		want string
	}{
		"nothing": {func(*Config) {}, ""},
		"port":    {func(c *Config) { c.Port = 1234 }, "listen_port=1234\n"},
		"gone":    {func(c *Config) { c.Peers = c.Peers[:1] }, "public_key=" + hexC + "\nremove=true\n"},
		"no preshared": {
			func(c *Config) { c.Peers[0].Preshared = "" },
			"public_key=" + hexB + "\npreshared_key=" + strings.Repeat("00", 32) + "\n",
		},
		"moved": {
			func(c *Config) { c.Peers[1].Addrs = addrs("10.77.0.9") },
			"public_key=" + hexC + "\nreplace_allowed_ips=true\nallowed_ip=10.77.0.9/32\n",
		},
		"policy only": {func(c *Config) { c.Peers[1].Internet = false }, ""},
	} {
		c := From(document())
		tt.edit(&c)
		if got := diff(desired(t, base), desired(t, c)); got != tt.want {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

func TestBadKeysAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*Config)
		want string
	}{
		"other key":      {func(c *Config) { c.PublicKey = keyB }, "wireguard.publicKey"},
		"no such secret": {func(c *Config) { c.Key = "none" }, "wireguard.key"},
		"short key":      {func(c *Config) { c.Peers[0].PublicKey = "AAAA" }, "peer laptop: public key"},
		"twice":          {func(c *Config) { c.Peers[0].PublicKey = keyC }, "peer guest: another peer"},
		"no preshared":   {func(c *Config) { c.Peers[0].Preshared = "none" }, "peer laptop: preshared"},
	} {
		c := From(document())
		tt.edit(&c)
		s := New(slog.New(slog.DiscardHandler), vault{"wg-1": keyA, "psk-1": keyC}.open)
		if err := s.Check(t.Context(), c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), keyA[:10]) {
			t.Errorf("%s: the error shows a key: %v", name, err)
		}
	}
}

func TestAnswerOfTheDeviceIsRead(t *testing.T) {
	text := "private_key=" + strings.Repeat("0a", 32) + "\nlisten_port=51820\nfwmark=1\n" +
		"public_key=" + strings.Repeat("01", 32) + "\npreshared_key=" + strings.Repeat("00", 32) +
		"\nprotocol_version=1\nendpoint=192.0.2.1:1000\nlast_handshake_time_sec=100\nlast_handshake_time_nsec=5\n" +
		"tx_bytes=7\nrx_bytes=9\npersistent_keepalive_interval=0\nallowed_ip=10.0.0.2/32\nallowed_ip=fd00::2/128\n" +
		"public_key=" + strings.Repeat("02", 32) + "\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\n"
	d, err := parseDevice(text)
	if err != nil {
		t.Fatal(err)
	}
	if d.port != 51820 || len(d.peers) != 2 {
		t.Fatalf("port %d, %d peers", d.port, len(d.peers))
	}
	var k key
	for i := range k {
		k[i] = 1
	}
	p := d.peers[k]
	if p.endpoint != "192.0.2.1:1000" || !p.handshake.Equal(time.Unix(100, 5)) || p.rx != 9 || p.tx != 7 || len(p.allowed) != 2 {
		t.Errorf("got %+v", p)
	}
}

func FuzzParseDevice(f *testing.F) {
	f.Add("private_key=" + strings.Repeat("0a", 32) + "\nlisten_port=51820\npublic_key=" + strings.Repeat("01", 32) + "\nallowed_ip=10.0.0.2/32\n")
	f.Add("public_key=zz\n")
	f.Add("errno=0\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDevice(text)
		if err != nil {
			if len(err.Error()) > 200+len(text) {
				t.Errorf("the error is longer than the text: %v", err)
			}
			return
		}
		// What was read can be set again, and nothing is left to do then.
		if cmds := diff(d, d); cmds != "" {
			t.Errorf("differs from itself: %q", cmds)
		}
		again, err := parseDevice(diff(device{}, d))
		if err != nil {
			t.Fatalf("our own words are refused: %v", err)
		}
		for k, p := range d.peers {
			if _, ok := again.peers[k]; !ok && (len(p.allowed) > 0 || p.preshared != key{}) {
				t.Errorf("peer %x got lost", k)
			}
		}
	})
}

func TestKeysAreThoseOfWireGuard(t *testing.T) {
	private, public := NewKey()
	got, err := PublicKey(private)
	if err != nil || got != public {
		t.Errorf("%s, %v; want %s", got, err, public)
	}
	if other, _ := NewKey(); other == private {
		t.Error("two keys are equal")
	}
	if k, err := parseKey(NewPreshared()); err != nil || k == (key{}) {
		t.Errorf("preshared: %v", err)
	}
	for _, bad := range []string{"", "AAAA", keyA + "\n", strings.Repeat("A", 44), "*" + keyA[1:]} {
		if _, err := PublicKey(bad); !errors.Is(err, errKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if s := fmt.Sprint(slog.AnyValue(key{1}).Resolve()); strings.Contains(s, "1") {
		t.Errorf("a key shows in logs as %s", s)
	}
}
