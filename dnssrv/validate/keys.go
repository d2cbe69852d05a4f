package validate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"math/big"

	"github.com/miekg/dns"
)

const (
	minRSA = 1024 // bits; crypto/rsa takes no less
	maxRSA = 4096 // bits (RFC 3110 §2)
)

// A key is a public key of a zone, ready to be used.
type key struct {
	tag  uint16
	alg  uint8
	hash crypto.Hash
	pub  crypto.PublicKey
}

// supported reports whether signatures of the algorithm are checked. RSA with
// SHA-1 counts as unknown (RFC 9905 §2), as do RSA/MD5, DSA, GOST and Ed448.
func supported(alg uint8) bool {
	switch alg {
	case dns.RSASHA256, dns.RSASHA512, dns.ECDSAP256SHA256, dns.ECDSAP384SHA384, dns.ED25519:
		return true
	}
	return false
}

// digests reports whether DS records of the digest type are believed. SHA-1 is
// not (RFC 9905, RFC 8624 §3.3).
func digests(typ uint8) bool { return typ == dns.SHA256 || typ == dns.SHA384 }

// usable reports whether k may sign the records of a zone (RFC 4034 §2.1) and is
// not revoked (RFC 5011 §2.1).
func usable(k *dns.DNSKEY) bool {
	return k.Flags&dns.ZONE != 0 && k.Flags&dns.REVOKE == 0 && k.Protocol == 3
}

// parseKey makes a key of a DNSKEY record; ok is false where it is broken, or of
// an algorithm or size that is not supported.
func parseKey(k *dns.DNSKEY) (out key, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(k.PublicKey)
	if err != nil {
		return key{}, false
	}
	out = key{tag: k.KeyTag(), alg: k.Algorithm}
	switch k.Algorithm {
	case dns.RSASHA256:
		out.hash, out.pub = crypto.SHA256, parseRSA(raw)
	case dns.RSASHA512:
		out.hash, out.pub = crypto.SHA512, parseRSA(raw)
	case dns.ECDSAP256SHA256:
		out.hash, out.pub = crypto.SHA256, parseECDSA(raw, elliptic.P256())
	case dns.ECDSAP384SHA384:
		out.hash, out.pub = crypto.SHA384, parseECDSA(raw, elliptic.P384())
	case dns.ED25519:
		if len(raw) == ed25519.PublicKeySize {
			out.pub = ed25519.PublicKey(raw)
		}
	}
	return out, out.pub != nil
}

// parseRSA reads a key as RFC 3110 §2 writes it; nil where it is none for us.
func parseRSA(b []byte) crypto.PublicKey {
	if len(b) < 3 {
		return nil
	}
	n, off := int(b[0]), 1
	if n == 0 {
		n, off = int(b[1])<<8|int(b[2]), 3
	}
	if n == 0 || n > 4 || len(b) < off+n {
		return nil
	}
	e := 0
	for _, c := range b[off : off+n] {
		e = e<<8 | int(c)
	}
	mod := new(big.Int).SetBytes(b[off+n:])
	if bits := mod.BitLen(); bits < minRSA || bits > maxRSA || e < 3 || e > 1<<31-1 || e&1 == 0 || mod.Bit(0) == 0 {
		return nil
	}
	return &rsa.PublicKey{N: mod, E: e}
}

func parseECDSA(b []byte, c elliptic.Curve) crypto.PublicKey {
	k, err := ecdsa.ParseUncompressedPublicKey(c, append([]byte{4}, b...))
	if err != nil {
		return nil
	}
	return k
}

// verify reports whether sig is k's signature over data.
func (k *key) verify(data, sig []byte) bool {
	if pub, ok := k.pub.(ed25519.PublicKey); ok {
		return ed25519.Verify(pub, data, sig)
	}
	h := k.hash.New()
	h.Write(data)
	sum := h.Sum(nil)
	switch pub := k.pub.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, k.hash, sum, sig) == nil
	case *ecdsa.PublicKey:
		n := (pub.Params().BitSize + 7) / 8
		if len(sig) != 2*n { // RFC 6605 §4
			return false
		}
		return ecdsa.Verify(pub, sum, new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
	}
	return false
}
