package cell

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pic/api"
	"pic/core/config"
	"pic/core/event"
	"pic/core/service"
	"pic/core/users"
	"pic/dhcpsrv"
	"pic/dhcpsrv/ra"
	"pic/netstack"
	"pic/netstack/traffic"
)

func modeOf(d *config.Document) config.Mode { return d.Cell.Mode }

// A zone is the cell's domain and which names in it the document has taken.
type zone struct {
	Domain string
	Taken  []string // sorted
	Linked []string
}

func zoneOf(d *config.Document) zone {
	dom := d.Cell.Domain
	z := zone{Domain: dom, Taken: d.Hostnames()}
	for _, r := range d.DNS.Records {
		if name := strings.ToLower(strings.TrimSuffix(r.Name, ".")); name != "@" {
			z.Taken = append(z.Taken, name+"."+dom)
		}
	}
	for _, r := range d.DHCP.Reservations {
		z.Taken = append(z.Taken, r.Name+".lan."+dom, r.Name+"."+dom)
	}
	for _, p := range d.Peers {
		z.Taken = append(z.Taken, p.Name+".vpn."+dom)
	}
	z.Taken = append(z.Taken, "lan."+dom, "vpn."+dom, d.Cell.Name+"."+dom, "router."+dom, "gateway."+dom, "wpad."+dom)
	slices.Sort(z.Taken)
	z.Taken = slices.Compact(z.Taken)
	for _, l := range d.Links {
		z.Linked = append(z.Linked, l.Domain)
	}
	return z
}

func (c *Cell) setZone(z zone) error {
	c.names.SetZone(z.Domain, func(name string) bool {
		_, taken := slices.BinarySearch(z.Taken, name)
		return taken
	})
	c.names.SetLinked(z.Linked)
	return nil
}

// login checks credentials for the services of one scope.
func (c *Cell) login(scope users.Scope) func(ctx context.Context, login, secret string, from netip.Addr) (string, error) {
	return func(ctx context.Context, login, secret string, from netip.Addr) (string, error) {
		p, err := c.people.Authenticate(ctx, login, secret, scope, from)
		return p.Name, err
	}
}

// silent are the parts that no page lists unless something is wrong with them.
var silent = []string{"mode", "storage", "people", "names", "peers", "edge"}

// lookOut is what the host is like, and what the router knows of its provider.
func (c *Cell) lookOut() config.Env {
	env := c.Look()
	if own := c.router.Resolvers(); len(own) > 0 {
		env.Resolvers = nil
		for _, a := range own {
			env.Resolvers = append(env.Resolvers, netip.AddrPortFrom(a, 53))
		}
	}
	for _, p := range c.router.Prefixes() {
		env.Inside = append(env.Inside, p.Net)
	}
	return env
}

// line is what the router knows, for those who advertise it to the LAN.
func (c *Cell) line() ra.Line {
	var l ra.Line
	for _, p := range c.router.Prefixes() {
		l.Prefixes = append(l.Prefixes, ra.Prefix{Net: p.Net, Own: p.Own, Preferred: p.Preferred, Valid: p.Valid})
	}
	l.Uplink, l.MTU = c.router.Uplink6()
	return l
}

// counters are where the accounting of traffic gets its numbers.
func (c *Cell) counters() traffic.Sources {
	return traffic.Sources{
		Devices: func() (map[netip.Addr]traffic.Bytes, error) {
			all, err := c.net.Traffic()
			vpn := c.store.Resolved().WireGuard
			out := map[netip.Addr]traffic.Bytes{}
			for a, b := range all {
				if !vpn.Subnet.Contains(a) && !vpn.Subnet6.Contains(a) { // peers are counted by their keys
					out[a] = traffic.Bytes{Sent: b.Sent, Received: b.Received}
				}
			}
			return out, err
		},
		Peers: func() map[string]traffic.Bytes {
			out := map[string]traffic.Bytes{}
			for _, p := range c.net.Peers() {
				out[p.PublicKey] = traffic.Bytes{Sent: p.RxBytes, Received: p.TxBytes} // of the peer
			}
			return out
		},
		WAN: traffic.Card, MACs: netstack.Neighbours,
	}
}

// units is what the API sees of the group: the services, without the parts that
// only keep others in step.
type units struct{ group *service.Group }

func (u units) Status() []service.Status {
	return slices.DeleteFunc(u.group.Status(), func(s service.Status) bool {
		return slices.Contains(silent, s.Name) && len(s.Problems) == 0
	})
}

// Restart ends the unit and starts it anew. It returns once it runs.
func (u units) Restart(ctx context.Context, name string) error {
	asked := time.Now()
	if err := u.group.Restart(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, s := range u.group.Status() {
			if s.Name == name && s.Began.After(asked) && (s.State == service.Running || s.State == service.Off) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not run again yet; its problems are on the Services page", name)
		case <-tick.C:
		}
	}
}

// noteUnit tells the timeline of units that fall and come back.
func (c *Cell) noteUnit(unit string, s service.State, err error) {
	switch {
	case s == service.Failing:
		c.events.Append(event.Event{Kind: "unit.failed", Severity: event.Error, Unit: unit, Text: unit + " stopped working: " + err.Error()})
	case s == service.Running && err == nil:
		c.events.Append(event.Event{Kind: "unit.started", Severity: event.Info, Unit: unit, Text: unit + " runs"})
	}
}

// noteLease tells the timeline of devices that came.
func (c *Cell) noteLease(l dhcpsrv.Lease) {
	name := l.Name
	if name == "" {
		name = l.MAC
	}
	c.events.Append(event.Event{
		Kind: "lease.given", Severity: event.Info, Unit: "dhcp", Subject: l.Address.String(), Text: name + " has " + l.Address.String(),
	})
}

// noteChange tells the timeline of changes of the document.
func (c *Cell) noteChange(r config.Revision) {
	var texts []string
	for _, d := range r.Diff {
		texts = append(texts, d.Text)
	}
	if len(texts) > 3 {
		texts = append(texts[:3], fmt.Sprintf("and %d more", len(texts)-3))
	}
	text := strings.Join(texts, "; ")
	if r.Reason != "" {
		text = r.Reason + ": " + text
	}
	c.events.Append(event.Event{
		Kind: "change.applied", Severity: event.Info, Actor: r.Actor, Subject: fmt.Sprint(r.Number), Text: text,
		Attrs: map[string]string{"revision": fmt.Sprint(r.Number)},
	})
}

// serveSocket answers the command line at run/api.sock until it is closed.
func (c *Cell) serveSocket(h http.Handler) (*http.Server, error) {
	l, err := api.ListenSocket(c.dir.at("run", "api.sock"))
	if err != nil {
		return nil, err
	}
	s := api.NewServer(h)
	go s.Serve(l) // ends with Close
	return s, nil
}

// OpenAPI describes the REST API; see [api.Spec].
func OpenAPI() ([]byte, error) { return api.Spec() }
