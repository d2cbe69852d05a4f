package router

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"pic/core/service"
	"pic/netstack/router/dhcp4"
	"pic/netstack/router/dhcp6"
	"pic/netstack/shape"
)

// A Status is what is known of the router now.
type Status struct {
	On      bool
	WAN     WANStatus
	LAN     LANStatus
	Shaping shape.Status
}

// A WANStatus is the state of the line. Lease and Lease6 are nil without one.
type WANStatus struct {
	Interface  string
	DHCP       bool // else static
	Plugged    bool
	Address    netip.Prefix // IPv4
	Gateway    netip.Addr
	Addresses6 []netip.Prefix // as the kernel has them
	Gateway6   netip.Addr
	DNS        []netip.Addr // the provider's, of whatever source
	State      dhcp4.State
	Lease      *dhcp4.Lease
	State6     dhcp6.State
	Lease6     *dhcp6.Lease
}

// A LANStatus is the household's side.
type LANStatus struct {
	Interface string
	Bridge    []string
	Addresses []netip.Prefix
}

// Status returns the present state.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conf
	if !c.on() {
		return Status{}
	}
	st := Status{On: true, Shaping: s.shaper.Status()}
	w := &st.WAN
	w.Interface, w.DHCP, w.Lease, w.Lease6, w.DNS = c.WAN.Name, c.WAN.DHCP, s.four, s.six, s.resolvers()
	if c.WAN.DHCP {
		w.State = s.state4
	}
	if c.WAN.Delegation {
		w.State6 = s.state6
	}
	if l, err := linkNamed(c.WAN.Name); err == nil {
		w.Plugged = plugged(l)
		w.Addresses6 = globals(l, netlink.FAMILY_V6)
	}
	switch {
	case c.usable(s.four) != nil:
		w.Address = s.four.Address
		for _, r := range s.four.Ways() {
			if r.To.Bits() == 0 {
				w.Gateway = r.Via
			}
		}
	case !c.WAN.DHCP:
		w.Address, w.Gateway = c.WAN.Address, c.WAN.Gateway
	}
	w.Gateway6 = gateway6(c.WAN.Name)
	st.LAN = LANStatus{Interface: c.LAN.Name, Bridge: c.LAN.Bridge}
	if l, err := linkNamed(c.LAN.Name); err == nil {
		st.LAN.Addresses = append(globals(l, netlink.FAMILY_V4), globals(l, netlink.FAMILY_V6)...)
	}
	return st
}

// Resolvers are the provider's DNS servers, none where it named none.
func (s *Server) Resolvers() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resolvers()
}

func (s *Server) resolvers() []netip.Addr {
	var out []netip.Addr
	if s.four != nil {
		out = append(out, s.four.DNS...)
	}
	if s.six != nil {
		out = append(out, s.six.DNS...)
	}
	out = append(out, s.ra.dns(time.Now())...)
	seen := map[netip.Addr]bool{}
	return slices.DeleteFunc(out, func(a netip.Addr) bool {
		again := seen[a] || s.conf.claimed(single(a)) != nil // it would have us ask ourselves
		seen[a] = true
		return again
	})
}

// A Prefix is a network of the LAN that its devices may take addresses of, with
// the cell's own. Zero times are without end.
type Prefix struct {
	Net              netip.Prefix
	Own              netip.Addr
	Preferred, Valid time.Time
}

// Prefixes returns the IPv6 networks of the LAN: the document's own and those of
// the provider.
func (s *Server) Prefixes() []Prefix {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Prefix
	if !s.conf.on() {
		return nil
	}
	if own := s.conf.LAN.Address6; own.IsValid() {
		out = append(out, Prefix{Net: own.Masked(), Own: own.Addr()})
	}
	if s.six == nil {
		return out
	}
	now := time.Now()
	for _, d := range s.six.Prefixes {
		if lan, ok := forLAN(d.Net); ok && now.Before(d.Valid) && s.conf.takes(d.Net) {
			out = append(out, Prefix{lan, lan.Addr().Next(), d.Preferred, d.Valid})
		}
	}
	return out
}

// Uplink6 reports whether the WAN has a way to the IPv6 internet, and how long a
// packet may be there.
func (s *Server) Uplink6() (is bool, mtu int) {
	name := s.wan()
	if l, err := linkNamed(name); err == nil {
		return gateway6(name).IsValid(), l.Attrs().MTU
	}
	return false, 0
}

// gateway6 is the kernel's IPv6 default router on the card.
func gateway6(card string) netip.Addr {
	link, err := linkNamed(card)
	if err != nil {
		return netip.Addr{}
	}
	list, err := netlink.RouteList(link, netlink.FAMILY_V6)
	if err != nil {
		return netip.Addr{}
	}
	for _, r := range list {
		if p := prefix(r.Dst); !p.IsValid() || p.Bits() == 0 {
			via, _ := netip.AddrFromSlice(r.Gw)
			return via
		}
	}
	return netip.Addr{}
}

func globals(l netlink.Link, family int) []netip.Prefix {
	list, err := netlink.AddrList(l, family)
	if err != nil {
		return nil
	}
	var out []netip.Prefix
	for _, a := range list {
		if p := prefix(a.IPNet); p.Addr().IsGlobalUnicast() && a.Flags&unix.IFA_F_DADFAILED == 0 {
			out = append(out, p)
		}
	}
	return out
}

func plugged(l netlink.Link) bool {
	a := l.Attrs()
	return a.RawFlags&unix.IFF_LOWER_UP != 0 && a.RawFlags&unix.IFF_UP != 0
}

// shown is what listeners are told changes of.
type shown struct {
	four      netip.Prefix
	gateway   netip.Addr
	resolvers string
	prefixes  string
	uplink    bool
}

// OnChange has f called after a change of the WAN's addresses, name servers or
// prefixes. f must not block.
func (s *Server) OnChange(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, f)
}

// tell calls the listeners if something changed.
func (s *Server) tell() {
	st, prefixes := s.Status(), s.Prefixes()
	now := shown{st.WAN.Address, st.WAN.Gateway, fmt.Sprint(st.WAN.DNS), "", st.WAN.Gateway6.IsValid()}
	for _, p := range prefixes {
		now.prefixes += fmt.Sprint(p.Net, p.Valid.Unix(), " ")
	}
	s.mu.Lock()
	same := now == s.shown
	s.shown = now
	all := slices.Clone(s.listeners)
	s.mu.Unlock()
	if same {
		return
	}
	for _, f := range all {
		f()
	}
}

// Problems lists what is wrong now.
func (s *Server) Problems() []service.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble.list()
}

// Sockets lists where the clients of the WAN listen.
func (s *Server) Sockets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	if s.conf.on() && s.conf.WAN.DHCP {
		out = append(out, "udp 0.0.0.0:68 on "+s.conf.WAN.Name)
	}
	if s.conf.on() && s.conf.WAN.Delegation {
		out = append(out, "udp [::]:546 on "+s.conf.WAN.Name)
	}
	return out
}

// Facts are for the page of services.
func (s *Server) Facts() []service.Fact {
	st := s.Status()
	if !st.On {
		return nil
	}
	word := func(a fmt.Stringer, valid bool) string {
		if !valid {
			return "none"
		}
		return a.String()
	}
	var prefixes []string
	if st.WAN.Lease6 != nil {
		for _, p := range st.WAN.Lease6.Prefixes {
			prefixes = append(prefixes, p.Net.String())
		}
	}
	out := []service.Fact{
		{Name: "address", Value: word(st.WAN.Address, st.WAN.Address.IsValid())},
		{Name: "gateway", Value: word(st.WAN.Gateway, st.WAN.Gateway.IsValid())},
		{Name: "delegated", Value: strings.Join(prefixes, " ")},
		{Name: "plugged in", Value: strconv.FormatBool(st.WAN.Plugged)},
	}
	if len(prefixes) == 0 {
		out[2].Value = "nothing"
	}
	if st.Shaping.Queue != "" {
		out = append(out, service.Fact{Name: "shaping", Value: st.Shaping.Queue})
	}
	return out
}
