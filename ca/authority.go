package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"pic/internal/atomicfile"
	"pic/internal/faultfs"
)

const (
	rootLife  = 20 * 365 * 24 * time.Hour
	interLife = 5 * 365 * 24 * time.Hour
	// backdate helps clients whose clock is behind.
	backdate = time.Hour
)

// An authority is the root and the intermediate of one domain. It is immutable.
// The root's key is read only to sign a new intermediate.
type authority struct {
	domain string
	dir    string
	root   *x509.Certificate
	inter  *x509.Certificate
	key    *ecdsa.PrivateKey // the intermediate's
}

// A shelf is where the authority of a domain keeps its files.
type shelf struct {
	fs   faultfs.FS
	seal Sealer
	dir  string // of the domain
	name string // of the domain, part of the sealing context
}

// openAuthority reads the authority of domain, and makes what is missing: the
// root where there is none, the intermediate where it is missing, unusable or
// due for renewal at now.
func openAuthority(sh shelf, domain string, now time.Time) (*authority, error) {
	if err := os.MkdirAll(sh.dir, 0o700); err != nil {
		return nil, err
	}
	if err := atomicfile.Sweep(sh.dir); err != nil {
		return nil, err
	}
	a := &authority{domain: domain, dir: sh.dir}
	var err error
	a.root, err = sh.cert("root.pem")
	if errors.Is(err, fs.ErrNotExist) {
		if a.root, err = makeRoot(sh, domain, now); err != nil {
			return nil, fmt.Errorf("making the root of %s: %w", domain, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the root of %s: %w; bring %s back from a backup, or remove the folder to start over with a new root",
			domain, err, filepath.Join(sh.dir, "root.pem"))
	}
	if a.inter, a.key, err = sh.intermediate(a.root); err == nil && !a.due(now) {
		return a, nil
	}
	inter, key, err := makeIntermediate(sh, a.root, domain, now)
	if err == nil {
		a.inter, a.key = inter, key
		return a, nil
	}
	if a.key != nil && now.Before(a.inter.NotAfter) {
		return a, nil // it is only getting old; Problems tells
	}
	return nil, fmt.Errorf("making the intermediate of %s: %w", domain, err)
}

// due reports whether the intermediate should be replaced: a third of its life
// is left, or less, and the root can give it a longer one.
func (a *authority) due(now time.Time) bool {
	life := a.inter.NotAfter.Sub(a.inter.NotBefore)
	return now.After(a.inter.NotAfter.Add(-life/3)) && a.inter.NotAfter.Before(a.root.NotAfter)
}

// id names the intermediate's key.
func (a *authority) id() string { return "cell-" + hex.EncodeToString(a.inter.SubjectKeyId[:4]) }

// at is the time to issue at when the clock shows now: never before the
// intermediate was valid.
func (a *authority) at(now time.Time) time.Time {
	if first := a.inter.NotBefore.Add(backdate); now.Before(first) {
		return first
	}
	return now
}

// intermediate reads the intermediate and reports an error unless root signed
// it and its key fits.
func (sh shelf) intermediate(root *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	c, err := sh.cert("intermediate.pem")
	if err != nil {
		return nil, nil, err
	}
	if err := c.CheckSignatureFrom(root); err != nil {
		return nil, nil, err
	}
	k, err := sh.key("intermediate.key")
	if err != nil {
		return nil, nil, err
	}
	if !k.PublicKey.Equal(c.PublicKey) {
		return nil, nil, errors.New("the key of the intermediate does not fit its certificate")
	}
	return c, k, nil
}

func makeRoot(sh shelf, domain string, now time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Personal Internet Cell"}, CommonName: domain + " root CA"},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(rootLife),
	}
	asCA(t, domain)
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// The certificate is written last: where it is, the key is too.
	if err := sh.writeKey("root.key", k); err != nil {
		return nil, err
	}
	return sh.signTo("root.pem", t, t, &k.PublicKey, k)
}

func makeIntermediate(sh shelf, root *x509.Certificate, domain string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	rk, err := sh.key("root.key")
	if err != nil {
		return nil, nil, fmt.Errorf("reading the root's key: %w; bring root.key back from a backup", err)
	}
	if first := root.NotBefore.Add(backdate); now.Before(first) {
		now = first
	}
	t := &x509.Certificate{
		SerialNumber:   serial(),
		Subject:        pkix.Name{Organization: []string{"Personal Internet Cell"}, CommonName: domain + " issuing CA"},
		NotBefore:      now.Add(-backdate),
		NotAfter:       now.Add(interLife),
		MaxPathLenZero: true,
	}
	asCA(t, domain)
	if root.NotAfter.Before(t.NotAfter) {
		t.NotAfter = root.NotAfter
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if err := sh.writeKey("intermediate.key", k); err != nil {
		return nil, nil, err
	}
	c, err := sh.signTo("intermediate.pem", t, root, &k.PublicKey, rk)
	return c, k, err
}

func asCA(t *x509.Certificate, domain string) {
	t.BasicConstraintsValid, t.IsCA = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	constrain(t, domain)
}

// serial returns 128 random bits, positive and not zero.
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] |= 1
	return new(big.Int).SetBytes(b)
}

func (sh shelf) context(name string) string { return "ca/" + sh.name + "/" + name }

func (sh shelf) cert(name string) (*x509.Certificate, error) {
	b, err := os.ReadFile(filepath.Join(sh.dir, name))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate", name)
	}
	return x509.ParseCertificate(block.Bytes)
}

func (sh shelf) key(name string) (*ecdsa.PrivateKey, error) {
	b, err := os.ReadFile(filepath.Join(sh.dir, name))
	if err != nil {
		return nil, err
	}
	der, err := sh.seal.Unseal(sh.context(name), b)
	if err != nil {
		return nil, fmt.Errorf("unsealing %s: %w", name, err)
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ek, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an ECDSA key", name)
	}
	return ek, nil
}

func (sh shelf) writeKey(name string, k *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return err
	}
	return replace(sh.fs, filepath.Join(sh.dir, name), sh.seal.Seal(sh.context(name), der), 0o600)
}

func (sh shelf) signTo(name string, t, parent *x509.Certificate, pub *ecdsa.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, signer)
	if err != nil {
		return nil, err
	}
	if err := replace(sh.fs, filepath.Join(sh.dir, name), pemOf(der), 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// replace writes a file. That power loss could bring the old one back is no
// error here: whatever is found at the next start is checked before use.
func replace(fsys faultfs.FS, path string, data []byte, perm fs.FileMode) error {
	if err := atomicfile.Write(fsys, path, data, perm); err != nil && !errors.Is(err, atomicfile.ErrUnsynced) {
		return err
	}
	return nil
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// fingerprint is the SHA-256 of a certificate as devices show it.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	out := make([]byte, 0, 3*len(sum))
	for i, b := range sum {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, "0123456789ABCDEF"[b>>4], "0123456789ABCDEF"[b&15])
	}
	return string(out)
}
