package netstack

import (
	"fmt"
	"net/netip"
	"slices"

	"pic/core/config"
	"pic/netstack/exit"
	"pic/netstack/policy"
	"pic/netstack/wgdev"
)

// A Mode is the ground that the tunnel stands on.
type Mode string

const (
	Off       Mode = ""
	TUN       Mode = "tun"       // an interface of the host
	UserSpace Mode = "userspace" // a TCP/IP stack within the process
)

// Config is what the server needs to know. [From] derives it.
type Config struct {
	Mode      Mode
	Own       bool          // nothing is filtered, and a table of an earlier run is to go
	Key       config.Secret // the cell's private key; without it nothing is served
	PublicKey string        // of Key, in base64; empty: not known
	Port      uint16        // UDP
	Addresses []netip.Prefix
	MTU       int
	Interface string // in TUN mode
	Backend   wgdev.Backend
	WAN       string // where the internet is; empty: wherever the kernel routes it
	LAN       string // where the LAN is; may be the same as WAN
	LANNets   []netip.Prefix
	Peers     []Peer
	Links     []Link
	Exits     []exit.Exit
	Rules     policy.Rules // of the document; the host adds to them
	Filter    Filter
}

// A Peer is a device that may use the tunnel.
type Peer struct {
	Name      string
	PublicKey string // base64
	Preshared config.Secret
	Addrs     []netip.Addr   // none: keys that a peer is to change to, which reach nothing yet
	Site      []netip.Prefix // networks behind it
	Internet  bool           // may reach what is beyond the LAN
	LAN       bool           // may reach the LAN
	Fallback  bool           // goes out by the cell while its exit is down
}

// From picks the server's Config out of the resolved document. Peers that are
// disabled are not in it.
func From(d *config.Document) Config {
	w := &d.WireGuard
	if !config.On(w.Enabled) {
		if !config.On(d.Network.Router) {
			return Config{Own: d.Cell.Mode == config.Appliance}
		}
		c := Config{Interface: w.Interface, WAN: d.Network.WAN.Name, LAN: d.Network.LAN.Name, Rules: rulesOf(d), Filter: filterOf(d)}
		c.Rules.Peers, c.Rules.Links = nil, nil // nobody reaches them
		return c
	}
	c := Config{
		Mode: TUN, Rules: rulesOf(d), Filter: filterOf(d), Key: w.Key, PublicKey: w.PublicKey, Port: w.Port, MTU: w.MTU, Interface: w.Interface,
		Backend: wgdev.Backend(w.Backend),
		WAN:     d.Network.WAN.Name, LAN: d.Network.LAN.Name,
	}
	if d.Cell.Mode == config.Trial {
		c.Mode = UserSpace
	}
	four, six := w.VPN()
	for _, a := range []struct {
		addr netip.Addr
		net  netip.Prefix
	}{{four, w.Subnet}, {six, w.Subnet6}} {
		if a.addr.IsValid() {
			c.Addresses = append(c.Addresses, netip.PrefixFrom(a.addr, a.net.Bits()))
		}
	}
	if lan := d.Network.LAN.Address; lan.IsValid() {
		c.LANNets = append(c.LANNets, lan.Masked())
	}
	for i := range d.Peers {
		p := &d.Peers[i]
		if p.Disabled {
			continue
		}
		peer := Peer{
			Name: p.Name, PublicKey: p.PublicKey, Preshared: p.Preshared,
			Internet: config.On(p.Internet), LAN: config.On(p.LAN), Site: p.Site, Fallback: config.On(p.Fallback),
		}
		for _, a := range []netip.Addr{p.Address, p.Address6} {
			if a.IsValid() {
				peer.Addrs = append(peer.Addrs, a)
			}
		}
		c.Peers = append(c.Peers, peer)
		if p.Next.PublicKey != "" {
			c.Peers = append(c.Peers, Peer{Name: p.Name, PublicKey: p.Next.PublicKey, Preshared: p.Next.Preshared})
		}
	}
	c.Links, c.Exits = linksOf(d), exit.From(d)
	return c
}

// check finds what could not work, whatever the host.
func (c Config) check() error {
	if err := c.checkForwards(); err != nil {
		return err
	}
	if c.Mode == Off {
		return nil
	}
	if len(c.Addresses) == 0 {
		return fmt.Errorf("wireguard.subnet: the VPN has no addresses")
	}
	if err := c.checkExits(); err != nil {
		return err
	}
	if c.MTU < 1280 || c.MTU > 65000 {
		return fmt.Errorf("wireguard.mtu: %d is not between 1280 and 65000", c.MTU)
	}
	if c.Mode == TUN && !validInterface(c.Interface) {
		return fmt.Errorf("wireguard.interface: %q is not a name for an interface (1 to 15 of a-z, 0-9, - and _)", c.Interface)
	}
	owner := map[netip.Addr]string{}
	for _, a := range c.Addresses {
		owner[a.Addr()] = "the cell"
	}
	for _, p := range c.Peers {
		for _, a := range p.Addrs {
			if o := owner[a]; o != "" {
				return fmt.Errorf("peer %s: %s has the address %s already", p.Name, o, a)
			}
			owner[a] = "peer " + p.Name
		}
	}
	return nil
}

func validInterface(name string) bool {
	if name == "" || len(name) > 15 {
		return false
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		default:
			return false
		}
	}
	return true
}

// routes reports whether the kernel has to forward. It has to even for peers
// without any right, or they would wait for answers instead of being refused.
func (c Config) routes() bool {
	return len(c.Peers) > 0 || len(c.Links) > 0 || c.Rules.Router || len(c.Rules.Forwards) > 0
}

func (c Config) has6() bool {
	return slices.ContainsFunc(c.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() })
}
