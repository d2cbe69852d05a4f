package ca

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"pic/core/service"
	"pic/internal/order"
)

// A Root is what a person needs to recognise the cell's root certificate.
type Root struct {
	Subject   string    `json:"subject"`
	SHA256    string    `json:"sha256"` // AB:CD:…
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Domain    string    `json:"domain"`
}

// Root returns the root in force, and whether there is one.
func (s *Server) Root() (Root, bool) {
	l := s.live.Load()
	if l == nil {
		return Root{}, false
	}
	r := l.auth.root
	return Root{r.Subject.CommonName, fingerprint(r), r.NotBefore, r.NotAfter, l.auth.domain}, true
}

// RootPEM returns the root's certificate in PEM, nil where there is none yet.
func (s *Server) RootPEM() []byte {
	if l := s.live.Load(); l != nil {
		return pemOf(l.auth.root.Raw)
	}
	return nil
}

// A CertInfo is one certificate that was issued and has not expired.
type CertInfo struct {
	Names     []string     `json:"names"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Serial    string       `json:"serial"` // hexadecimal
	NotBefore time.Time    `json:"notBefore"`
	NotAfter  time.Time    `json:"notAfter"`
	Issuer    string       `json:"issuer"`
	Serving   bool         `json:"serving"` // the cell itself answers with it
}

// Certificates lists what was issued and has not expired: first what the cell
// answers with, then the rest; within that by name, newest first.
func (s *Server) Certificates() []CertInfo {
	l := s.live.Load()
	if l == nil {
		return nil
	}
	serving := map[string]bool{}
	for _, c := range l.leaves() {
		serving[c.SerialNumber.Text(16)] = true
	}
	var out []CertInfo
	for _, c := range l.record.list() {
		if time.Now().After(c.NotAfter) {
			continue
		}
		out = append(out, describe(c, serving[c.SerialNumber.Text(16)]))
	}
	order.Stable(out, func(a, b CertInfo) int {
		if a.Serving != b.Serving {
			if a.Serving {
				return -1
			}
			return 1
		}
		if c := strings.Compare(a.Names[0], b.Names[0]); c != 0 {
			return c
		}
		return b.NotBefore.Compare(a.NotBefore)
	})
	return out
}

func describe(c *x509.Certificate, serving bool) CertInfo {
	i := CertInfo{
		Names: c.DNSNames, Serial: hex.EncodeToString(c.SerialNumber.Bytes()),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, Issuer: c.Issuer.CommonName, Serving: serving,
	}
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			i.Addresses = append(i.Addresses, a.Unmap())
		}
	}
	return i
}

// leaves returns the certificates that are served.
func (l *live) leaves() []*x509.Certificate {
	var out []*x509.Certificate
	for _, n := range append([]string{l.conf.Domain}, l.conf.Hosts...) {
		if c := l.leaf(n); c != nil {
			out = append(out, c)
		}
	}
	return out
}

// Problems implements [service.Reporter].
func (s *Server) Problems() []service.Problem {
	l := s.live.Load()
	if l == nil {
		return nil
	}
	now := time.Now()
	var out []service.Problem
	root := l.auth.root
	if now.Before(s.dawn) || now.Before(root.NotBefore) {
		out = append(out, service.Problem{
			Code: "ca/clock", Severity: service.Failure, Since: now,
			Title: "The cell's clock is wrong",
			Text: fmt.Sprintf("It shows %s, but the root certificate is valid only from %s. Devices refuse the cell's certificates until the clock is right.",
				now.Format(time.DateOnly), root.NotBefore.Format(time.DateOnly)),
			Fix: "Set the host's clock, or give it time servers: timedatectl set-ntp true.",
		})
	}
	for _, c := range l.leaves() {
		// Renewal begins when a third is left; a sixth means that it failed for long.
		late := c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 6)
		if now.After(late) {
			out = append(out, service.Problem{
				Code: "ca/renewal", Severity: service.Failure, Since: late,
				Title: "A certificate was not renewed",
				Text:  fmt.Sprintf("The certificate of %s ends on %s.", c.DNSNames[0], c.NotAfter.Format(time.DateTime)),
				Fix:   "See the log of the unit ca. Often the disk is full or read-only.",
			})
		}
	}
	if end := root.NotAfter.AddDate(-1, 0, 0); now.After(end) {
		out = append(out, service.Problem{
			Code: "ca/root-ends", Severity: service.Warning, Since: end,
			Title: "The root certificate ends soon",
			Text:  "It ends on " + root.NotAfter.Format(time.DateOnly) + ". From then on devices refuse all of the cell's certificates.",
			Fix:   "Stop the cell, remove " + l.auth.dir + ", start it, and install the new root on all devices.",
		})
	}
	if l.moved && now.Before(root.NotBefore.Add(newFor)) {
		out = append(out, service.Problem{
			Code: "ca/new-root", Severity: service.Warning, Since: root.NotBefore.Add(backdate),
			Title: "The root certificate is new",
			Text:  "It is bound to the domain, which has changed to " + l.auth.domain + ". Devices that trust the old root refuse the cell's new certificates.",
			Fix:   "Install the root from http://ca." + l.auth.domain + "/ on every device. This note goes after two weeks.",
		})
	}
	if bad := filepath.Join(l.auth.dir, recordName+damaged); exists(bad) {
		out = append(out, service.Problem{
			Code: "ca/record", Severity: service.Warning, Since: now,
			Title: "The record of issued certificates was damaged",
			Text:  "A new one was begun; what was issued before is not listed. Certificates go on working.",
			Fix:   "Check the disk. Remove " + bad + " when you no longer need it.",
		})
	}
	if len(l.conf.Foreign) > 0 {
		out = append(out, service.Problem{
			Code: "ca/foreign", Severity: service.Warning, Since: root.NotBefore,
			Title: "Names outside of the domain have no certificate",
			Text:  strings.Join(l.conf.Foreign, ", ") + ": the cell's authority is bound to " + l.auth.domain + ". Browsers will warn.",
			Fix:   "Use names below " + l.auth.domain + " for routes.",
		})
	}
	return out
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// newFor is how long a root that follows another one is announced.
const newFor = 14 * 24 * time.Hour

// Sockets implements [service.Reporter]; the authority has none.
func (s *Server) Sockets() []string { return nil }

// Facts implements [service.Reporter].
func (s *Server) Facts() []service.Fact {
	l := s.live.Load()
	if l == nil {
		return nil
	}
	facts := []service.Fact{
		{Name: "root", Value: l.auth.root.Subject.CommonName + ", until " + l.auth.root.NotAfter.Format(time.DateOnly)},
		{Name: "fingerprint", Value: fingerprint(l.auth.root)},
	}
	leaves := l.leaves()
	facts = append(facts, service.Fact{Name: "certificates", Value: strconv.Itoa(len(leaves))})
	if len(leaves) > 0 {
		next := slices.MinFunc(leaves, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
		renew := next.NotAfter.Add(-next.NotAfter.Sub(next.NotBefore) / 3)
		facts = append(facts, service.Fact{Name: "next renewal", Value: next.DNSNames[0] + ", " + renew.Format(time.DateTime)})
	}
	return facts
}
