package netstack

import (
	"bytes"
	"crypto/rand"

	"pic/core/config"
	"pic/netstack/wgdev"
)

type key = wgdev.Key

func parseKey(s string) (key, error) { return wgdev.ParseKey(s) }

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
	private = k.Base64()
	public, _ = PublicKey(private) // cannot fail: k is a key
	return private, public
}

// NewPreshared makes a preshared key in base64, as `wg genpsk` prints it.
func NewPreshared() string { return random().Base64() }

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
	p, err := k.Public()
	if err != nil {
		return "", err
	}
	return p.Base64(), nil
}
