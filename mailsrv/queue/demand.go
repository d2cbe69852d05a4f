package queue

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/miekg/dns"
)

// A demand is who insists on TLS, and how a host shows that it is the right one.
// None at all means: TLS with anybody, or else in clear.
type demand struct {
	clear bool   // TLS was tried and does not work
	name  string // what it is called in the message's record
	whose string // "which ... demands"
	tlsa  []*dns.TLSA
	roots *x509.CertPool
	check bool // the certificate is of a known authority and for the name
}

func (d *demand) inClear() bool { return d != nil && d.clear }

// demands finds out what a hop has to show, and where it is. An error means that
// it must not be used now.
func (q *Queue) demands(ctx context.Context, p *parcel, it *itinerary, h *hop) (*demand, error) {
	err := q.addresses(ctx, h)
	switch {
	case errors.Is(err, errNowhere):
		return nil, later("4.4.4", "%s: %v", h.name, errNowhere)
	case err != nil:
		return nil, later("4.4.3", "the addresses of %s cannot be found out now", h.name)
	case h.smart != nil:
		return &demand{name: "smarthost", whose: "this cell's settings demand", check: true, roots: q.o.Roots}, nil
	case h.within != nil:
		return nil, nil // in the tunnel, which is encrypted and knows who is there
	}
	if h.secure {
		tlsa, err := q.tlsa(ctx, h.name)
		if err != nil {
			return nil, later("4.7.5", "what %s demands by DANE cannot be found out now", h.name)
		}
		if tlsa != nil {
			return &demand{name: "DANE", whose: "its domain demands by DANE", tlsa: tlsa}, nil
		}
	}
	if s := it.sts; s != nil && s.enforce {
		if !s.allows(h.name) {
			return nil, later("4.7.5", "%s is not among the hosts that %s allows by MTA-STS", h.name, p.domain)
		}
		return &demand{name: "MTA-STS", whose: "its domain demands by MTA-STS", check: true, roots: q.o.Roots}, nil
	}
	if p.RequireTLS {
		return &demand{name: "REQUIRETLS", whose: "the sender demands", check: true, roots: q.o.Roots}, nil
	}
	return nil, nil
}

// tlsa returns the records of DANE for mail at a host (RFC 7672 §3.1); nil if it
// has none. Records that cannot be used still demand TLS, with anybody.
func (q *Queue) tlsa(ctx context.Context, host string) ([]*dns.TLSA, error) {
	a, err := q.o.DNS.Lookup(ctx, "_25._tcp."+dns.Fqdn(host), dns.TypeTLSA)
	if err != nil {
		return nil, err
	}
	if !a.Secure || len(a.Records) == 0 {
		return nil, nil
	}
	out := []*dns.TLSA{} // not nil: there are some
	for _, rr := range a.Records {
		t, ok := rr.(*dns.TLSA)
		if ok && (t.Usage == 2 || t.Usage == 3) && t.Selector <= 1 && t.MatchingType <= 2 && len(out) < 20 {
			out = append(out, t)
		}
	}
	return out, nil
}

// config is how TLS is spoken with a host.
func (d *demand) config(host string) *tls.Config {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	if d == nil || d.clear {
		return c // nobody can say who it should be (RFC 7435)
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		switch {
		case len(s.PeerCertificates) == 0:
			return errors.New("it has no certificate")
		case d.check:
			return chain(s.PeerCertificates, d.roots, host)
		case len(d.tlsa) == 0:
			return nil // RFC 7672 §2.2: unusable records
		}
		return d.matches(s.PeerCertificates, host)
	}
	return c
}

func chain(certs []*x509.Certificate, roots *x509.CertPool, host string) error {
	rest := x509.NewCertPool()
	for _, c := range certs[1:] {
		rest.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest, DNSName: host})
	return err
}

// matches checks certificates by DANE: usage 3 names the host's own key, usage 2
// an authority that is in the chain (RFC 7672 §3.1.1, §3.1.2).
func (d *demand) matches(certs []*x509.Certificate, host string) error {
	for _, t := range d.tlsa {
		switch {
		case t.Usage == 3 && named(t, certs[0]):
			return nil
		case t.Usage == 2:
			i := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return named(t, c) })
			if i < 0 {
				continue
			}
			anchor := x509.NewCertPool()
			anchor.AddCert(certs[i])
			if chain(certs, anchor, host) == nil {
				return nil
			}
		}
	}
	return errors.New("its certificate is none of those that its domain names")
}

// named reports whether a record is about a certificate (RFC 6698 §2.1).
func named(t *dns.TLSA, c *x509.Certificate) bool {
	data := c.Raw
	if t.Selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	switch t.MatchingType {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	want, err := hex.DecodeString(t.Certificate)
	return err == nil && subtle.ConstantTimeCompare(want, data) == 1
}
