package ra

import (
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
)

// Limits of RFC 9096 §3.4.
const (
	mostPreferred = 2700 * time.Second
	mostValid     = 5400 * time.Second
)

// advertisement is what the devices are told; nil where there is nothing to say.
// It is pure.
func advertisement(c Config, l Line, stale []netip.Prefix, card *net.Interface, now time.Time) *ndp.RouterAdvertisement {
	m := &ndp.RouterAdvertisement{CurrentHopLimit: 64}
	var own []netip.Addr
	for _, p := range l.Prefixes {
		pref, valid := rest(p.Preferred, now, mostPreferred), rest(p.Valid, now, mostValid)
		if valid <= 0 || p.Net.Bits() != 64 {
			continue
		}
		m.Options = append(m.Options, &ndp.PrefixInformation{
			PrefixLength: 64, OnLink: true, AutonomousAddressConfiguration: true,
			PreferredLifetime: min(pref, valid), ValidLifetime: valid, Prefix: p.Net.Addr(),
		})
		if p.Own.IsValid() {
			own = append(own, p.Own)
		}
	}
	for _, p := range stale {
		m.Options = append(m.Options, &ndp.PrefixInformation{PrefixLength: 64, OnLink: true, AutonomousAddressConfiguration: true, Prefix: p.Addr()})
	}
	if len(m.Options) == 0 {
		return nil
	}
	if l.Uplink && len(own) > 0 {
		m.RouterLifetime = lifetime
	}
	m.Options = append(m.Options, &ndp.LinkLayerAddress{Direction: ndp.Source, Addr: card.HardwareAddr})
	if mtu := min(l.MTU, card.MTU); mtu >= 1280 {
		m.Options = append(m.Options, ndp.NewMTU(uint32(mtu)))
	}
	if c.DNS && len(own) > 0 {
		// The first stays when the provider gives another prefix, if the household
		// has one of its own.
		m.Options = append(m.Options, &ndp.RecursiveDNSServer{Lifetime: lifetime, Servers: own[:1]})
		if c.Domain != "" {
			m.Options = append(m.Options, &ndp.DNSSearchList{Lifetime: lifetime, DomainNames: []string{"lan." + c.Domain, c.Domain}})
		}
	}
	return m
}

// farewell is the last advertisement: no router, no name server.
func farewell(m *ndp.RouterAdvertisement) *ndp.RouterAdvertisement {
	if m == nil {
		return nil
	}
	m.RouterLifetime = 0
	for _, o := range m.Options {
		switch o := o.(type) {
		case *ndp.RecursiveDNSServer:
			o.Lifetime = 0
		case *ndp.DNSSearchList:
			o.Lifetime = 0
		}
	}
	return m
}

// rest is what is left of a lifetime, in whole seconds, no more than most.
func rest(end, now time.Time, most time.Duration) time.Duration {
	if end.IsZero() {
		return most
	}
	return min(max(end.Sub(now), 0), most).Truncate(time.Second)
}
