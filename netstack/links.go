package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/core/config"
	"pic/netstack/exit"
	"pic/netstack/policy"
	"pic/netstack/wgdev"
)

// A Link is another cell, which is a peer with its networks behind it.
type Link struct {
	Name      string
	PublicKey string
	Preshared config.Secret
	Endpoints []string // called in turn until one answers
	Subnets   []netip.Prefix
	Keepalive int  // seconds
	Exit      bool // the internet is behind it too
}

func linksOf(d *config.Document) []Link {
	var out []Link
	for _, l := range d.Links {
		if l.Disabled {
			continue
		}
		out = append(out, Link{
			Name: l.Name, PublicKey: l.PublicKey, Preshared: l.Preshared, Endpoints: l.Endpoints, Subnets: l.Subnets, Keepalive: l.Keepalive,
			Exit: slices.ContainsFunc(d.Network.Exits, func(e config.Exit) bool { return e.Link == l.Name && !e.Disabled }),
		})
	}
	return out
}

// checkExits finds exits that could not work.
func (c Config) checkExits() error {
	if len(c.Exits) > 0 && c.Mode == UserSpace {
		return &config.FieldError{Path: "network.exits", Problem: "a trial cell has no exits, for they need interfaces and routes of the host; " +
			"disable them, or run the cell in appliance mode"}
	}
	var link string
	for _, e := range c.Exits {
		if e.Link == "" {
			continue
		}
		// What goes into the tunnel finds its peer by where it goes, so the internet
		// can be behind one only.
		if link != "" {
			return &config.FieldError{Path: "network.exits." + e.Name, Problem: "only one linked cell at a time can be an exit, and " + link +
				" is; exits by providers may be many"}
		}
		link = e.Name
	}
	return nil
}

var internet = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}

// addLinks adds the linked cells to the peers of the device.
func (s *Server) addLinks(c Config, d *wgdev.Config) error {
	for _, l := range c.Links {
		pub, err := parseKey(l.PublicKey)
		if err != nil {
			return fmt.Errorf("linked cell %s: public key: %w", l.Name, err)
		}
		if _, twice := d.Peers[pub]; twice {
			return fmt.Errorf("linked cell %s: a peer or another cell has the same public key", l.Name)
		}
		w := wgdev.Peer{Allowed: slices.Clone(l.Subnets), Keepalive: time.Duration(l.Keepalive) * time.Second}
		if l.Exit {
			w.Allowed = append(w.Allowed, internet...)
		}
		if l.Preshared != "" {
			if w.Preshared, err = s.secretKey(l.Preshared); err != nil {
				return fmt.Errorf("linked cell %s: preshared key: %w", l.Name, err)
			}
		}
		if n := len(l.Endpoints); n > 0 {
			w.Endpoint = withPort(l.Endpoints[s.turns[l.Name].at%n])
		}
		d.Peers[pub] = w
	}
	return nil
}

// withPort is the endpoint with WireGuard's usual port where it has none.
func withPort(endpoint string) string {
	if a, err := netip.ParseAddr(endpoint); err == nil {
		return netip.AddrPortFrom(a, usualPort).String()
	}
	if _, _, err := net.SplitHostPort(endpoint); err != nil {
		return fmt.Sprintf("%s:%d", endpoint, usualPort)
	}
	return endpoint
}

const usualPort = 51820

// A turn is which endpoint of a link is called, and since when.
type turn struct {
	at    int
	since time.Time
}

const (
	turnAfter = 15 * time.Second // without an answer
	sessions  = 3 * time.Minute  // for so long a handshake is good
)

// turn calls the next endpoint of links that do not answer.
func (s *Server) turn(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tunnel.Load()
	if t == nil || s.conf.Mode == Off {
		return
	}
	turned := false
	for _, l := range s.conf.Links {
		if len(l.Endpoints) < 2 {
			continue
		}
		w := s.turns[l.Name]
		if st, ok := s.linkState(l.PublicKey); w.since.IsZero() || ok && now.Sub(st.Handshake) < sessions {
			w.since = now
		} else if now.Sub(w.since) > turnAfter {
			w, turned = turn{(w.at + 1) % len(l.Endpoints), now}, true
			s.log.Debug("calling another endpoint", "peer", l.Name, "addr", l.Endpoints[w.at])
		}
		s.turns[l.Name] = w
	}
	if !turned {
		return
	}
	want, err := s.desire(s.conf)
	if err == nil {
		err = t.dev.Set(want)
	}
	if err != nil {
		s.log.Warn("linked cells are not called", "err", err)
	}
}

// linkState is what the tunnel knows of a linked cell.
func (s *Server) linkState(public string) (wgdev.PeerState, bool) {
	t := s.tunnel.Load()
	k, err := parseKey(public)
	if t == nil || err != nil {
		return wgdev.PeerState{}, false
	}
	st, err := t.dev.State()
	if err != nil {
		return wgdev.PeerState{}, false
	}
	p, ok := st.Peers[k]
	return p, ok
}

// Links returns how the linked cells are doing, in the order of the document.
func (s *Server) Links() []PeerStatus {
	s.mu.Lock()
	links := s.conf.Links
	s.mu.Unlock()
	out := make([]PeerStatus, 0, len(links))
	for _, l := range links {
		st := PeerStatus{Name: l.Name, PublicKey: l.PublicKey}
		if w, ok := s.linkState(l.PublicKey); ok {
			st.Endpoint, st.LastHandshake, st.RxBytes, st.TxBytes = w.Endpoint, w.Handshake, w.Rx, w.Tx
		}
		out = append(out, st)
	}
	return out
}

// routeProtocol marks our routes into the tunnel.
const routeProtocol = 113

// toLinks has the kernel route what is behind linked cells and peers into the
// tunnel.
func (s *Server) toLinks(ground Mode, c Config) error {
	if ground != TUN {
		return nil // routes go with the interface
	}
	card, err := netlink.LinkByName(c.Interface)
	if err != nil {
		return fmt.Errorf("interface %s: %w", c.Interface, err)
	}
	var want []netip.Prefix
	for _, l := range c.Links {
		want = append(want, l.Subnets...)
		if l.Exit { // its answers come from all of the internet
			if err := os.WriteFile(sysNet+"ipv4/conf/"+c.Interface+"/rp_filter", []byte("2"), 0o644); err != nil {
				return fmt.Errorf("letting answers of %s in: %w", l.Name, err)
			}
		}
	}
	for _, p := range c.Peers {
		want = append(want, p.Site...)
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if family == netlink.FAMILY_V6 && !wgdev.HasIPv6() {
			continue
		}
		have, err := netlink.RouteListFiltered(family, &netlink.Route{LinkIndex: card.Attrs().Index, Protocol: routeProtocol},
			netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			return fmt.Errorf("routes by %s: %w", c.Interface, err)
		}
		for _, n := range want {
			if n.Addr().Is4() != (family == netlink.FAMILY_V4) || slices.ContainsFunc(have, func(r netlink.Route) bool { return wgdev.Prefix(r.Dst) == n.Masked() }) {
				continue
			}
			r := netlink.Route{LinkIndex: card.Attrs().Index, Dst: wgdev.IPNet(n.Masked()), Protocol: routeProtocol, Family: family}
			if family == netlink.FAMILY_V4 {
				r.Scope = netlink.SCOPE_LINK
			}
			if err := netlink.RouteAdd(&r); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("route to %s by %s: %w", n, c.Interface, err)
			}
		}
		for _, r := range have {
			if slices.ContainsFunc(want, func(n netip.Prefix) bool { return wgdev.Prefix(r.Dst) == n.Masked() }) {
				continue
			}
			if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("old route to %s: %w", r.Dst, err)
			}
		}
	}
	return nil
}

// downOf lists the exits that do not answer now.
func (s *Server) downOf(all []exit.Exit) []string {
	var out []string
	for _, e := range all {
		if !s.exits.Up(e.Name) {
			out = append(out, e.Name)
		}
	}
	return out
}

// fallen are the peers of the policy while exits are down: those that may go by
// the cell then, do.
func (c Config) fallen(down []string) []policy.Peer {
	if len(down) == 0 {
		return c.Rules.Peers
	}
	may := map[string]bool{}
	for _, p := range c.Peers {
		may[p.Name] = may[p.Name] || p.Fallback
	}
	out := slices.Clone(c.Rules.Peers)
	for i := range out {
		if slices.Contains(down, out[i].Exit) && may[out[i].Name] {
			out[i].Exit = ""
		}
	}
	return out
}

// tellAfter is how long an exit may be down before it is a problem.
const tellAfter = time.Minute

// tellExits makes a problem of exits that are down.
func (s *Server) tellExits(now time.Time) {
	var texts []string
	for _, e := range s.exits.Status() {
		switch {
		case e.Up:
		case e.Trouble != "":
			texts = append(texts, e.Name+": "+e.Trouble+".")
		case !e.Since.IsZero() && now.Sub(e.Since) > tellAfter:
			texts = append(texts, e.Name+" does not answer.")
		}
	}
	if texts == nil {
		s.trouble.clear(codeExits)
		return
	}
	s.trouble.set(exitsDown(texts))
}

// Exits returns how the exits are doing, in the order of the document.
func (s *Server) Exits() []exit.Status { return s.exits.Status() }

// ExitUp reports whether an exit answers.
func (s *Server) ExitUp(name string) bool { return s.exits.Up(name) }

// DialExit connects to address, an IP address with port, by an exit and by no
// other way.
func (s *Server) DialExit(ctx context.Context, name, network, address string) (net.Conn, error) {
	return s.exits.Dial(ctx, name, network, address)
}
