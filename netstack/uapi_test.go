package netstack

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pic/core/config"
	"pic/netstack/wgdev"
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
		if _, err := PublicKey(bad); !errors.Is(err, wgdev.ErrKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if s := fmt.Sprint(slog.AnyValue(key{1}).Resolve()); strings.Contains(s, "1") {
		t.Errorf("a key shows in logs as %s", s)
	}
}
