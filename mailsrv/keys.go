package mailsrv

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"

	"pic/mailsrv/origin"
)

// A NewKey is one that is to sign mail.
type NewKey struct {
	Selector string
	Record   string // what is published
	Private  []byte // PKCS #8, for the vault
}

// NewKeys makes a key of each algorithm that receivers know: RSA, which all do,
// and Ed25519.
func NewKeys(domain string, now time.Time) ([]NewKey, error) {
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("making keys for %s: %w", domain, err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making keys for %s: %w", domain, err)
	}
	var out []NewKey
	for letter, signer := range map[string]crypto.Signer{"r": old, "e": edwards} {
		k := NewKey{Selector: letter + now.UTC().Format("20060102t150405")}
		if k.Private, err = x509.MarshalPKCS8PrivateKey(signer); err != nil {
			return nil, fmt.Errorf("making keys for %s: %w", domain, err)
		}
		if k.Record, err = (origin.Key{Domain: domain, Selector: k.Selector, Signer: signer}).Record(); err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}
