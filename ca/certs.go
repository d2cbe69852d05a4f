package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
)

// A keeper has the leaves of one domain: in memory, on disk, and renewed.
type keeper struct {
	domain string
	store  *store
	record *record
	cache  *certmagic.Cache
	now    atomic.Pointer[certmagic.Config] // by which the cache renews
	log    *slog.Logger
	clock  func() time.Time
	closed bool // guarded by Server.mu
}

// certs is a keeper's view of its leaves under one authority and Config.
type certs struct {
	*keeper
	auth  *authority
	conf  Config
	magic *certmagic.Config
}

func newKeeper(log *slog.Logger, sh shelf, look time.Duration, clock func() time.Time) (*keeper, error) {
	k := &keeper{domain: sh.name, log: log, clock: clock}
	var err error
	if k.store, err = openStore(sh); err != nil {
		return nil, err
	}
	if k.record, err = openRecord(sh.fs, filepath.Join(sh.dir, recordName), clock()); err != nil {
		return nil, err
	}
	k.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) {
			if c := k.now.Load(); c != nil {
				return c, nil
			}
			return nil, errors.New("not yet in force")
		},
		RenewCheckInterval: look,
		// There is nothing to staple; the ticker must only not be zero.
		OCSPCheckInterval: 24 * time.Hour,
		Logger:            zapTo(log),
	})
	return k, nil
}

// under returns k's view for auth and conf.
func (k *keeper) under(auth *authority, conf Config) *certs {
	return &certs{k, auth, conf, certmagic.New(k.cache, certmagic.Config{
		Issuers:             []certmagic.Issuer{&issuer{auth, k.record, conf, k.clock}},
		Storage:             k.store,
		KeySource:           certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		RenewalWindowRatio:  1.0 / 3,
		OCSP:                certmagic.OCSPConfig{DisableStapling: true},
		DisableStorageCheck: true,
		DisableARI:          true,
		Logger:              zapTo(k.log),
	})}
}

// close ends renewal and waits for what is under way. Certificates in memory
// can still be had.
func (k *keeper) close() error {
	if k.closed {
		return nil
	}
	k.closed = true
	k.cache.Stop()
	k.store.close()
	if err := k.record.close(); err != nil {
		return fmt.Errorf("closing the record of issued certificates: %w", err)
	}
	return nil
}

// obtain puts a certificate for name, as the config wants it, on disk. What is
// served meanwhile stays as it is.
func (c *certs) obtain(ctx context.Context, name string) error {
	force, err := c.inspect(ctx, name)
	if err == nil {
		// Without force this issues only what is missing or due.
		err = c.magic.RenewCertSync(ctx, name, force)
	}
	if err != nil {
		return fmt.Errorf("certificate for %s: %w", name, err)
	}
	return nil
}

// inspect removes from disk what is no whole certificate for name and reports
// whether what is left is for other subjects or another life than it should be.
func (c *certs) inspect(ctx context.Context, name string) (differs bool, err error) {
	lock := "issue_cert_" + name // certmagic's own, so that no renewal is half done
	if err := c.store.Lock(ctx, lock); err != nil {
		return false, err
	}
	defer c.store.Unlock(ctx, lock)
	leaf, err := c.stored(ctx, name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("a stored certificate is unusable, issuing a new one", "name", name, "err", err)
		}
		return false, c.store.Delete(ctx, certmagic.StorageKeys.CertsSitePrefix(c.auth.id(), name))
	}
	want, ok := c.conf.subjects(name)
	if !ok {
		return false, fmt.Errorf("%s is not a name of the cell", name)
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore) - backdate
	return !slices.Equal(leaf.DNSNames, want.names) || !sameAddrs(leaf, want) ||
		life != c.conf.Life && leaf.NotAfter != c.auth.inter.NotAfter, nil
}

// stored reads the certificate of name from disk and proves it: it fits its key
// and was, when it began, good for every name it carries.
func (c *certs) stored(ctx context.Context, name string) (*x509.Certificate, error) {
	keys := certmagic.StorageKeys
	id := c.auth.id()
	chain, err := c.store.Load(ctx, keys.SiteCert(id, name))
	if err != nil {
		return nil, err
	}
	key, err := c.store.Load(ctx, keys.SitePrivateKey(id, name))
	if err != nil {
		return nil, err
	}
	meta, err := c.store.Load(ctx, keys.SiteMeta(id, name))
	if err != nil {
		return nil, err
	}
	if !json.Valid(meta) {
		return nil, errors.New("its description is damaged")
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	if err := c.auth.verify(leaf, leaf.NotBefore); err != nil {
		return nil, err
	}
	return leaf, nil
}

// adopt serves the certificate of name that is on disk instead of the one that
// was served so far.
func (c *certs) adopt(ctx context.Context, name string) error {
	before := c.held(name)
	fresh, err := c.magic.CacheManagedCertificate(ctx, name)
	if err != nil {
		return fmt.Errorf("certificate for %s: %w", name, err)
	}
	c.cache.Remove(slices.DeleteFunc(before, func(h string) bool { return h == fresh.Hash() }))
	return nil
}

// tidy removes from disk what is kept under other names or by other
// intermediates than c's.
func (c *certs) tidy(ctx context.Context) error {
	keys := certmagic.StorageKeys
	ours := keys.CertsPrefix(c.auth.id())
	wanted := map[string]bool{ours: true}
	for _, n := range append([]string{c.conf.Domain}, c.conf.Hosts...) {
		wanted[keys.CertsSitePrefix(c.auth.id(), n)] = true
	}
	var errs []error
	for _, in := range []string{path.Dir(ours), ours} {
		found, err := c.store.List(ctx, in, false)
		errs = append(errs, err)
		for _, key := range found {
			if !wanted[key] {
				errs = append(errs, c.store.Delete(ctx, key))
			}
		}
	}
	return errors.Join(errs...)
}

// held returns the hashes of the certificates in memory that are kept under name.
func (c *certs) held(name string) []string {
	var out []string
	for _, cert := range c.cache.AllMatchingCertificates(name) {
		if len(cert.Names) > 0 && cert.Names[0] == name {
			out = append(out, cert.Hash())
		}
	}
	return out
}

// leaf returns the certificate that is served under name, or nil.
func (c *certs) leaf(name string) *x509.Certificate {
	for _, cert := range c.cache.AllMatchingCertificates(name) {
		if len(cert.Names) > 0 && cert.Names[0] == name {
			return cert.Leaf
		}
	}
	return nil
}

func sameAddrs(leaf *x509.Certificate, want subjects) bool {
	if len(leaf.IPAddresses) != len(want.addrs) {
		return false
	}
	for i, ip := range leaf.IPAddresses {
		if !ip.Equal(want.addrs[i].AsSlice()) {
			return false
		}
	}
	return true
}

// GetCertificate returns the certificate for a client's hello, for use in a
// [tls.Config]. It takes microseconds, does no I/O and never issues.
func (s *Server) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	l := s.live.Load()
	if l == nil {
		return nil, ErrNotReady
	}
	h := *hello
	h.ServerName = strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if !l.hosts[h.ServerName] {
		h.ServerName = l.conf.Domain
	}
	h.SupportedProtos = nil // acme-tls/1 would make certmagic look for a challenge
	return l.certs.magic.GetCertificate(&h)
}
