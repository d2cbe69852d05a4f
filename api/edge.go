package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/netstack/ddns"
	"pic/netstack/edge"
	"pic/netstack/igd"
	"pic/netstack/wol"
)

// Edge is what stands around the cell.
type Edge interface {
	Upstream() igd.State
	Mappings() []igd.Mapping
	Names() []ddns.Status
}

func (a *API) edgeRoutes() {
	route(a, Viewers, "GET /api/edge", "The port at the router upstream, ports that devices opened, public names", a.edge)
	route(a, Viewers, "GET /api/wireguard/check", "Whether devices on the road find the cell, and why not", a.reach)
	route(a, Admins, "POST /api/wake", "Wake a device of the LAN up (Wake-on-LAN)", a.wake)
}

func (a *API) edge(context.Context, *struct{}) (*body[wire.Edge], error) {
	st := a.Edge.Upstream()
	out := wire.Edge{
		Upstream: wire.UpstreamPort{
			Asked: config.On(a.Store.Resolved().WireGuard.OpenPort), Method: string(st.Method), Gateway: st.Gateway, External: st.External,
			Until: st.Until, Shared: st.Shared(), Error: st.Error,
		},
		Mappings: []wire.PortMapped{}, Names: []wire.PublicName{},
	}
	for _, m := range a.Edge.Mappings() {
		w := wire.PortMapped{Protocol: "udp", Port: m.External, To: netip.AddrPortFrom(m.Client, m.Internal), Until: m.Until}
		if m.Protocol == igd.TCP {
			w.Protocol = "tcp"
		}
		out.Mappings = append(out.Mappings, w)
	}
	for _, n := range a.Edge.Names() {
		out.Names = append(out.Names, wire.PublicName{Name: n.Name, Four: n.Four, Six: n.Six, Updated: n.Updated, Stopped: n.Stopped, Error: n.Error})
	}
	return &body[wire.Edge]{out}, nil
}

// reach gathers what the self-test goes by.
func (a *API) reach(ctx context.Context, _ *struct{}) (*body[[]wire.ReachStep], error) {
	w := a.Store.Resolved().WireGuard
	e := edge.Evidence{Endpoint: w.Endpoint, Port: w.Port, Asked: config.On(w.OpenPort), Upstream: a.Edge.Upstream()}
	host, _, err := net.SplitHostPort(w.Endpoint)
	if err != nil {
		host = w.Endpoint
	}
	if host != "" {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		for _, x := range addrs {
			e.Resolved = append(e.Resolved, x.Unmap())
		}
		if err != nil {
			e.Failure = err.Error()
		}
	}
	for _, x := range a.Network.Addresses() {
		if ddns.Public(x) {
			e.Public = append(e.Public, x)
		}
	}
	if config.On(a.Store.Resolved().Network.Router) {
		if st := a.Router.Status(); st.WAN.Lease != nil {
			e.Line = st.WAN.Lease.Address.Addr()
		} else {
			e.Line = st.WAN.Address.Addr()
		}
	}
	e.Knock = a.knock(ctx, w, e.Resolved)
	for _, p := range a.Store.Resolved().Peers {
		k := a.Book.Known(p.PublicKey)
		if k.Endpoint.IsValid() && ddns.Public(k.Endpoint.Addr()) && k.Handshake.After(e.At) {
			e.Caller, e.From, e.At = p.Name, k.Endpoint.Addr(), k.Handshake
		}
	}
	out := []wire.ReachStep{}
	for _, s := range edge.Judge(e, time.Now()) {
		out = append(out, wire.ReachStep{Name: s.Name, Outcome: string(s.Outcome), Text: s.Text, Fix: s.Fix})
	}
	return &body[[]wire.ReachStep]{out}, nil
}

// knock tries to reach the endpoint from outside, by an exit.
func (a *API) knock(ctx context.Context, w config.WireGuard, resolved []netip.Addr) *edge.Knock {
	i := slices.IndexFunc(resolved, func(x netip.Addr) bool { return x.Is4() && ddns.Public(x) })
	if i < 0 {
		return nil
	}
	port := w.Port
	if _, text, err := net.SplitHostPort(w.Endpoint); err == nil {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil
		}
		port = uint16(n)
	}
	k, ok := a.Network.Knock(ctx, netip.AddrPortFrom(resolved[i], port))
	if !ok {
		return nil
	}
	return &edge.Knock{Exit: k.Exit, To: k.To, Port: k.Port}
}

type wakeInput struct {
	Body wire.Wake
}

// wake calls a device in all networks that the cell has with the LAN.
func (a *API) wake(ctx context.Context, in *wakeInput) (*body[wire.Woken], error) {
	text := in.Body.MAC
	if text == "" {
		text = a.macOf(in.Body.Name)
	}
	if text == "" {
		return nil, fail(http.StatusNotFound, "unknown-device", "the hardware address of that device is not known; give it as mac, or reserve an address for the device")
	}
	mac, err := net.ParseMAC(text)
	if err != nil {
		return nil, wrong("mac", "must be written as aa:bb:cc:dd:ee:ff")
	}
	doc := a.Store.Resolved()
	if doc.Cell.Mode == config.Trial {
		return nil, fail(http.StatusConflict, "trial", "a trial sends nothing into the LAN; set up the cell as an appliance")
	}
	nets := []netip.Prefix{doc.Network.LAN.Address}
	if !nets[0].IsValid() {
		return nil, fail(http.StatusConflict, "no-lan", "the cell knows no LAN; set network.lan.address")
	}
	if err := wol.Wake(ctx, mac, nets); err != nil {
		return nil, err
	}
	a.tell(ctx, "device.woken", mac.String(), mac.String()+" was called to wake up")
	return &body[wire.Woken]{wire.Woken{MAC: mac.String()}}, nil
}

// macOf finds the hardware address of a device by its name, or "".
func (a *API) macOf(name string) string {
	doc := a.Store.Resolved()
	name = strings.ToLower(name)
	if p := doc.Peer(name); p != nil && p.MAC != "" {
		return p.MAC
	}
	for _, r := range doc.DHCP.Reservations {
		if r.Name == name {
			return r.MAC
		}
	}
	for _, l := range a.DHCP.Leases() {
		if name != "" && strings.EqualFold(l.Name, name) {
			return l.MAC
		}
	}
	return ""
}
