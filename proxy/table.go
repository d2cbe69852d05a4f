package proxy

import (
	"net/http"
	"net/netip"
	"strings"

	"pic/core/config"
	"pic/internal/h2"
	"pic/internal/listen"
)

// A table is all by which requests are answered. It is never changed, only
// replaced as a whole.
type table struct {
	conf   Config
	hosts  map[string]*site
	home   *site // for those who come by address
	routes []*route
	tls    map[listen.Socket]bool // sockets that speak TLS
}

// A site is what answers for a host: a page of the cell or a route.
type site struct {
	label  string // of an own page
	access config.Access
	own    http.Handler
	quick  h2.Quick // own, if it is; see quick.go
	route  *route
}

// compile makes a table of c, with the routes of the present one where they are
// the same.
func (s *Server) compile(c Config) (*table, error) {
	t := &table{conf: c, hosts: map[string]*site{}, tls: map[listen.Socket]bool{}}
	for _, k := range c.HTTPS {
		t.tls[k] = true
	}
	if c.Domain == "" {
		return t, nil
	}
	here := map[Route]*route{}
	for _, r := range s.table.Load().routes {
		here[r.Route] = r
	}
	for _, r := range c.Routes {
		have := here[r]
		if l := s.leaving[r]; have == nil && l != nil {
			have = l.route
		}
		if have == nil {
			var err error
			if have, err = s.newRoute(r); err != nil {
				return nil, err
			}
		}
		t.routes = append(t.routes, have)
		t.hosts[r.Host] = &site{access: r.Access, route: have}
	}
	for _, label := range append([]string{""}, config.Services()...) {
		h := s.own(label)
		if h == nil {
			continue
		}
		host := strings.TrimPrefix(label+"."+c.Domain, ".")
		p := &site{label: label, access: config.AccessLAN, own: h}
		p.quick, _ = h.(h2.Quick)
		t.hosts[host] = p
		if label == "home" {
			t.home = p
		}
	}
	return t, nil
}

// site returns what answers for host, as it stands in a request or a handshake.
// name is the host without its port.
func (t *table) site(host string) (p *site, name string) {
	name = hostname(host)
	if p := t.hosts[name]; p != nil {
		return p, name
	}
	// Devices tell the name server who they are by a name of their own for it.
	if label, dns, ok := strings.Cut(name, "."); ok && label != "" && dns == "dns."+t.conf.Domain {
		if p := t.hosts[dns]; p != nil && p.own != nil {
			return p, name
		}
	}
	if a, err := netip.ParseAddr(name); err == nil && a.Zone() == "" || name == "localhost" {
		return t.home, name
	}
	return nil, name
}

// hostname strips port, brackets and a final dot, and lowers the case.
func hostname(host string) string {
	host = strings.ToLower(host)
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			return host[1:end]
		}
		return host
	}
	if i := strings.IndexByte(host, ':'); i >= 0 && i == strings.LastIndexByte(host, ':') {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}

// admits reports whether a client at that address may enter what has the access.
func (t *table) admits(a config.Access, from netip.Addr) bool {
	switch a {
	case config.AccessPublic:
		return true
	case config.AccessVPN:
		return contains(t.conf.VPN, from)
	default:
		return contains(t.conf.Insiders, from)
	}
}

func contains(all []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range all {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
