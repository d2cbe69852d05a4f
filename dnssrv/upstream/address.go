package upstream

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A Proto is how a resolver is spoken to.
type Proto string

// The protocols.
const (
	UDP   Proto = "udp" // and TCP where that is too small
	TCP   Proto = "tcp" // RFC 7766
	TLS   Proto = "tls" // RFC 7858
	HTTPS Proto = "https"
	QUIC  Proto = "quic" // RFC 9250
)

var ports = map[Proto]uint16{UDP: 53, TCP: 53, TLS: 853, HTTPS: 443, QUIC: 853}

// An Address says where a resolver is and how it is spoken to. Two are the same
// resolver where they are equal.
type Address struct {
	Proto Proto
	Host  string         // as its certificate calls it; empty: not encrypted
	Port  uint16         // of Host
	IP    netip.AddrPort // where it is; the zero value: Host must be looked up
	Path  string         // of HTTPS, as it stands in a URL
}

var errAddress = errors.New("not a resolver; give an address, such as 9.9.9.9, or a URL, such as tls://dns.quad9.net#9.9.9.9")

// Parse reads an IP address with or without port, or a URL with the scheme udp,
// tcp, tls, https or quic. A host name may be followed by # and the address that
// saves looking it up.
func Parse(s string) (Address, error) {
	if at, err := parseIP(s, 53); err == nil {
		return Address{Proto: UDP, IP: at}, somebody(at.Addr())
	}
	u, err := url.Parse(strings.TrimSuffix(s, "{?dns}")) // of the template, which is for GET (RFC 8484 §4.1.1)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" {
		return Address{}, errAddress
	}
	a := Address{Proto: Proto(u.Scheme), Host: u.Hostname(), Port: ports[Proto(u.Scheme)]}
	if a.Port == 0 {
		return Address{}, errAddress
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return Address{}, errAddress
		}
		a.Port = uint16(n)
	}
	if a.Proto == HTTPS {
		a.Path = u.EscapedPath()
	}
	if ip, err := netip.ParseAddr(a.Host); err == nil {
		a.IP, a.Host = netip.AddrPortFrom(ip, a.Port), ip.String()
	}
	if u.Fragment != "" {
		if a.IP, err = parseIP(u.Fragment, a.Port); err != nil {
			return Address{}, errAddress
		}
	}
	if a.Proto == UDP || a.Proto == TCP {
		if !a.IP.IsValid() {
			return Address{}, errAddress
		}
		a.Host, a.Port = "", 0
	}
	return a, somebody(a.IP.Addr())
}

// somebody refuses the addresses that nobody can have.
func somebody(a netip.Addr) error {
	if a.IsValid() && (a.IsUnspecified() || a.IsMulticast()) {
		return errors.New("nobody answers there")
	}
	return nil
}

func parseIP(s string, port uint16) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, port), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err == nil && a.Port() == 0 {
		err = errAddress
	}
	return a, err
}

// Encrypted reports whether nobody on the way can read what is asked.
func (a Address) Encrypted() bool { return a.Proto != UDP && a.Proto != TCP }

// url returns the URL of a at that host.
func (a Address) url(host string) *url.URL {
	path, err := url.PathUnescape(a.Path)
	if err != nil {
		path = a.Path
	}
	return &url.URL{Scheme: string(a.Proto), Host: host, Path: path, RawPath: a.Path}
}

// String returns a as [Parse] reads it.
func (a Address) String() string {
	if a.Proto == UDP {
		return a.IP.String()
	}
	u := a.url(a.IP.String())
	if a.Host == "" {
		return u.String()
	}
	own, err := netip.ParseAddr(a.Host)
	switch {
	case err == nil:
		u.Host = netip.AddrPortFrom(own, a.Port).String()
	case a.Port == ports[a.Proto]:
		u.Host = a.Host
	default:
		u.Host = a.Host + ":" + strconv.Itoa(int(a.Port))
	}
	if a.IP.IsValid() && a.IP != netip.AddrPortFrom(own, a.Port) {
		u.Fragment = a.IP.String()
		if a.IP.Port() == a.Port {
			u.Fragment = a.IP.Addr().String()
		}
	}
	return u.String()
}
