package dnssrv

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"pic/core/config"
	"pic/dnssrv/upstream"
)

// An Outlet is an exit by which the questions of some devices leave, as the rest of
// their traffic does: others are asked, by another way, and what they say is kept
// apart.
type Outlet struct {
	Name      string
	Upstreams []string // see config.DNS.Upstreams; none: nobody can be asked, unless Recurse
	Recurse   bool     // the servers of the zones are asked, from the root on, by the exit
	Tunnel    bool     // Upstreams are reached through the VPN, and not by the exit
	Clients   []netip.Prefix
	// Fallback are those of Clients that ask as the cell does while the exit is down.
	Fallback []netip.Prefix
}

// outletsOf picks the exits that devices use, be they on or not, out of the resolved
// document.
func outletsOf(d *config.Document) []Outlet {
	var out []Outlet
	for _, e := range d.Network.Exits {
		o := Outlet{Name: e.Name}
		for i := range d.Peers {
			p := &d.Peers[i]
			if p.Disabled || p.Exit != e.Name {
				continue
			}
			nets := slices.Clone(p.Site)
			for _, a := range []netip.Addr{p.Address, p.Address6} {
				if a.IsValid() {
					nets = append(nets, netip.PrefixFrom(a, a.BitLen()))
				}
			}
			o.Clients = append(o.Clients, nets...)
			if config.On(p.Fallback) {
				o.Fallback = append(o.Fallback, nets...)
			}
		}
		if len(o.Clients) == 0 {
			continue
		}
		switch {
		case e.Disabled:
		case e.Link != "" && len(e.DNS) == 0:
			o.Tunnel = true
			for _, l := range d.Links {
				if l.Name == e.Link && !l.Disabled && l.DNS.IsValid() {
					o.Upstreams = []string{l.DNS.String()}
				}
			}
		case len(e.DNS) > 0:
			for _, a := range e.DNS {
				o.Upstreams = append(o.Upstreams, a.String())
			}
		case d.DNS.Resolver == config.ResolveRecurse:
			o.Recurse = true
		default:
			// The cell's own, where they can be reached from elsewhere.
			for _, s := range d.DNS.Upstreams {
				if a, err := upstream.Parse(s); err == nil && (!a.IP.IsValid() || public(a.IP.Addr())) {
					o.Upstreams = append(o.Upstreams, s)
				}
			}
		}
		out = append(out, o)
	}
	return out
}

func public(a netip.Addr) bool { return a.IsGlobalUnicast() && !a.IsPrivate() }

// A way is an outlet of a table: the routes of its questions.
type way struct {
	Outlet
	routes []route
	local  map[netip.Addr]bool // upstreams that are within the household
}

// ways makes the routes of each outlet. Domains that the household asks itself or
// linked cells about stay with those; all else leaves by the outlet.
func (b *builder) ways(c Config) {
	for _, o := range c.Outlets {
		w := &way{Outlet: o, local: map[netip.Addr]bool{}}
		first := route{domain: root, validate: c.DNS.Validate != config.ValidateOff, tunnel: o.Tunnel}
		if first.recurse = o.Recurse; o.Recurse {
			first.roots = b.routes[0].roots
		}
		for _, s := range o.Upstreams {
			if a, err := upstream.Parse(s); err == nil {
				first.upstreams = append(first.upstreams, a)
			}
		}
		w.routes = []route{first}
		for _, r := range b.routes[1:] {
			at := func(a upstream.Address) bool { return a.IP.IsValid() && !public(a.IP.Addr()) }
			taken := func(a upstream.Address) bool {
				return slices.ContainsFunc(first.upstreams, func(f upstream.Address) bool { return f.IP.Addr() == a.IP.Addr() })
			}
			switch {
			case r.tunnel:
			case len(r.upstreams) > 0 && !slices.ContainsFunc(r.upstreams, func(a upstream.Address) bool { return !at(a) || taken(a) }):
				for _, a := range r.upstreams {
					w.local[a.IP.Addr()] = true
				}
			default:
				continue
			}
			w.routes = append(w.routes, r)
		}
		b.table.ways = append(b.table.ways, w)
	}
}

// exitOf is the outlet that questions of a client leave by; empty: the cell's own.
func (t *table) exitOf(from netip.Addr) string {
	for _, w := range t.ways {
		if !holds(w.Clients, from) {
			continue
		}
		if t.exitUp != nil && holds(w.Fallback, from) && !t.exitUp(w.Name) {
			return ""
		}
		return w.Name
	}
	return ""
}

// An outlet is one at work.
type outlet struct {
	*forwarder
	trust *trust
	local atomic.Pointer[map[netip.Addr]bool]
}

// outletBytes is how much of answers one keeps.
const outletBytes = 2 << 20

// newOutlet makes the resolver of questions that leave by the exit of that name.
func (s *Server) newOutlet(name string) *outlet {
	o := &outlet{forwarder: newForwarder(outletBytes)}
	o.forwarder.dial, o.forwarder.relieve = s.opt.Dial, s.relief.look
	o.options.Lookup = s.forward.lookup // of a resolver's own name
	o.options.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err == nil && (*o.local.Load())[to.Addr()] {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		if s.opt.DialExit == nil {
			return nil, errNoExit
		}
		return s.opt.DialExit(ctx, name, network, address)
	}
	if s.opt.ExitUp != nil {
		o.reaches = func() bool { return s.opt.ExitUp(name) }
	}
	o.trust = newTrust(o.forwarder, Options{Log: s.log}, func() {
		o.flush()
		s.hot.Store(nil)
	})
	o.trust.root = s.trust.root
	return o
}

var errNoExit = errors.New("there is no such exit")

// followOutlets brings the outlets to those of t. The caller holds mu.
func (s *Server) followOutlets(t *table) {
	old := s.outlets.Load()
	next := map[string]*outlet{}
	for _, w := range t.ways {
		var o *outlet
		if old != nil {
			o = (*old)[w.Name]
		}
		if o == nil {
			o = s.newOutlet(w.Name)
			o.open(s.run)
		}
		o.local.Store(&w.local)
		o.follow(w.routes, t.care)
		o.trust.follow(t.conf.DNS.Validate, t.anchors)
		next[w.Name] = o
	}
	s.outlets.Store(&next)
	if old == nil {
		return
	}
	for name, o := range *old {
		if next[name] == nil {
			s.wg.Go(o.close) // who asks has an answer soon
		}
	}
}

// closeOutlets ends all. The caller holds mu.
func (s *Server) closeOutlets() {
	if all := s.outlets.Swap(nil); all != nil {
		for _, o := range *all {
			o.close()
		}
	}
}

// asks is who finds out what the cell does not know, for questions that leave by
// exit.
func (s *Server) asks(exit string) resolver {
	if exit == "" {
		return s.beyond
	}
	if all := s.outlets.Load(); all != nil && (*all)[exit] != nil {
		return (*all)[exit]
	}
	return nobody{}
}

// nobody is asked where an exit has just gone.
type nobody struct{}

func (nobody) cached(question) (reply, bool) { return reply{}, false }

func (nobody) resolve(context.Context, question) reply { return failure(edeUnreachable) }
