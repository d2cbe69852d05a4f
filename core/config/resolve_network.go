package config

import (
	"slices"
	"time"
)

// What speaks WireGuard in appliance mode.
const (
	BackendUser   = "user"
	BackendKernel = "kernel"
)

// keepalive is how often, in seconds, a device speaks so that NAT routers between
// it and the cell remember it.
const keepalive = 25

// None and All stand alone in a list of names for what they say.
const (
	None = "none"
	All  = "all"
)

func resolveNetwork(n *Network, on onDefault) {
	on(&n.Router, false)
	on(&n.Reflect, false)
	on(&n.Accounting, true)
	if n.WAN.Method == "" {
		n.WAN.Method = WANDHCP
		if n.WAN.Address.IsValid() {
			n.WAN.Method = WANStatic
		}
	}
	on(&n.WAN.Delegation, On(n.Router) && n.WAN.Method == WANDHCP)
	for i := range n.Forwards {
		f := &n.Forwards[i]
		if f.Protocol == "" {
			f.Protocol = "tcp"
		}
		if f.Last == 0 {
			f.Last = f.Port
		}
		if f.ToPort == 0 {
			f.ToPort = f.Port
		}
	}
	for i := range n.Exits {
		if e := &n.Exits[i]; e.Keepalive == 0 {
			e.Keepalive = keepalive
		}
	}
	if n.Limits.New == 0 {
		n.Limits.New = 100
	}
	if n.Limits.Syn == 0 {
		n.Limits.Syn = 500
	}
	if n.Shaping.Queue == "" {
		n.Shaping.Queue = "auto"
	}
	on(&n.PortMapping.Enabled, false)
	if n.PortMapping.Most == 0 {
		n.PortMapping.Most = 32
	}
	if n.PortMapping.Allow == nil {
		if lan := n.LAN.Address; lan.IsValid() {
			n.PortMapping.Allow = append(n.PortMapping.Allow, lan.Masked())
		}
	}
	for i := range n.Dynamic {
		d := &n.Dynamic[i]
		if d.Protocol == "" {
			d.Protocol = "dyndns2"
		}
		if d.Families == nil {
			d.Families = []string{"4", "6"}
		}
		if d.Interval == 0 {
			d.Interval = Duration(5 * time.Minute)
		}
	}
}

// rights are those of a peer with what its groups add, and the defaults. Groups
// are those named by the peer and by its owner.
func (d *Document) rights(p *Peer) Rights {
	r := p.Rights.clone()
	var of []Rights
	for _, g := range d.GroupsOf(p) {
		of = append(of, g.Rights)
	}
	r.Internet = granted(r.Internet, of, func(g Rights) *bool { return g.Internet }, true)
	r.LAN = granted(r.LAN, of, func(g Rights) *bool { return g.LAN }, true)
	r.Fallback = granted(r.Fallback, of, func(g Rights) *bool { return g.Fallback }, false)
	r.Services = listed(r.Services, of, func(g Rights) []string { return g.Services }, All)
	r.Peers = listed(r.Peers, of, func(g Rights) []string { return g.Peers }, None)
	r.Cells = listed(r.Cells, of, func(g Rights) []string { return g.Cells }, All)
	for _, g := range of {
		if r.Exit == "" {
			r.Exit = g.Exit
		}
	}
	if r.Exit == None {
		r.Exit = ""
	}
	return r
}

// granted is what a peer says, else whether any group that says something grants
// it, else the default.
func granted(own *bool, of []Rights, get func(Rights) *bool, def bool) *bool {
	if own != nil {
		return own
	}
	var said *bool
	for _, g := range of {
		if v := get(g); v != nil && (said == nil || *v) {
			said = v
		}
	}
	if said == nil {
		said = &def
	}
	return copied(said)
}

// listed is the same for lists of names: those of all groups together.
func listed(own []string, of []Rights, get func(Rights) []string, def string) []string {
	if own != nil {
		return own
	}
	var out []string
	for _, g := range of {
		out = append(out, get(g)...)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	switch {
	case out == nil:
		return []string{def}
	case slices.Contains(out, All):
		return []string{All}
	case len(out) > 1:
		out = slices.DeleteFunc(out, func(s string) bool { return s == None })
	}
	return out
}
