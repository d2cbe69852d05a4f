package netstack

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"pic/core/config"
	"pic/internal/order"
	"pic/netstack/fw"
	"pic/netstack/policy"
)

// A Filter is what the packet filter is to do besides the policy.
type Filter struct {
	Blocked    []fw.Ban     // with their end
	Split      []netip.Addr // peers that send only the cell's networks through the tunnel
	New, Syn   int          // limits, as in the document
	Accounting bool
}

// rulesOf picks the policy's rules out of the resolved document; what the host
// adds comes in rules.
func rulesOf(d *config.Document) policy.Rules {
	r := policy.Rules{Router: config.On(d.Network.Router)}
	for _, o := range config.Offers(d) {
		r.Services = append(r.Services, policy.Service{Name: o.Name, Ports: portsOf(o.Ports)})
	}
	for i := range d.Peers {
		p := &d.Peers[i]
		if p.Disabled {
			continue
		}
		e := policy.Peer{
			Name: p.Name, Site: p.Site, Groups: slices.Clone(p.Groups), Internet: config.On(p.Internet), LAN: config.On(p.LAN),
			Services: p.Services, Peers: p.Peers, Cells: p.Cells, Exit: p.Exit,
		}
		if u := d.User(p.Owner); u != nil {
			e.Groups = append(e.Groups, u.Groups...)
		}
		for _, a := range []netip.Addr{p.Address, p.Address6} {
			if a.IsValid() {
				e.Addrs = append(e.Addrs, a)
			}
		}
		// An exit that cannot be had is no reason to go another way.
		if e.Exit != "" && !hasExit(d, e.Exit) {
			e.Internet, e.Exit = e.Internet && config.On(p.Fallback), ""
		}
		r.Peers = append(r.Peers, e)
	}
	for _, l := range d.Links {
		if !l.Disabled {
			r.Links = append(r.Links, policy.Link{Name: l.Name, Subnets: l.Subnets, Services: l.Services, LAN: l.LAN, Out: l.Out})
		}
	}
	r.Forwards = forwardsOf(d)
	if r.Router {
		r.Open = openOf(d)
	}
	return r
}

func hasExit(d *config.Document, name string) bool {
	return slices.ContainsFunc(d.Network.Exits, func(e config.Exit) bool { return e.Name == name && !e.Disabled })
}

func portsOf(list []config.OfferPort) []policy.Port {
	var out []policy.Port
	for _, p := range list {
		n := policy.Port{Proto: policy.TCP, Number: p.Port}
		if p.Protocol == "udp" {
			n.Proto = policy.UDP
		}
		out = append(out, n)
	}
	return out
}

func forwardsOf(d *config.Document) []policy.Forward {
	var out []policy.Forward
	for _, f := range d.Network.Forwards {
		if f.Disabled {
			continue
		}
		w := policy.Forward{Name: f.Name, First: f.Port, Last: f.Last, To: f.To, ToPort: f.ToPort, From: f.From}
		for name, proto := range map[string]uint8{"tcp": policy.TCP, "udp": policy.UDP} {
			if f.Protocol == name || f.Protocol == "both" {
				w.Proto = proto
				out = append(out, w)
			}
		}
	}
	order.Stable(out, func(a, b policy.Forward) int { return int(a.Proto) - int(b.Proto) })
	return out
}

// openOf are the ports that a router opens to the internet: the tunnel's, and
// those of services that the document makes public.
func openOf(d *config.Document) []policy.Port {
	var out []policy.Port
	if config.On(d.WireGuard.Enabled) && d.WireGuard.Port != 0 {
		out = append(out, policy.Port{Proto: policy.UDP, Number: d.WireGuard.Port})
	}
	for _, o := range config.Opened(d) {
		out = append(out, portsOf(o.Ports)...)
	}
	return out
}

// filterOf picks the rest.
func filterOf(d *config.Document) Filter {
	n := &d.Network
	f := Filter{New: n.Limits.New, Syn: n.Limits.Syn, Accounting: config.On(n.Accounting)}
	for _, b := range n.Blocked {
		f.Blocked = append(f.Blocked, fw.Ban{Net: b.Net, Until: b.Until})
	}
	for i := range d.Peers {
		if p := &d.Peers[i]; p.Split && !p.Disabled {
			for _, a := range []netip.Addr{p.Address, p.Address6} {
				if a.IsValid() {
					f.Split = append(f.Split, a)
				}
			}
		}
	}
	return f
}

// A terrain is what the host adds to the document.
type terrain struct {
	lan    []netip.Prefix // networks that the LAN's card is in
	host   []netip.Addr   // addresses, without those in the tunnel
	public []netip.Addr   // those of the WAN's card
}

func (s *Server) terrain(c Config) terrain {
	h := s.host
	g := terrain{lan: h.onLink(c.LAN)}
	for _, a := range h.addresses() {
		if !slices.ContainsFunc(c.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			g.host = append(g.host, a)
		}
	}
	g.public = g.host
	if c.WAN != "" {
		g.public = h.on(c.WAN)
	}
	if err := h.fault(); err != nil {
		s.trouble.set(hostUnknown(err))
	} else {
		s.trouble.clear(codeHost)
	}
	return g
}

// A passing thing is a block or a mapping that ends by itself, or an exit that is
// down.
type passing struct {
	bans     []Ban
	mappings []fw.Mapping
	down     []string // exits
}

// rules are the policy's, at a time.
func (c Config) rules(g terrain, p passing, now time.Time) policy.Rules {
	r := c.Rules
	// Networks that the internet does not know are nobody else's: who may not reach
	// the LAN may not reach the one in front of it either.
	r.LAN = policy.Disjoint(slices.Concat(c.LANNets, g.lan, policy.Private))
	r.Host, r.Public = g.host, g.public
	r.Cell, r.VPN, r.Blocked = nil, nil, nil
	for _, a := range c.Addresses {
		r.Cell = append(r.Cell, a.Addr())
		r.VPN = append(r.VPN, a.Masked())
	}
	for _, b := range c.bans(p, now) {
		r.Blocked = append(r.Blocked, b.Net)
	}
	r.Peers = c.fallen(p.down)
	r.Forwards = slices.Clone(r.Forwards)
	for _, m := range current(p.mappings, now) {
		r.Forwards = append(r.Forwards, m.Forward())
	}
	return r
}

// model is what the packet filter is made of.
func (c Config) model(g terrain, p passing, now time.Time) fw.Model {
	m := fw.Model{
		Rules: c.rules(g, p, now), Interface: c.Interface, WAN: c.WAN, LAN: c.LAN,
		Bans: c.bans(p, now), Mappings: current(p.mappings, now),
		Split: c.Filter.Split, NewRate: c.Filter.New, SynRate: c.Filter.Syn, Accounting: c.Filter.Accounting,
	}
	for _, e := range c.Exits {
		m.Exits = append(m.Exits, fw.Exit{Name: e.Name, Number: e.Number, Interface: e.Interface})
	}
	m.Rules.Blocked = nil // Bans has them, with their end
	if m.LAN == m.WAN {
		m.LAN, m.OneCard = "", m.LAN != ""
	}
	return m
}

func (c Config) bans(p passing, now time.Time) []fw.Ban {
	out := slices.Clone(c.Filter.Blocked)
	for _, b := range p.bans {
		out = append(out, fw.Ban{Net: b.Net, Until: b.Until})
	}
	return slices.DeleteFunc(out, func(b fw.Ban) bool { return !b.Until.IsZero() && !now.Before(b.Until) })
}

func current(all []fw.Mapping, now time.Time) []fw.Mapping {
	return slices.DeleteFunc(slices.Clone(all), func(m fw.Mapping) bool { return !m.Until.IsZero() && !now.Before(m.Until) })
}

// mostShifted bounds a range of ports that goes to other ports, each of which the
// kernel keeps by itself.
const mostShifted = 1024

func (c Config) checkForwards() error {
	for _, f := range c.Rules.Forwards {
		if f.First != f.ToPort && !f.Direct() && int(f.Last-f.First) >= mostShifted {
			return fmt.Errorf("network.forwards: %s: a range of more than %d ports cannot be moved to others; leave toPort out, or make it the first port of the range",
				f.Name, mostShifted)
		}
	}
	return nil
}
