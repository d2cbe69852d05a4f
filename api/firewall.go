package api

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack"
	"pic/netstack/fw"
	"pic/netstack/policy"
)

// Firewall is the packet filter. It is a part of [VPN].
type Firewall interface {
	// FirewallRules returns the rules in force with their counters.
	FirewallRules() ([]fw.Rule, error)
	// Policy is who may reach what, as it is in force; nil while nothing is.
	Policy() *policy.Policy
	// Bans returns what the cell itself has blocked.
	Bans() []netstack.Ban
	// Mappings returns the ports that devices opened for themselves.
	Mappings() []fw.Mapping
	// ForeignDrops lists what other firewalls of the host drop of ours.
	ForeignDrops() []fw.Drop
}

func (a *API) firewallRoutes() {
	route(a, Viewers, "GET /api/firewall", "Zones, rules with their counters, port forwards, blocked addresses", a.firewall)
	route(a, Admins, "POST /api/firewall/block", "Shut out an address or a network, in both directions", a.block)
	route(a, Admins, "DELETE /api/firewall/block", "Lift the block of an address or a network", a.unblock)
}

func (a *API) firewall(context.Context, *struct{}) (*body[wire.Firewall], error) {
	doc := a.Store.Resolved()
	rules, err := a.Network.FirewallRules()
	if err != nil {
		return nil, err
	}
	out := wire.Firewall{
		Router: config.On(doc.Network.Router), Zones: []wire.Zone{}, Rules: []wire.FirewallRule{}, Forwards: []wire.Forward{},
		Mappings: []wire.Mapping{}, Blocked: []wire.Blocked{}, Foreign: []wire.ForeignDrop{},
	}
	if len(rules) > 0 {
		out.Zones = zones(doc, a.Network.Policy())
	}
	hits := map[string]uint64{}
	for _, r := range rules {
		hits[r.Note] += r.Packets
		out.Rules = append(out.Rules, wire.FirewallRule{
			Chain: r.Chain, Handle: r.Handle, Name: r.Note, Text: r.Text, Packets: r.Packets, Bytes: r.Bytes,
		})
	}
	for _, f := range doc.Network.Forwards {
		out.Forwards = append(out.Forwards, wire.Forward{
			Name: f.Name, Protocol: f.Protocol, Port: f.Port, Last: f.Last, To: f.To, ToPort: f.ToPort,
			From: list(f.From), Disabled: f.Disabled, Packets: hits["forward "+f.Name],
		})
	}
	for _, m := range a.Network.Mappings() {
		protocol := "tcp"
		if m.Proto == policy.UDP {
			protocol = "udp"
		}
		out.Mappings = append(out.Mappings, wire.Mapping{Protocol: protocol, Port: m.Port, To: m.To, Until: m.Until})
	}
	now := time.Now()
	for _, b := range doc.Network.Blocked {
		if b.Until.IsZero() || now.Before(b.Until) {
			out.Blocked = append(out.Blocked, wire.Blocked{Net: b.Net, Reason: b.Reason, Until: b.Until})
		}
	}
	for _, b := range a.Network.Bans() {
		out.Blocked = append(out.Blocked, wire.Blocked{Net: b.Net, Reason: b.Reason, Until: b.Until, Own: true})
	}
	for _, d := range a.Network.ForeignDrops() {
		out.Foreign = append(out.Foreign, wire.ForeignDrop{Chain: d.Chain, What: d.What, Fix: d.Fix})
	}
	return &body[wire.Firewall]{out}, nil
}

// zones are the sides of the cell and what may be opened from them.
func zones(doc *config.Document, p *policy.Policy) []wire.Zone {
	if p == nil {
		return []wire.Zone{}
	}
	r, n := p.Rules(), &doc.Network
	wan, lan := "the host's own firewall decides; into the VPN nothing", "everything but devices in the VPN"
	if r.Router {
		wan = "open ports of the cell and port forwards"
		lan = "everything, the internet and linked cells included, but devices in the VPN"
	}
	return []wire.Zone{
		{Name: "wan", Interface: n.WAN.Name, Nets: []netip.Prefix{}, Connection: wan},
		{Name: "lan", Interface: n.LAN.Name, Nets: list(r.LAN), Connection: lan},
		{Name: "vpn", Interface: doc.WireGuard.Interface, Nets: list(r.VPN), Connection: "what each device's rights say"},
		{Name: "cell", Nets: []netip.Prefix{}, Connection: "everything"},
	}
}

type blockInput struct {
	Changing
	Body wire.NewBlock
}

// blockable reads an address or a network.
func blockable(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, wrong("network.blocked", fmt.Sprintf("%q is neither an address nor a network such as 203.0.113.0/24", s))
	}
	return p.Masked(), nil
}

func (a *API) block(ctx context.Context, in *blockInput) (*outcome, error) {
	n, err := blockable(in.Body.Net)
	if err != nil {
		return nil, err
	}
	if from := callerOf(ctx).from; n.Contains(from) {
		return nil, wrong("network.blocked", fmt.Sprintf("%s is where you are calling from", from))
	}
	now := time.Now()
	b := config.Block{Net: n, Reason: in.Body.Reason}
	if in.Body.Minutes > 0 {
		b.Until = now.Add(time.Duration(in.Body.Minutes) * time.Minute).UTC().Truncate(time.Second)
	}
	return a.edited(ctx, edit{Changing: in.Changing, reason: "block " + n.String(), do: func(d *config.Document) error {
		d.Network.Blocked = slices.DeleteFunc(d.Network.Blocked, func(o config.Block) bool {
			return o.Net.Masked() == n || !o.Until.IsZero() && !now.Before(o.Until)
		})
		d.Network.Blocked = append(d.Network.Blocked, b)
		return nil
	}})
}

type unblockInput struct {
	Changing
	Net string `query:"net" required:"true" maxLength:"49" doc:"As it was blocked"`
}

func (a *API) unblock(ctx context.Context, in *unblockInput) (*outcome, error) {
	n, err := blockable(in.Net)
	if err != nil {
		return nil, err
	}
	return a.edited(ctx, edit{Changing: in.Changing, reason: "unblock " + n.String(), do: func(d *config.Document) error {
		before := len(d.Network.Blocked)
		d.Network.Blocked = slices.DeleteFunc(d.Network.Blocked, func(o config.Block) bool { return o.Net.Masked() == n })
		if len(d.Network.Blocked) == before {
			return missing("block of " + n.String())
		}
		return nil
	}})
}
