package ca

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"pic/core/config"
)

// permitted are the addresses that the cell may vouch for: loopback, RFC 1918,
// RFC 6598, link-local and ULA.
var permitted = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
}

func private(a netip.Addr) bool {
	for _, p := range permitted {
		if a.Zone() == "" && p.Contains(a) {
			return true
		}
	}
	return false
}

// local is the one name outside of the domain that the cell's own certificate
// carries: programs on the cell's host reach it there. It means the reader's own
// machine everywhere (RFC 6761 §6.3).
const local = "localhost"

// constrain limits a CA certificate to domain and private addresses, for mail
// addresses and URIs too.
func constrain(t *x509.Certificate, domain string) {
	t.PermittedDNSDomainsCritical = true
	t.PermittedDNSDomains = []string{domain, local}
	t.PermittedEmailAddresses = []string{domain, "." + domain}
	t.PermittedURIDomains = []string{domain, "." + domain}
	for _, p := range permitted {
		t.PermittedIPRanges = append(t.PermittedIPRanges, &net.IPNet{
			IP:   p.Addr().AsSlice(),
			Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		})
	}
}

// within reports whether name is domain or below it.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// maxName is the longest name that still makes a file name.
const maxName = 200

// nameFor reports why no certificate of the cell may carry name.
//
// A wildcard must be below a name of the domain, as in *.lab.oak.home.arpa: one
// for the whole domain could stand in for every service of the cell.
func nameFor(name, domain string) error {
	host, wild := strings.CutPrefix(name, "*.")
	switch {
	case !config.Hostname(host) || len(name) > maxName:
		return fmt.Errorf("%q is not a host name in lower case of at most %d letters", name, maxName)
	case !within(host, domain):
		return fmt.Errorf("%q is outside of the cell's domain %s", name, domain)
	case wild && host == domain:
		return fmt.Errorf("%q would stand for every service of the cell; name a host, or a wildcard below one such as *.lab.%s", name, domain)
	}
	return nil
}
