package queue

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pic/mailsrv/lookup"
)

// An outcome is why mail did not go. It is for good or for now.
type outcome struct {
	final  bool
	status string // RFC 3463
	why    string
	host   string // that said so
	door   bool   // before it knew what mail it is: another host may take it
}

func (o *outcome) Error() string { return o.why }

func never(status, format string, a ...any) error {
	return &outcome{final: true, status: status, why: fmt.Sprintf(format, a...)}
}

func later(status, format string, a ...any) error {
	return &outcome{status: status, why: fmt.Sprintf(format, a...)}
}

// A hop is a host that may take the mail of a domain.
type hop struct {
	name   string
	port   uint16
	addrs  []netip.Addr // none: found out when it is its turn
	secure bool         // DNSSEC proves the name and its addresses
	within []netip.Prefix
	smart  *Smarthost
}

// An itinerary is the hops to a domain, best first.
type itinerary struct {
	hops []hop
	sts  *stsPolicy // nil: the domain has none
}

const maxHops = 5

// way finds out how to get to a domain.
func (q *Queue) way(ctx context.Context, domain string) (*itinerary, error) {
	q.mu.Lock()
	routes := q.routes
	q.mu.Unlock()
	if r, ok := routes.Domains[domain]; ok {
		return &itinerary{hops: []hop{{name: r.Host, port: q.o.Port, within: append([]netip.Prefix{}, r.Within...)}}}, nil // not nil: without subnets, nowhere
	}
	if s := routes.Smarthost; s != nil {
		return &itinerary{hops: []hop{{name: s.Host, port: s.Port, smart: s}}}, nil
	}
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		return q.literal(literal)
	}
	hosts, exists, secure, err := lookup.MXs(ctx, q.o.DNS, domain)
	if err != nil {
		return nil, later("4.4.3", "where mail for %s goes cannot be found out now", domain)
	}
	if len(hosts) == 0 {
		if !exists {
			return nil, never("5.1.2", "there is no domain %s", domain)
		}
		hosts = []lookup.MX{{Host: domain}} // RFC 5321 §5.1
	}
	if len(hosts) == 1 && hosts[0].Host == "" {
		return nil, never("5.1.10", "%s takes no mail", domain) // RFC 7505
	}
	// What is no better than we are would come back.
	if i := slices.IndexFunc(hosts, func(m lookup.MX) bool { return m.Host == strings.ToLower(routes.Host) }); i >= 0 {
		best := hosts[i].Preference
		hosts = slices.DeleteFunc(hosts, func(m lookup.MX) bool { return m.Preference >= best })
		if len(hosts) == 0 {
			return nil, never("5.4.6", "mail for %s would come back here: it is not among this cell's domains", domain)
		}
	}
	it := &itinerary{sts: q.sts.policy(ctx, domain)}
	for _, h := range hosts[:min(len(hosts), maxHops)] {
		if h.Host != "" {
			it.hops = append(it.hops, hop{name: h.Host, port: q.o.Port, secure: secure})
		}
	}
	return it, nil
}

// literal is the way to an address in brackets.
func (q *Queue) literal(s string) (*itinerary, error) {
	s = strings.TrimSuffix(s, "]")
	if v6, ok := strings.CutPrefix(s, "ipv6:"); ok {
		s = v6
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !q.o.Reach(a) {
		return nil, never("5.1.2", "no mail goes to the address %s", s)
	}
	return &itinerary{hops: []hop{{name: a.String(), port: q.o.Port, addrs: []netip.Addr{a}}}}, nil
}

var errNowhere = errors.New("it has no address that mail may go to")

// addresses finds out where a hop is.
func (q *Queue) addresses(ctx context.Context, h *hop) error {
	if len(h.addrs) > 0 {
		return nil
	}
	if a, err := netip.ParseAddr(h.name); err == nil && h.smart != nil {
		h.addrs = []netip.Addr{a}
		return nil
	}
	addrs, secure, err := lookup.Addresses(ctx, q.o.DNS, h.name)
	if err != nil {
		return err
	}
	h.secure = h.secure && secure
	for _, a := range addrs {
		switch {
		case h.smart != nil: // the owner named it
		case h.within != nil:
			if !slices.ContainsFunc(h.within, func(p netip.Prefix) bool { return p.Contains(a) }) {
				continue
			}
		case !q.o.Reach(a):
			continue
		}
		if len(h.addrs) < 4 {
			h.addrs = append(h.addrs, a)
		}
	}
	if len(h.addrs) == 0 {
		return errNowhere
	}
	return nil
}

var inside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("::/96"),
}

// public reports whether an address is of the internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(inside, func(p netip.Prefix) bool { return p.Contains(a) })
}
