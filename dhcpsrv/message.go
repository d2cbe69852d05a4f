package dhcpsrv

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// A message is a request that makes sense, and who sent it.
type message struct {
	*dhcpv4.DHCPv4
	kind   dhcpv4.MessageType
	who    client
	want   netip.Addr // option 50, or zero
	server netip.Addr // option 54, or zero
	ciaddr netip.Addr // zero if unspecified
	toAll  bool       // it was sent to all servers, not to us
}

var (
	errNotRequest = errors.New("not a request of a client")
	errHardware   = errors.New("no Ethernet address")
)

// parse reads what a client sent. Messages without the End option are accepted,
// as some devices leave it out.
func parse(b []byte) (*message, error) {
	d, err := dhcpv4.FromBytes(b)
	if err != nil {
		if d, err = dhcpv4.FromBytes(append(b[:len(b):len(b)], byte(dhcpv4.OptionEnd))); err != nil {
			return nil, err
		}
	}
	if d.OpCode != dhcpv4.OpcodeBootRequest {
		return nil, errNotRequest
	}
	if d.HWType != iana.HWTypeEthernet || len(d.ClientHWAddr) != 6 || d.ClientHWAddr[0]&1 != 0 || isZero(d.ClientHWAddr) {
		return nil, errHardware
	}
	m := &message{DHCPv4: d, kind: d.MessageType(), who: identify(d)}
	switch m.kind {
	case dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeDecline,
		dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeInform:
	default:
		return nil, fmt.Errorf("%w: %s", errNotRequest, m.kind)
	}
	m.want, m.server, m.ciaddr = addr(d.RequestedIPAddress()), addr(d.ServerIdentifier()), addr(d.ClientIPAddr)
	return m, nil
}

// identify tells who a client is: by its client identifier (RFC 2131 §4.2),
// else by its hardware address.
func identify(d *dhcpv4.DHCPv4) client {
	c := client{mac: d.ClientHWAddr.String(), name: hostname(d.HostName())}
	if id := d.Options.Get(dhcpv4.OptionClientIdentifier); len(id) >= 2 && len(id) <= 255 {
		c.id = hex.EncodeToString(id)
		c.key = "id:" + c.id
	} else {
		c.key = "mac:" + c.mac
	}
	return c
}

func isZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

func addr(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// reply builds the answer to m: kind, the address that it gives (zero for none),
// and the options of c. NAKs carry no configuration.
func reply(c Config, m *message, kind dhcpv4.MessageType, give netip.Addr) (*dhcpv4.DHCPv4, error) {
	mods := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(c.Server.Addr().AsSlice())),
	}
	if kind != dhcpv4.MessageTypeNak {
		mods = append(mods, configuration(c, m)...)
		if m.kind != dhcpv4.MessageTypeInform {
			mods = append(mods, times(c.Lease)...)
		}
	}
	if give.IsValid() {
		mods = append(mods, dhcpv4.WithYourIP(give.AsSlice()))
	}
	r, err := dhcpv4.NewReplyFromRequest(m.DHCPv4, mods...)
	if err != nil {
		return nil, err
	}
	switch kind {
	case dhcpv4.MessageTypeAck:
		r.ClientIPAddr = m.ClientIPAddr // RFC 2131 table 3
	case dhcpv4.MessageTypeNak:
		r.SetBroadcast() // RFC 2131 §4.3.2: also through a relay
	}
	return r, nil
}

func configuration(c Config, m *message) []dhcpv4.Modifier {
	mods := []dhcpv4.Modifier{
		dhcpv4.WithNetmask(net.CIDRMask(c.Server.Bits(), 32)),
		dhcpv4.WithOption(dhcpv4.OptBroadcastAddress(broadcastOf(c.Server).AsSlice())),
	}
	if c.Router.IsValid() {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptRouter(c.Router.AsSlice())))
	}
	if len(c.DNS) > 0 {
		var ips []net.IP
		for _, a := range c.DNS {
			ips = append(ips, a.AsSlice())
		}
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptDNS(ips...)))
	}
	if r := c.named(m.who.mac); r != "" {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptHostName(r)))
	}
	if c.NTP.IsValid() && m.IsOptionRequested(dhcpv4.OptionNTPServers) {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptNTPServers(c.NTP.AsSlice())))
	}
	if c.Domain != "" {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptDomainName("lan."+c.Domain)))
		if m.IsOptionRequested(dhcpv4.OptionDNSDomainSearchList) {
			mods = append(mods, dhcpv4.WithDomainSearchList("lan."+c.Domain, c.Domain))
		}
	}
	return mods
}

// named is what a device is called by its reservation, if it has one.
func (c Config) named(mac string) string {
	for _, r := range c.Reservations {
		if r.MAC == mac {
			return r.Name
		}
	}
	return ""
}

// times are how long the lease lasts and when to renew it (RFC 2131 §4.4.5).
func times(lease time.Duration) []dhcpv4.Modifier {
	secs := func(code dhcpv4.OptionCode, d time.Duration) dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.Option{Code: code, Value: dhcpv4.Duration(d)})
	}
	return []dhcpv4.Modifier{
		secs(dhcpv4.OptionIPAddressLeaseTime, lease),
		secs(dhcpv4.OptionRenewTimeValue, lease/2),
		secs(dhcpv4.OptionRebindingTimeValue, lease*7/8),
	}
}

// words is m for the log.
func (m *message) words() string {
	return strings.ToLower(m.kind.String())
}
