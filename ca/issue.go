package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// ErrNotReady reports that there is no authority yet.
var ErrNotReady = errors.New("the certificate authority has not started; give the cell a domain first")

// subjects are what a certificate speaks for.
type subjects struct {
	names []string
	addrs []netip.Addr
}

// sign makes a certificate for pub and proves it against a's own chain, for
// x509.CreateCertificate does not mind constraints.
func (a *authority) sign(pub crypto.PublicKey, who subjects, life time.Duration, now time.Time) (*x509.Certificate, error) {
	now = a.at(now)
	t := &x509.Certificate{
		SerialNumber: serial(),
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     who.names,
	}
	t.BasicConstraintsValid = true
	if a.inter.NotAfter.Before(t.NotAfter) {
		t.NotAfter = a.inter.NotAfter
	}
	if len(who.names) > 0 && len(who.names[0]) <= 64 { // RFC 5280 upper bound of a common name
		t.Subject = pkix.Name{CommonName: who.names[0]}
	}
	for _, ip := range who.addrs {
		t.IPAddresses = append(t.IPAddresses, ip.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.inter, pub, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := a.verify(leaf, now); err != nil {
		return nil, fmt.Errorf("the certificate would not be valid: %w", err)
	}
	return leaf, nil
}

// verify checks leaf as a client would at that time, for each of its names.
func (a *authority) verify(leaf *x509.Certificate, at time.Time) error {
	roots, inters := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.root)
	inters.AddCert(a.inter)
	opts := x509.VerifyOptions{Roots: roots, Intermediates: inters, CurrentTime: at}
	if _, err := leaf.Verify(opts); err != nil {
		return err
	}
	for _, n := range leaf.DNSNames {
		if err := leaf.VerifyHostname(strings.Replace(n, "*", "a", 1)); err != nil {
			return err
		}
	}
	for _, ip := range leaf.IPAddresses {
		if err := leaf.VerifyHostname(ip.String()); err != nil {
			return err
		}
	}
	return nil
}

// chain is leaf and intermediate in PEM, as servers present them.
func (a *authority) chain(leaf *x509.Certificate) []byte {
	return append(pemOf(leaf.Raw), pemOf(a.inter.Raw)...)
}

// An issuer is the authority as certmagic sees it, under one Config.
type issuer struct {
	auth   *authority
	record *record
	conf   Config
	clock  func() time.Time
}

func (i *issuer) IssuerKey() string { return i.auth.id() }

// Issue answers certmagic's request for one of the cell's names. The request
// for the domain is that for the cell's own certificate, with all that belongs
// there.
func (i *issuer) Issue(ctx context.Context, req *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	if err := req.CheckSignature(); err != nil {
		return nil, certmagic.ErrNoRetry{Err: err}
	}
	if len(req.DNSNames) != 1 || len(req.IPAddresses)+len(req.EmailAddresses)+len(req.URIs) > 0 {
		return nil, certmagic.ErrNoRetry{Err: errors.New("a request must be for one name")}
	}
	who, ok := i.conf.subjects(req.DNSNames[0])
	if !ok {
		return nil, certmagic.ErrNoRetry{Err: fmt.Errorf("%s is not a name of the cell", req.DNSNames[0])}
	}
	leaf, err := i.auth.sign(req.PublicKey, who, i.conf.Life, i.clock())
	if err != nil {
		return nil, certmagic.ErrNoRetry{Err: err}
	}
	if err := i.record.add(ctx, leaf, i.clock()); err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: i.auth.chain(leaf)}, nil
}

// subjects returns what the certificate kept under name carries.
func (c Config) subjects(name string) (subjects, bool) {
	if name == c.Domain {
		return subjects{append(slices.Clone(c.Names), local), c.Addresses}, true
	}
	for _, h := range c.Hosts {
		if h == name {
			return subjects{names: []string{h}}, true
		}
	}
	return subjects{}, false
}

// Issue makes a certificate for names, host names within the cell's domain, and
// returns its chain and its key in PEM. The cell keeps no copy of the key and
// does not renew the certificate. It is for other servers of the household.
func (s *Server) Issue(ctx context.Context, names []string) (chain, key []byte, err error) {
	l := s.live.Load()
	if l == nil {
		return nil, nil, ErrNotReady
	}
	if len(names) == 0 {
		return nil, nil, errors.New("name at least one host to issue a certificate for")
	}
	if len(names) > 100 {
		return nil, nil, fmt.Errorf("%d names are too many for one certificate; 100 fit", len(names))
	}
	who := subjects{}
	for _, n := range names {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if err := nameFor(n, l.auth.domain); err != nil {
			return nil, nil, err
		}
		who.names = append(who.names, n)
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := l.auth.sign(&k.PublicKey, who, l.conf.Life, s.clock())
	if err != nil {
		return nil, nil, err
	}
	if err := l.record.add(ctx, leaf, s.clock()); err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	s.log.Info("issued a certificate", "names", who.names, "until", leaf.NotAfter)
	return l.auth.chain(leaf), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
