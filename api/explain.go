package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack/handout"
	"pic/netstack/policy"
)

type explainInput struct {
	From     string `query:"from" required:"true" minLength:"1" maxLength:"254" example:"laptop" doc:"A device's name, a host name or an address"`
	To       string `query:"to" required:"true" minLength:"1" maxLength:"254" example:"www.example.org" doc:"The same, or cell"`
	Protocol string `query:"protocol" enum:"tcp,udp,icmp" default:"tcp"`
	Port     int    `query:"port" minimum:"0" maximum:"65535" default:"443"`
}

// explain follows a connection through all who have a say in it. Each answers for
// itself, from what is in force: nothing here decides anew.
func (a *API) explain(ctx context.Context, in *explainInput) (*body[wire.Explanation], error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	e := explaining{api: a, doc: a.Store.Resolved(), in: *in, out: wire.Explanation{Allow: true, Steps: []wire.ExplainStep{}}}
	if !config.On(e.doc.WireGuard.Enabled) {
		return nil, fail(http.StatusConflict, "refused", "the VPN is off, and with it the policy; switch wireguard.enabled on")
	}
	if err := e.run(ctx); err != nil {
		return nil, err
	}
	return &body[wire.Explanation]{e.out}, nil
}

// An explaining is one question on its way.
type explaining struct {
	api *API
	doc *config.Document
	in  explainInput
	out wire.Explanation
}

// say adds a step. The first that stands in the way is the verdict.
func (e *explaining) say(what string, ok bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	e.out.Steps = append(e.out.Steps, wire.ExplainStep{What: what, OK: ok, Text: text})
	if !ok && e.out.Allow {
		e.out.Allow, e.out.Text = false, text
	}
}

func (e *explaining) run(ctx context.Context) error {
	from, p := e.party(e.in.From, "from")
	if from == nil {
		if from = e.lookup(ctx, e.in.From, netip.Addr{}); from == nil {
			return wrong("from", "is neither a device, an address nor a name that DNS knows")
		}
	}
	to, dest := e.party(e.in.To, "to")
	if to == nil {
		if to = e.lookup(ctx, e.in.To, from[0]); to == nil {
			if e.out.Allow {
				return wrong("to", "is neither a device, an address nor a name that DNS knows")
			}
			return nil // DNS has the last word
		}
	}
	src, dst, ok := pair(from, to)
	if !ok {
		e.say("way", false, "one side has IPv4 addresses only and the other IPv6 ones only, so they have no way to each other")
		return nil
	}
	e.out.From, e.out.To = src, dst
	if p != nil {
		e.device(p, dst)
	}
	flow := policy.Flow{Src: src, Dst: dst, Proto: map[string]uint8{"tcp": policy.TCP, "udp": policy.UDP, "icmp": policy.ICMP}[e.in.Protocol], Port: uint16(e.in.Port)}
	if flow.Proto == policy.ICMP {
		flow.Port = 0
		if dst.Is6() {
			flow.Proto = policy.ICMPv6
		}
	}
	pol := e.api.Network.Policy()
	if pol == nil {
		return fail(http.StatusConflict, "refused", "no policy is in force yet; see the problems of wireguard on the page Services")
	}
	v, remarks := e.api.Network.Explain(flow)
	for _, r := range remarks {
		e.say("route", r.OK, "%s", r.Text)
	}
	e.say("policy", v.Allow, "%s", v.Why)
	e.firewall(v)
	e.way(pol, flow, v)
	e.answer(flow, v, dest)
	if e.out.Allow {
		e.out.Text = fmt.Sprintf("%s reaches %s", e.in.From, e.in.To)
		if flow.Port != 0 {
			e.out.Text += fmt.Sprintf(" on %s port %d", strings.ToUpper(e.in.Protocol), flow.Port)
		}
	}
	return nil
}

// party finds an end of the connection that the cell knows by itself.
func (e *explaining) party(name, end string) (addrs []netip.Addr, p *config.Peer) {
	d := e.doc
	four, six := d.WireGuard.VPN()
	if name == "cell" || name == d.Cell.Name {
		e.say(end, true, "%s is the cell itself", name)
		return some(four, six), nil
	}
	addr, err := netip.ParseAddr(name)
	addr = addr.Unmap()
	for i := range d.Peers {
		q := &d.Peers[i]
		if q.Name != name && (err != nil || q.Address != addr && q.Address6 != addr) {
			continue
		}
		text := fmt.Sprintf("%s is the device %s of the VPN, %s", name, q.Name, q.Address)
		if q.Owner != "" {
			text += ", of " + q.Owner
		}
		e.say(end, true, "%s", text)
		if err == nil {
			return some(addr), q
		}
		return some(q.Address, q.Address6), q
	}
	for _, l := range e.api.DHCP.Leases() {
		if l.Name == name && name != "" || err == nil && l.Address == addr {
			e.say(end, true, "%s is %s in the LAN, by its lease (%s)", name, l.Address, l.MAC)
			return some(l.Address), nil
		}
	}
	if err != nil {
		return nil, nil
	}
	e.say(end, true, "%s is an address that belongs to no device of the VPN and no lease", name)
	return some(addr), nil
}

func some(addrs ...netip.Addr) []netip.Addr {
	return slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() })
}

// lookup asks the cell's DNS as the device would be answered.
func (e *explaining) lookup(ctx context.Context, name string, asker netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, typ := range []string{"A", "AAAA"} {
		r, err := e.api.DNS.Lookup(ctx, name, typ, asker)
		if err != nil {
			return nil
		}
		if r.Verdict == "blocked" {
			e.say("name", false, "DNS does not tell %s to it: %s", name, plainly(r.Reason, r.List))
			return nil
		}
		for _, line := range r.Answer {
			if rec, ok := parseRecord(line); ok && (rec.Type == "A" || rec.Type == "AAAA") {
				if a, err := netip.ParseAddr(rec.Value); err == nil {
					out = append(out, a)
				}
			}
		}
	}
	if out != nil {
		var words []string
		for _, a := range out[:min(4, len(out))] {
			words = append(words, a.String())
		}
		e.say("name", true, "DNS says that %s is %s", name, join(words))
	}
	return out
}

func plainly(reason, list string) string {
	if reason == "" {
		reason = "it is blocked"
	}
	if list != "" {
		reason += " (" + list + ")"
	}
	return reason
}

// pair picks addresses of one family, of IPv4 where both have it.
func pair(from, to []netip.Addr) (src, dst netip.Addr, ok bool) {
	for _, four := range []bool{true, false} {
		is := func(a netip.Addr) bool { return a.Is4() == four }
		i, j := slices.IndexFunc(from, is), slices.IndexFunc(to, is)
		if i >= 0 && j >= 0 {
			return from[i], to[j], true
		}
	}
	return src, dst, false
}

// device says whether the device itself is in, and whether it sends this into the
// tunnel at all.
func (e *explaining) device(p *config.Peer, dst netip.Addr) {
	c := e.api.Store.Current().Peer(p.Name)
	switch {
	case c != nil && c.Disabled:
		e.say("device", false, "%s is switched off, so it is not in the VPN", p.Name)
		return
	case p.Disabled:
		e.say("device", false, "the time of %s was over on %s, so it is not in the VPN", p.Name, p.Expires.Local().Format("2 Jan 2006 15:04"))
		return
	}
	if m := e.api.moment(p, e.api.live()[p.PublicKey]); m.Connected {
		e.say("device", true, "%s is connected, from %s", p.Name, m.Endpoint)
	} else {
		e.say("device", true, "%s is not connected now; this is what holds when it is", p.Name)
	}
	h, _, given := e.api.Book.Given(p.PublicKey)
	if !given {
		var err error
		if h, err = handout.Of(e.doc, p.Name, ""); err != nil {
			return
		}
	}
	i := slices.IndexFunc(h.Networks, func(n netip.Prefix) bool { return n.Contains(dst) })
	if i < 0 {
		e.say("device", false, "%s does not send this into the tunnel: its file names only the cell's networks, and the rest goes its usual way", p.Name)
		return
	}
	e.say("device", true, "%s sends this into the tunnel: its file has %s in AllowedIPs", p.Name, h.Networks[i])
}

// firewall tells of other filters that the packet meets on this host.
func (e *explaining) firewall(v policy.Verdict) {
	if v.Way == policy.ToCell {
		return
	}
	if e.doc.Cell.Mode == config.Trial {
		e.say("firewall", true, "the cell runs without privileges: its own stack decides, and no packet filter of the host")
		return
	}
	for _, u := range e.api.Units.Status() {
		for _, p := range u.Problems {
			if p.Code == "firewall/others-drop" {
				e.say("firewall", false, "another firewall on this host may drop it: %s", p.Text)
				return
			}
		}
	}
	e.say("firewall", true, "no other firewall on this host stands in the way")
}

// way says by where it leaves.
func (e *explaining) way(pol *policy.Policy, f policy.Flow, v policy.Verdict) {
	if !v.Allow {
		return
	}
	if fw, ok := pol.Forward(f); ok {
		e.say("way", true, "the port forward %s leads it to %s port %d", fw.Name, fw.To, fw.ToPort+f.Port-fw.First)
		return
	}
	nat := strings.Join(e.api.Network.NAT(), "; ")
	switch v.Way {
	case policy.ToWAN:
		text := "it leaves by " + e.doc.Cell.Name + "'s own line"
		if e.doc.Cell.Mode == config.Trial {
			text += ", through sockets of the cell, with the address of this host (TCP and UDP only)"
		} else if nat != "" {
			text += "; " + nat
		}
		e.say("way", true, "%s", text)
	case policy.ToExit:
		e.say("way", true, "it leaves by the exit %s", v.Name)
	case policy.ToLAN:
		e.say("way", true, "it goes into the LAN")
	case policy.ToLink:
		e.say("way", true, "it goes to the cell %s through the tunnel", v.Name)
	case policy.ToPeer:
		e.say("way", true, "it goes to %s through the tunnel", v.Name)
	}
}

// answer says who is there to answer.
func (e *explaining) answer(f policy.Flow, v policy.Verdict, dest *config.Peer) {
	switch {
	case !v.Allow:
	case dest != nil && dest.Disabled:
		e.say("answer", false, "%s is shut out, so nobody answers", dest.Name)
	case dest != nil && !e.api.moment(dest, e.api.live()[dest.PublicKey]).Connected:
		e.say("answer", false, "%s is not connected now, so nobody answers", dest.Name)
	case v.Way == policy.ToCell && f.Port != 0:
		for _, o := range config.Offers(e.doc) {
			if slices.Contains(o.Ports, config.OfferPort{Protocol: e.in.Protocol, Port: f.Port}) {
				e.say("answer", true, "the port is that of the service %s of the cell", o.Name)
				return
			}
		}
		e.say("answer", true, "the cell offers no service on that port, so it answers only if another program of the host does")
	}
}
