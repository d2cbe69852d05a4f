package netstack

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"pic/core/config"
)

// A key is a Curve25519 key or a preshared key. It never shows in logs.
type key [32]byte

func (key) LogValue() slog.Value { return slog.StringValue("(key)") }

func (k key) hex() string    { return hex.EncodeToString(k[:]) }
func (k key) base64() string { return base64.StdEncoding.EncodeToString(k[:]) }

var errKey = errors.New("not a WireGuard key (44 characters of base64, as `wg genkey` prints)")

func parseKey(s string) (k key, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(k) || len(s) != 44 { // it skips line ends
		return key{}, errKey
	}
	return key(b), nil
}

// secretKey opens a key from the vault, where it lies raw or as base64.
func (s *Server) secretKey(id config.Secret) (key, error) {
	b, err := s.secrets(id)
	if err != nil {
		return key{}, err
	}
	if len(b) == len(key{}) {
		return key(b), nil
	}
	return parseKey(string(bytes.TrimSpace(b)))
}

// NewKey makes the key pair of a cell or of a peer, both in base64 as `wg
// genkey` and `wg pubkey` print them.
func NewKey() (private, public string) {
	k := random()
	// As wg genkey does, so that tools that compare see the clamped key.
	k[0] &= 248
	k[31] = k[31]&127 | 64
	private = k.base64()
	public, _ = PublicKey(private) // cannot fail: k is a key
	return private, public
}

// NewPreshared makes a preshared key in base64, as `wg genpsk` prints it.
func NewPreshared() string { return random().base64() }

func random() (k key) {
	rand.Read(k[:])
	return k
}

// PublicKey returns the public key of a private one, both in base64.
func PublicKey(private string) (string, error) {
	k, err := parseKey(private)
	if err != nil {
		return "", err
	}
	p, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		return "", fmt.Errorf("private key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(p.PublicKey().Bytes()), nil
}
