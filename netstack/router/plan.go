package router

import (
	"cmp"
	"net/netip"
	"strings"
	"time"

	"pic/internal/order"
	"pic/netstack/router/dhcp4"
	"pic/netstack/router/dhcp6"
)

// A plan is how the host's network is to be. It is plain data.
type plan struct {
	bridge   string   // to be made
	ports    []string // of it
	up       []string
	settings []setting // in the order of change
	mtus     []mtu
	addrs    []address
	routes   []route
}

type setting struct {
	Path  string `json:"path"` // below /proc/sys/net
	Value string `json:"value"`
	Set   string `json:"set,omitempty"` // of the record: what we made of it
}

type mtu struct {
	Card string `json:"card"`
	MTU  int    `json:"mtu"`
}

// An address is one that a card is to have. Zero times are without end.
type address struct {
	Card      string       `json:"card"`
	Net       netip.Prefix `json:"net"`
	preferred time.Time
	valid     time.Time
	sure      bool // nobody else can have it, so the kernel need not look
}

type route struct {
	to          netip.Prefix
	via         netip.Addr // not valid: on the link
	card        string     // empty: unreachable
	src         netip.Addr
	metric      int
	unreachable bool
}

// Metrics of our routes. The default one is better than what NetworkManager and
// systemd-networkd give, so that theirs, on other cards, do not win by accident.
const (
	metric            = 20
	metricUnreachable = 1 << 30
)

// plan says how the host is to be. It is pure.
func (c Config) plan(four *dhcp4.Lease, six *dhcp6.Lease, now time.Time) plan {
	p := plan{up: []string{c.WAN.Name, c.LAN.Name}}
	if len(c.LAN.Bridge) > 0 {
		p.bridge, p.ports = c.LAN.Name, c.LAN.Bridge
		p.up = append(p.up, c.LAN.Bridge...)
	}
	accept := "2" // although we forward
	if c.WAN.Address6.IsValid() {
		accept = "0"
	}
	// accept_ra comes before forwarding, or the kernel drops the routes that it
	// has from advertisements.
	wan, lan := "ipv6/conf/"+sysName(c.WAN.Name), "ipv6/conf/"+sysName(c.LAN.Name)
	p.set(wan+"/accept_ra", accept)
	p.set(lan+"/accept_ra", "0")
	p.set(wan+"/accept_ra_rt_info_max_plen", "0") // no ways but the default one
	p.set("ipv4/ip_forward", "1")
	p.set("ipv6/conf/all/forwarding", "1")
	for _, a := range []netip.Prefix{c.LAN.Address, c.LAN.Address6} {
		if a.IsValid() {
			p.addrs = append(p.addrs, address{Card: c.LAN.Name, Net: a, sure: true})
		}
	}
	if c.WAN.DHCP {
		p.lease(c, four, now)
	} else {
		p.static(c.WAN)
	}
	p.delegated(c, six, now)
	order.By(p.routes, func(a, b route) int { // on-link ones first: others go by them
		return cmp.Or(b.to.Bits()-a.to.Bits(), a.to.Addr().Compare(b.to.Addr()))
	})
	return p
}

func (p *plan) set(path, value string) {
	p.settings = append(p.settings, setting{Path: path, Value: value})
}

func (p *plan) static(w WAN) {
	for _, f := range []struct {
		net netip.Prefix
		via netip.Addr
		all netip.Prefix
	}{
		{w.Address, w.Gateway, netip.PrefixFrom(netip.IPv4Unspecified(), 0)},
		{w.Address6, w.Gateway6, netip.PrefixFrom(netip.IPv6Unspecified(), 0)},
	} {
		if !f.net.IsValid() {
			continue
		}
		p.addrs = append(p.addrs, address{Card: w.Name, Net: f.net})
		if f.via.IsValid() {
			p.way(w.Name, f.net, f.all, f.via)
		}
	}
}

// lease is what the provider gave, as far as it does not claim a home.
func (p *plan) lease(c Config, l *dhcp4.Lease, now time.Time) {
	card := c.WAN.Name
	if l = c.usable(l); l == nil || !now.Before(l.Until) {
		return
	}
	p.addrs = append(p.addrs, address{Card: card, Net: l.Address, preferred: l.Until, valid: l.Until})
	if l.MTU > 0 {
		p.mtus = append(p.mtus, mtu{card, l.MTU})
	}
	good, _ := c.ways(l)
	for _, w := range good {
		p.way(card, l.Address, w.To, w.Via)
	}
}

// way adds a route. A gateway that is not in the address's network, as with
// addresses that are alone in theirs, is on the link all the same.
func (p *plan) way(card string, own, to netip.Prefix, via netip.Addr) {
	if to == own.Masked() {
		return // the kernel has it from the address
	}
	var src netip.Addr // IPv6 chooses by rules of its own
	if own.Addr().Is4() {
		src = own.Addr()
	}
	if via.IsValid() && !own.Contains(via) && !via.IsLinkLocalUnicast() {
		p.routes = append(p.routes, route{to: netip.PrefixFrom(via, via.BitLen()), card: card, src: src, metric: metric})
	}
	p.routes = append(p.routes, route{to: to, via: via, card: card, src: src, metric: metric})
}

// delegated gives the LAN its part of each prefix.
func (p *plan) delegated(c Config, l *dhcp6.Lease, now time.Time) {
	if l == nil {
		return
	}
	for _, a := range l.Addresses {
		if now.Before(a.Valid) && c.claimed(single(a.Addr)) == nil {
			p.addrs = append(p.addrs, address{Card: c.WAN.Name, Net: netip.PrefixFrom(a.Addr, 128), preferred: a.Preferred, valid: a.Valid})
		}
	}
	for _, d := range l.Prefixes {
		lan, ok := forLAN(d.Net)
		if !ok || !now.Before(d.Valid) || !c.takes(d.Net) {
			continue
		}
		p.addrs = append(p.addrs, address{
			Card: c.LAN.Name, Net: netip.PrefixFrom(lan.Addr().Next(), lan.Bits()), preferred: d.Preferred, valid: d.Valid, sure: true,
		})
		p.routes = append(p.routes, route{to: d.Net, metric: metricUnreachable, unreachable: true})
	}
}

// forLAN is the first /64 of a delegated prefix, if it has one.
func forLAN(p netip.Prefix) (netip.Prefix, bool) {
	if !p.IsValid() || p.Bits() > 64 {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(p.Masked().Addr(), 64), true
}

// sysName is a card's name as a folder of /proc/sys.
func sysName(card string) string { return strings.ReplaceAll(card, "/", "_") }
