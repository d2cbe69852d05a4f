package dnssrv

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pic/core/config"
	"pic/core/service"
	"pic/dnssrv/upstream"
)

// upstreams reads who is asked about the names that the cell does not know.
func (b *builder) upstreams(c Config) {
	b.routes = []route{{domain: root, validate: c.DNS.Validate != config.ValidateOff}}
	if first := &b.routes[0]; c.DNS.Resolver == config.ResolveRecurse {
		first.recurse = true
		for _, a := range b.resolvers(c, "dns.roots", c.DNS.Roots) {
			first.roots = append(first.roots, a.IP)
		}
	} else {
		first.upstreams = b.resolvers(c, "dns.upstreams", c.Upstreams)
	}
	for i, f := range c.DNS.Forwards {
		path := fmt.Sprintf("dns.forwards.%d", i)
		n, err := parseName(f.Name)
		switch {
		case err != nil || n == root || strings.ContainsFunc(f.Name, odd):
			b.fail(path+".name", "%q is not a domain name", f.Name)
			continue
		case b.zones[n] != nil && !b.special[n]:
			b.fail(path+".name", "the cell answers for %s itself; take it out of dns.zones to ask others", f.Name)
			continue
		}
		b.routes = append(b.routes, route{
			domain: n, upstreams: b.resolvers(c, path+".upstreams", f.Upstreams),
			tunnel: f.Tunnel, validate: f.Validate, own: true,
		})
	}
	for _, l := range c.Links {
		b.link(l)
	}
	b.care = care{
		treatment: treatment{
			rebind: config.On(c.DNS.Rebind), networks: c.networks(), dns64: c.DNS.DNS64, validate: c.DNS.Validate,
		},
		stale:  time.Duration(c.DNS.Stale),
		itself: c.itself,
	}
	for _, s := range c.DNS.Private {
		if n, err := parseName(s); err == nil {
			b.care.private = append(b.care.private, n)
		}
	}
	b.holes()
}

// A loop is a resolver that is not asked, for it is the cell itself.
type loop struct{ path, address string }

// loopProblems tells of them.
func (s *Server) loopProblems() []service.Problem {
	t := s.table.Load()
	if len(t.loops) == 0 || len(t.conf.Sockets) == 0 {
		return nil
	}
	var all []string
	for _, l := range t.loops {
		all = append(all, fmt.Sprintf("%s in %s", l.address, l.path))
	}
	return []service.Problem{{
		Code:     "dns/upstream-itself",
		Title:    "The cell is told to ask itself about names that it does not know",
		Text:     strings.Join(all, ", ") + ": that is this cell, so it is not asked.",
		Fix:      "Put the address of your router or of a public resolver, such as 9.9.9.9, in its place. If you did not set dns.upstreams, it comes from the host's resolv.conf: set dns.upstreams then.",
		Severity: service.Warning,
		Since:    t.made,
	}}
}

func (b *builder) resolvers(c Config, path string, all []string) []upstream.Address {
	var out []upstream.Address
	for i, s := range all {
		a, err := upstream.Parse(s)
		switch {
		case err != nil:
			b.fail(fmt.Sprintf("%s.%d", path, i), "%q is not a resolver; give an address, such as 9.9.9.9 or [2620:fe::fe]:53, or a URL, such as tls://dns.quad9.net#9.9.9.9", s)
		case c.itself(a.IP):
			// A resolver that asks itself waits for itself.
			b.loops = append(b.loops, loop{path, s})
		default:
			out = append(out, a)
		}
	}
	return out
}

// link asks another cell about its names, and those of its addresses, through
// the VPN.
func (b *builder) link(l Linked) {
	n, err := parseName(l.Domain)
	if err != nil || n == root || !l.DNS.IsValid() {
		return
	}
	to := []upstream.Address{{Proto: upstream.UDP, IP: netip.AddrPortFrom(l.DNS, port)}}
	domains := []name{n}
	for _, p := range l.Subnets {
		domains = append(domains, reverseZones(p)...)
	}
	for _, d := range domains {
		if b.zones[d] != nil && !b.special[d] || slices.ContainsFunc(b.routes, func(r route) bool { return r.domain == d }) {
			continue // the cell's own, or what the user wrote
		}
		b.routes = append(b.routes, route{domain: d, upstreams: to, tunnel: true, own: true})
	}
}

// holes makes place for the domains that others are asked about within those
// that are special, and within the cell's own.
func (b *builder) holes() {
	b.abroad = map[name]bool{}
	for _, r := range b.routes[1:] {
		b.abroad[r.domain] = true
	}
}

// networks are those of the household.
func (c *Config) networks() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range append([]netip.Prefix{c.LAN}, c.VPN...) {
		if p.IsValid() {
			out = append(out, p.Masked())
		}
	}
	return out
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
