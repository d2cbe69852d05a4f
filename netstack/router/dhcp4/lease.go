package dhcp4

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// A Lease is an address that a server gave, and what it said besides. It is
// plain data and goes to disk as JSON.
type Lease struct {
	Address netip.Prefix `json:"address"`
	Server  netip.Addr   `json:"server"`
	Router  netip.Addr   `json:"router,omitzero"`
	Routes  []Route      `json:"routes,omitempty"` // RFC 3442; if any, Router does not count
	DNS     []netip.Addr `json:"dns,omitempty"`
	NTP     []netip.Addr `json:"ntp,omitempty"`
	Domain  string       `json:"domain,omitempty"`
	MTU     int          `json:"mtu,omitempty"` // 0: not said
	Got     time.Time    `json:"got"`           // when it was asked for
	Renew   time.Time    `json:"renew"`         // T1
	Rebind  time.Time    `json:"rebind"`        // T2
	Until   time.Time    `json:"until"`
}

// A Route is a way to a network. Without Via it is on the link.
type Route struct {
	To  netip.Prefix `json:"to"`
	Via netip.Addr   `json:"via,omitzero"`
}

// Ways are the routes of the lease, the default one included (RFC 3442: routers
// of option 3 are ignored where there are classless routes).
func (l *Lease) Ways() []Route {
	if len(l.Routes) > 0 || !l.Router.IsValid() {
		return l.Routes
	}
	return []Route{{netip.PrefixFrom(netip.IPv4Unspecified(), 0), l.Router}}
}

const (
	mostServers = 4
	mostRoutes  = 64
	shortest    = 4 * time.Second // a lease for less would keep us busy with nothing else
	leastRenew  = 30 * time.Second
)

var errNotForUs = errors.New("not for us")

// lease reads an OFFER or ACK. asked is when the request was first sent, from
// where the times of the lease count (RFC 2131 §4.4.5).
func lease(m *dhcpv4.DHCPv4, asked time.Time) (*Lease, error) {
	bits, size := m.SubnetMask().Size()
	a := addr(m.YourIPAddr)
	server := addr(m.ServerIdentifier())
	switch {
	case !host(a):
		return nil, fmt.Errorf("it gives %s, which no host can have", m.YourIPAddr)
	case !host(server):
		return nil, errors.New("it does not say which server it is")
	case len(m.SubnetMask()) == 0: // the class decides, as in the old days
		bits, _ = m.YourIPAddr.DefaultMask().Size()
	case size != 32:
		return nil, fmt.Errorf("its mask %s is none", m.SubnetMask())
	}
	own := netip.PrefixFrom(a, bits)
	if err := fits(own); err != nil {
		return nil, err
	}
	life := m.IPAddressLeaseTime(0)
	if life < shortest {
		return nil, fmt.Errorf("it lasts %v", life)
	}
	t1, t2 := m.IPAddressRenewalTime(0), m.IPAddressRebindingTime(0)
	if t2 <= 0 || t2 >= life {
		t2 = life * 7 / 8
	}
	if t1 <= 0 || t1 >= t2 {
		t1 = min(life/2, t2*4/7)
	}
	// A server that wants to hear of us every second does not get its wish: each
	// answer is a write to the disk.
	t1 = max(t1, min(life/2, leastRenew))
	t2 = max(t2, t1)
	l := &Lease{
		Address: own, Server: server, Domain: clean(m.DomainName()),
		DNS: hosts(m.DNS()), NTP: hosts(m.NTPServers()), MTU: mtu(m),
		Got: asked, Renew: asked.Add(t1), Rebind: asked.Add(t2), Until: asked.Add(life),
	}
	if r := hosts(m.Router()); len(r) > 0 {
		l.Router = r[0]
	}
	for _, r := range m.ClasslessStaticRoute() {
		if r == nil || r.Dest == nil || len(l.Routes) == mostRoutes {
			continue
		}
		n, _ := r.Dest.Mask.Size()
		way := Route{To: netip.PrefixFrom(addr4(r.Dest.IP), n).Masked()}
		if via := addr(r.Router); host(via) {
			way.Via = via
		}
		// Of two ways to one network the first counts.
		again := slices.ContainsFunc(l.Routes, func(o Route) bool { return o.To == way.To })
		if way.To.IsValid() && !again && !way.To.Addr().IsLoopback() && !way.To.Addr().IsMulticast() {
			l.Routes = append(l.Routes, way)
		}
	}
	return l, nil
}

// widest are the bits of the widest network that a link can be: the kernel would
// send everything in it to the link.
const widest = 8

// fits checks that an address is one of a host in its network.
func fits(p netip.Prefix) error {
	switch a := p.Addr().As4(); {
	case p.Bits() < widest:
		return fmt.Errorf("its network %s is wider than a link can be", p.Masked())
	case p.Bits() >= 31:
		return nil
	case p.Masked().Addr() == p.Addr(), ^uint32(0)>>p.Bits()&^(uint32(a[0])<<24|uint32(a[1])<<16|uint32(a[2])<<8|uint32(a[3])) == 0:
		return fmt.Errorf("%s is the address of a network, not of a host", p)
	}
	return nil
}

// mtu reads option 26. Less than what IPv6 needs is not followed: it is more
// often an attack or a mistake than a link; nor is more than Ethernet's.
func mtu(m *dhcpv4.DHCPv4) int {
	b := m.Options.Get(dhcpv4.OptionInterfaceMTU)
	if len(b) != 2 {
		return 0
	}
	if n := int(b[0])<<8 | int(b[1]); n >= 1280 && n <= 1500 {
		return n
	}
	return 0
}

// mine checks that a message is an answer to the transaction of this card.
func mine(m *dhcpv4.DHCPv4, xid dhcpv4.TransactionID, mac net.HardwareAddr) error {
	if m.OpCode != dhcpv4.OpcodeBootReply || m.TransactionID != xid || m.HWType != iana.HWTypeEthernet ||
		m.ClientHWAddr.String() != mac.String() {
		return errNotForUs
	}
	return nil
}

func hosts(all []net.IP) []netip.Addr {
	var out []netip.Addr
	for _, ip := range all {
		if a := addr(ip); host(a) && len(out) < mostServers {
			out = append(out, a)
		}
	}
	return out
}

// host reports whether a host other than ourselves can have the address.
func host(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a.As4()[0] != 0 && a.As4()[0] < 240
}

// addr is not valid for what is no IPv4 address, or 0.0.0.0.
func addr(ip net.IP) netip.Addr {
	if a := addr4(ip); a.IsValid() && !a.IsUnspecified() {
		return a
	}
	return netip.Addr{}
}

func addr4(ip net.IP) netip.Addr {
	if four := ip.To4(); four != nil {
		return netip.AddrFrom4([4]byte(four))
	}
	return netip.Addr{}
}

// spoken makes a server's message fit for a log and a page.
func spoken(s string) string {
	var out []rune
	for _, r := range s {
		if r < ' ' || r > '~' {
			r = '?'
		}
		if out = append(out, r); len(out) == 100 {
			break
		}
	}
	return string(out)
}

// clean keeps a domain only if it is printable and short: pages show it.
func clean(s string) string {
	if len(s) > 253 {
		return ""
	}
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return ""
		}
	}
	return s
}
