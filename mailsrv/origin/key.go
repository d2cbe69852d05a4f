package origin

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pic/mailsrv/lookup"
)

// A flaw is why something that claims to be signed does not count. It is one of
// the verdicts of RFC 8601 §2.7 with a reason.
type flaw struct {
	verdict Verdict
	why     string
}

func (f *flaw) Error() string { return f.why }

func permanent(format string, a ...any) error { return &flaw{PermError, fmt.Sprintf(format, a...)} }
func failed(format string, a ...any) error    { return &flaw{Fail, fmt.Sprintf(format, a...)} }

// judged is what an error comes to.
func judged(err error) (Verdict, string) {
	if err == nil {
		return Pass, ""
	}
	if f, ok := errors.AsType[*flaw](err); ok {
		return f.verdict, f.why
	}
	return TempError, "the key cannot be looked up now"
}

const (
	minRSA = 1024 // bits (RFC 8301 §3.2)
	maxRSA = 4096 // more costs those who check more than it is worth
)

// A publicKey is what a domain has published for a selector (RFC 6376 §3.6.1).
type publicKey struct {
	key    crypto.PublicKey
	test   bool // t=y: as if the message were not signed
	strict bool // t=s: i= and d= are the same domain
	sha256 bool
	mail   bool
}

// key looks a key up. Those of one message are asked for once.
func (k *Check) key(ctx context.Context, selector, domain string) (*publicKey, error) {
	name := selector + "._domainkey." + domain
	if have, ok := k.keys[name]; ok {
		return have.key, have.err
	}
	texts, _, err := lookup.TXT(ctx, k.Resolver, name)
	var found found
	switch {
	case err != nil:
		found.err = err
	case len(texts) == 0:
		found.err = permanent("there is no key %s", name)
	case len(texts) > 1:
		found.err = permanent("there are %d keys at %s", len(texts), name)
	default:
		found.key, found.err = parseKey(texts[0])
	}
	k.keys[name] = found
	return found.key, found.err
}

type found struct {
	key *publicKey
	err error
}

func parseKey(s string) (*publicKey, error) {
	t, err := tags(s)
	if err != nil {
		return nil, permanent("the key record cannot be read")
	}
	if v, ok := t["v"]; ok && v != "DKIM1" {
		return nil, permanent("the key record has version %.20q", v)
	}
	p, ok := t["p"]
	if !ok {
		return nil, permanent("the key record has no key")
	}
	b, err := base64.StdEncoding.DecodeString(pressed(p))
	if err != nil {
		return nil, permanent("the key cannot be read")
	}
	if len(b) == 0 {
		return nil, permanent("the key was revoked")
	}
	k := &publicKey{sha256: true, mail: true}
	if h := list(t["h"]); len(h) > 0 {
		k.sha256 = slices.Contains(h, "sha256")
	}
	if s := list(t["s"]); len(s) > 0 {
		k.mail = slices.Contains(s, "*") || slices.Contains(s, "email")
	}
	flags := list(t["t"])
	k.test, k.strict = slices.Contains(flags, "y"), slices.Contains(flags, "s")
	switch strings.ToLower(t["k"]) {
	case "", "rsa":
		k.key, err = rsaKey(b)
	case "ed25519":
		if len(b) != ed25519.PublicKeySize {
			return nil, permanent("the Ed25519 key has %d bytes", len(b))
		}
		k.key = ed25519.PublicKey(b)
	default:
		return nil, permanent("keys of type %.20q are not known", t["k"])
	}
	return k, err
}

func rsaKey(b []byte) (*rsa.PublicKey, error) {
	if len(b) > 2048 {
		return nil, permanent("the key is too long")
	}
	pub, err := x509.ParsePKIXPublicKey(b)
	if err != nil {
		pub, err = x509.ParsePKCS1PublicKey(b) // so do some (RFC 6376 §3.6.1, errata 3017)
	}
	key, ok := pub.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, permanent("the key cannot be read")
	}
	if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA || key.E > 1<<31-1 {
		return nil, &flaw{Policy, fmt.Sprintf("a key of %d bits does not count", bits)}
	}
	return key, nil
}

// verify checks a signature over a SHA-256 sum.
func (k *publicKey) verify(algorithm string, sum, sig []byte) error {
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		if algorithm != "rsa-sha256" {
			return permanent("the key is of another type than the signature")
		}
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum, sig) == nil {
			return nil
		}
	case ed25519.PublicKey: // over the sum, RFC 8463 §3
		if algorithm != "ed25519-sha256" {
			return permanent("the key is of another type than the signature")
		}
		if ed25519.Verify(key, sum, sig) {
			return nil
		}
	}
	return failed("the signature does not match")
}
