package wgdev

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
)

// A Key is a Curve25519 key or a preshared key. It never shows in logs.
type Key [32]byte

// ErrKey is the error of what should be a key and is none.
var ErrKey = errors.New("not a WireGuard key (44 characters of base64, as `wg genkey` prints)")

// ParseKey reads a key as wg prints it, and nothing else.
func ParseKey(s string) (k Key, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(k) || len(s) != 44 { // it skips line ends
		return Key{}, ErrKey
	}
	return Key(b), nil
}

func (Key) LogValue() slog.Value { return slog.StringValue("(key)") }

// Hex is the key as WireGuard's configuration protocol wants it.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// Base64 is the key as wg prints it.
func (k Key) Base64() string { return base64.StdEncoding.EncodeToString(k[:]) }

// Public returns the public key of a private one.
func (k Key) Public() (Key, error) {
	p, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		return Key{}, fmt.Errorf("private key: %w", err)
	}
	return Key(p.PublicKey().Bytes()), nil
}

func parseHex(s string) (k Key, err error) {
	if len(s) != 2*len(k) {
		return Key{}, ErrKey
	}
	_, err = hex.Decode(k[:], []byte(s))
	return k, err
}
