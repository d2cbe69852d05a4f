package dnssrv

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// upstreams reads the addresses of the upstream resolvers.
func (b *builder) upstreams(c Config) {
	for i, s := range c.Upstreams {
		a, err := parseUpstream(s)
		switch {
		case err != nil:
			b.fail(fmt.Sprintf("dns.upstreams.%d", i), "%q is not an address; give IP or IP:port, such as 9.9.9.9 or [2620:fe::fe]:53", s)
		case c.itself(a):
			// A resolver that asks itself waits for itself. The host's own
			// resolv.conf may well name us.
		default:
			b.table.upstreams = append(b.table.upstreams, a)
		}
	}
}

// parseUpstream reads an address, or an address and a port.
func parseUpstream(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, port), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err == nil && (a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast()) {
		err = errors.New("nobody answers there")
	}
	return a, err
}

// itself reports whether a is one of the sockets of c.
func (c *Config) itself(a netip.AddrPort) bool {
	for _, s := range c.Sockets {
		if s.Addr == a {
			return true
		}
		if s.Addr.Port() != a.Port() || !s.Addr.Addr().IsUnspecified() {
			continue
		}
		ip := a.Addr()
		if ip.IsLoopback() || ip == c.LAN.Addr() {
			return true
		}
		if slices.Contains(c.Tunnel, ip) {
			return true
		}
	}
	return false
}
