package dhcp6

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// A Lease is what a server gave: prefixes for the LAN and addresses for the WAN.
// It is plain data and goes to disk as JSON.
type Lease struct {
	Server    []byte       `json:"server"` // its DUID
	Prefixes  []Prefix     `json:"prefixes,omitempty"`
	Addresses []Address    `json:"addresses,omitempty"`
	DNS       []netip.Addr `json:"dns,omitempty"`
	Got       time.Time    `json:"got"`
	Renew     time.Time    `json:"renew"`  // T1
	Rebind    time.Time    `json:"rebind"` // T2
}

// A Prefix is one that was delegated (RFC 8415 §6.3).
type Prefix struct {
	Net       netip.Prefix `json:"net"`
	Preferred time.Time    `json:"preferred"`
	Valid     time.Time    `json:"valid"`
}

// An Address is one of the WAN.
type Address struct {
	Addr      netip.Addr `json:"addr"`
	Preferred time.Time  `json:"preferred"`
	Valid     time.Time  `json:"valid"`
}

// Until is when the last part of the lease ends.
func (l *Lease) Until() time.Time {
	var t time.Time
	for _, p := range l.Prefixes {
		t = later(t, p.Valid)
	}
	for _, a := range l.Addresses {
		t = later(t, a.Valid)
	}
	return t
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// without returns the lease less what has ended.
func (l *Lease) without(now time.Time) *Lease {
	o := *l
	o.Prefixes = slices.DeleteFunc(slices.Clone(l.Prefixes), func(p Prefix) bool { return !now.Before(p.Valid) })
	o.Addresses = slices.DeleteFunc(slices.Clone(l.Addresses), func(a Address) bool { return !now.Before(a.Valid) })
	return &o
}

func (l *Lease) empty() bool { return len(l.Prefixes)+len(l.Addresses) == 0 }

const (
	mostPrefixes  = 4
	mostAddresses = 4
	mostServers   = 4
	mostDUID      = 130 // RFC 8415 §11.1
	shortest      = 4 * time.Second
	leastRenew    = 30 * time.Second
	forever       = 0xffffffff * time.Second
)

var (
	errNotForUs = errors.New("not for us")
	errNothing  = errors.New("it gives neither a prefix nor an address")
	errNoBind   = errors.New("the server does not know the lease (NoBinding)")
)

// lease reads an ADVERTISE or REPLY. What of it makes no sense is left out (RFC
// 8415 §18.2.10.1); something must remain.
func lease(m *dhcpv6.Message, asked time.Time) (*Lease, error) {
	if st := m.Options.Status(); st != nil && st.StatusCode != iana.StatusSuccess {
		return nil, fmt.Errorf("the server says %s", st.StatusCode)
	}
	id := m.Options.ServerID()
	if id == nil || len(id.ToBytes()) > mostDUID {
		return nil, errNotForUs
	}
	l := &Lease{Server: id.ToBytes(), Got: asked}
	for _, ip := range m.Options.DNS() {
		if a, ok := netip.AddrFromSlice(ip); ok && usable(a) && len(l.DNS) < mostServers {
			l.DNS = append(l.DNS, a)
		}
	}
	var t1, t2 time.Duration // the least that was said
	least := func(t *time.Duration, d time.Duration) {
		if d > 0 && (*t == 0 || d < *t) {
			*t = d
		}
	}
	shortestLife := time.Duration(0)
	noBinding := false
	for _, ia := range m.Options.IAPD() {
		if st := ia.Options.Status(); st != nil && st.StatusCode != iana.StatusSuccess {
			noBinding = noBinding || st.StatusCode == iana.StatusNoBinding
			continue
		}
		if ia.IaId != iaid || ia.T1 > ia.T2 && ia.T2 > 0 {
			continue
		}
		for _, p := range ia.Options.Prefixes() {
			net, pref, valid, ok := sane(p.Prefix, p.PreferredLifetime, p.ValidLifetime)
			if !ok || !Delegable(net) || len(l.Prefixes) == mostPrefixes || slices.ContainsFunc(l.Prefixes, func(o Prefix) bool { return o.Net == net }) {
				continue
			}
			l.Prefixes = append(l.Prefixes, Prefix{net, asked.Add(pref), asked.Add(valid)})
			least(&t1, ia.T1)
			least(&t2, ia.T2)
			least(&shortestLife, pref)
		}
	}
	for _, ia := range m.Options.IANA() {
		if st := ia.Options.Status(); st != nil && st.StatusCode != iana.StatusSuccess {
			noBinding = noBinding || st.StatusCode == iana.StatusNoBinding
			continue
		}
		if ia.IaId != iaid || ia.T1 > ia.T2 && ia.T2 > 0 {
			continue
		}
		for _, a := range ia.Options.Addresses() {
			full := &net.IPNet{IP: a.IPv6Addr, Mask: net.CIDRMask(128, 128)}
			net, pref, valid, ok := sane(full, a.PreferredLifetime, a.ValidLifetime)
			if !ok || !usable(net.Addr()) || len(l.Addresses) == mostAddresses || slices.ContainsFunc(l.Addresses, func(o Address) bool { return o.Addr == net.Addr() }) {
				continue
			}
			l.Addresses = append(l.Addresses, Address{net.Addr(), asked.Add(pref), asked.Add(valid)})
			least(&t1, ia.T1)
			least(&t2, ia.T2)
			least(&shortestLife, pref)
		}
	}
	switch {
	case l.empty() && noBinding:
		return nil, errNoBind
	case l.empty():
		return nil, errNothing
	}
	// RFC 8415 §21.4: where the server leaves it open, half and four fifths.
	if t1 == 0 || t1 > shortestLife && shortestLife > 0 {
		t1 = shortestLife / 2
	}
	if t2 == 0 || t2 < t1 || t2 > shortestLife && shortestLife > 0 {
		t2 = shortestLife * 4 / 5
	}
	// A server that wants to hear of us every second does not get its wish: each
	// answer is a write to the disk. Nor where all is deprecated already.
	life := shortestLife
	if life == 0 {
		life = l.Until().Sub(asked)
	}
	t1 = max(t1, min(life/2, leastRenew))
	l.Renew, l.Rebind = asked.Add(t1), asked.Add(max(t1, t2))
	return l, nil
}

// sane checks a prefix and its lifetimes.
func sane(n *net.IPNet, pref, valid time.Duration) (netip.Prefix, time.Duration, time.Duration, bool) {
	if n == nil {
		return netip.Prefix{}, 0, 0, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if !ok || size != 128 || pref > valid || valid < shortest {
		return netip.Prefix{}, 0, 0, false
	}
	return netip.PrefixFrom(a, bits).Masked(), min(pref, forever), min(valid, forever), true
}

func usable(a netip.Addr) bool { return a.Is6() && !a.Is4In6() && a.IsGlobalUnicast() }

// global is what the internet knows (RFC 4291 §2.4, as IANA gives it out).
var global = netip.MustParsePrefix("2000::/3")

// Delegable reports whether a provider can delegate p: a network that the internet
// knows, no wider than providers themselves have.
func Delegable(p netip.Prefix) bool {
	return p.IsValid() && p.Bits() >= 32 && global.Contains(p.Addr())
}
