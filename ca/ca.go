// Package ca is the cell's certificate authority.
//
// It keeps a root and an intermediate, both P-256, and issues the certificates
// with which the cell answers over TLS: one for the cell's own names and
// addresses, and one for each further host. [Server.GetCertificate] is all that
// the other services see of it.
//
// What it promises:
//
//   - Root and intermediate are constrained (RFC 5280 §4.2.1.10, critical) to the
//     cell's domain and to private addresses; the intermediate has a path length
//     of 0. A device that trusts the root trusts it for nothing else.
//   - Every certificate is verified against the cell's own chain, constraints
//     included, and recorded durably before it leaves the package.
//   - Keys of root, intermediate and leaves are on disk only sealed.
//   - Certificates are issued when the document names a host, never because a
//     client asked for one. A name that is unknown, or none at all as when a
//     client connects by address, gets the cell's own certificate.
//   - Leaves are renewed when a third of their life is left. What is found broken
//     on disk, such as half of a certificate after power loss, is issued anew;
//     only a root that cannot be read is an error, because devices trust it.
//
// Each domain has a folder below the one given to [New]:
//
//	<domain>/root.pem, intermediate.pem    certificates, in clear
//	<domain>/root.key, intermediate.key    sealed
//	<domain>/issued.log                    every certificate ever issued
//	<domain>/certificates/…                leaves: chain in clear, key sealed
//
// A root is bound to its domain. When the domain changes, a new root is made and
// the old folder is left as it is, so that changing back needs no new root.
//
// It does not revoke (no CRL, no OCSP), serve ACME, or issue for people.
package ca

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pic/core/config"
	"pic/internal/faultfs"
)

// A Sealer encrypts what must not be on disk in clear. What was sealed in one
// context does not open in another.
type Sealer interface {
	Seal(context string, plain []byte) []byte
	Unseal(context string, sealed []byte) ([]byte, error)
}

// Config is what the authority needs to know. [From] derives it.
type Config struct {
	Domain    string        // empty: there is no cell yet
	Names     []string      // on the cell's own certificate; the domain comes first
	Hosts     []string      // further names in the domain, each with its own certificate
	Foreign   []string      // names outside the domain, for which none can be issued
	Addresses []netip.Addr  // on the cell's own certificate
	Life      time.Duration // of a leaf
}

// From picks the authority's Config out of the resolved document.
func From(d *config.Document) Config {
	// Certificates tell times in whole seconds.
	c := Config{Domain: strings.ToLower(d.Cell.Domain), Life: time.Duration(d.CA.Life).Truncate(time.Second)}
	if c.Domain == "" {
		return Config{}
	}
	c.Names = []string{c.Domain}
	for _, s := range config.Services() {
		c.Names = append(c.Names, s+"."+c.Domain)
	}
	c.Names = append(c.Names, "*.dns."+c.Domain) // devices that tell the name server who they are
	for _, h := range d.Hostnames() {
		h = strings.ToLower(h)
		switch {
		case slices.Contains(c.Names, h) || slices.Contains(c.Hosts, h) || slices.Contains(c.Foreign, h):
		case within(h, c.Domain):
			c.Hosts = append(c.Hosts, h)
		default:
			c.Foreign = append(c.Foreign, h)
		}
	}
	own := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	own = append(own, d.Network.LAN.Address.Addr())
	own = append(own, d.Tunnel()...)
	own = append(own, d.Cell.Listen...)
	own = append(own, d.Proxy.Listen...)
	for _, a := range own {
		if a = a.Unmap(); private(a) && !slices.Contains(c.Addresses, a) {
			c.Addresses = append(c.Addresses, a)
		}
	}
	return c
}

// A Server is the authority. Use [New].
type Server struct {
	log  *slog.Logger
	seal Sealer
	dir  string
	fs   faultfs.FS

	look time.Duration // between looks for what must be renewed
	dawn time.Time     // a clock that shows less is wrong

	mu   sync.Mutex // one Apply at a time
	live atomic.Pointer[live]
}

// live is what is in force. It is never changed, only replaced.
type live struct {
	*certs
	hosts map[string]bool // names that have a certificate
	moved bool            // the cell had another domain, and thus root, before
}

// New returns an authority that keeps its files in the folder dir, its keys
// sealed by seal. It touches nothing until the first Apply.
func New(log *slog.Logger, seal Sealer, dir string) *Server {
	return &Server{
		log: log, seal: seal, dir: dir, fs: faultfs.OS,
		look: time.Minute,
		dawn: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// Limits of a leaf's life. Devices refuse longer ones even from a root that
// their owner installed.
const (
	minLife = time.Hour
	maxLife = 398 * 24 * time.Hour
)

// Check reports why c could not be applied.
func (s *Server) Check(_ context.Context, c Config) error {
	if c.Domain == "" {
		return nil
	}
	var errs []error
	if !config.Hostname(c.Domain) || !filepath.IsLocal(c.Domain) {
		errs = append(errs, fmt.Errorf("%q is not a domain to issue certificates for", c.Domain))
	}
	if c.Life < minLife || c.Life > maxLife {
		errs = append(errs, fmt.Errorf("a certificate that lives %s: choose from %s to %s", c.Life, minLife, maxLife))
	}
	if len(c.Names) == 0 || c.Names[0] != c.Domain {
		errs = append(errs, fmt.Errorf("the first name of the cell's certificate must be %s", c.Domain))
	}
	for _, n := range slices.Concat(c.Names, c.Hosts) {
		if err := nameFor(n, c.Domain); err != nil {
			errs = append(errs, err)
		}
	}
	for _, a := range c.Addresses {
		if !private(a) {
			errs = append(errs, fmt.Errorf("%s is not a private address", a))
		}
	}
	return errors.Join(errs...)
}

// clock is the time to issue at: now, unless the clock is obviously wrong, as
// on boards without one until NTP has set it.
func (s *Server) clock() time.Time {
	now := time.Now()
	if now.Before(s.dawn) {
		return s.dawn
	}
	return now
}
