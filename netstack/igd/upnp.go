package igd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/httpu"
	"github.com/huin/goupnp/soap"
	"github.com/huin/goupnp/ssdp"
)

const (
	searchTime = 2 * time.Second
	soapTime   = 5 * time.Second
)

// Errors of the AddPortMapping action that have a way out.
const (
	upnpConflict  = 718 // the port is another's
	upnpPermanent = 725 // only mappings without end
)

// A wanConnection is the service of a router that maps ports, in any of its
// versions.
type wanConnection interface {
	AddPortMappingCtx(ctx context.Context, host string, external uint16, protocol string, internal uint16, client string, on bool, name string, life uint32) error
	DeletePortMappingCtx(ctx context.Context, host string, external uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
}

// A upnpGrip is a port by UPnP.
type upnpGrip struct {
	way  Way
	wish Wish
	wan  wanConnection
	port uint16 // outside, had last
}

// openUPnP looks for the gateway's own description. What others in the network
// say of themselves is not followed.
func openUPnP(ctx context.Context, way Way, wish Wish) (grip, error) {
	c, err := httpu.NewHTTPUClientAddr(way.Local.String())
	if err != nil {
		return nil, fmt.Errorf("UPnP: %w", err)
	}
	defer c.Close()
	seen := map[string]bool{}
	for _, target := range []string{internetgateway2.URN_WANConnectionDevice_1, internetgateway2.URN_WANIPConnection_1, internetgateway2.URN_WANIPConnection_2} {
		answers, err := search(ctx, c, target)
		if err != nil {
			continue
		}
		for _, a := range answers {
			loc, err := url.Parse(a.Header.Get("Location"))
			if err != nil || seen[loc.String()] || len(seen) >= 4 || !same(loc.Hostname(), way.Gateway) {
				continue
			}
			seen[loc.String()] = true
			if wan := connectionAt(ctx, loc, way.Gateway); wan != nil {
				return &upnpGrip{way, wish, wan, wish.Port}, nil
			}
		}
	}
	return nil, errors.New("UPnP: no answer")
}

// search listens for searchTime, as answers are spread over it.
func search(ctx context.Context, c *httpu.HTTPUClient, target string) ([]*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	return ssdp.RawSearch(ctx, c, target, 2)
}

func same(host string, a netip.Addr) bool {
	b, err := netip.ParseAddr(host)
	return err == nil && b == a
}

// connectionAt reads the description at loc. Only a service that is at the gateway
// itself is spoken to: a description may name any host as the place of its own.
func connectionAt(ctx context.Context, loc *url.URL, gateway netip.Addr) wanConnection {
	ctx, cancel := context.WithTimeout(ctx, soapTime)
	defer cancel()
	root, err := goupnp.DeviceByURLCtx(ctx, loc)
	if err != nil {
		return nil
	}
	if all, _ := internetgateway2.NewWANIPConnection2ClientsFromRootDevice(root, loc); len(all) > 0 && same(all[0].SOAPClient.EndpointURL.Hostname(), gateway) {
		return all[0]
	}
	if all, _ := internetgateway2.NewWANIPConnection1ClientsFromRootDevice(root, loc); len(all) > 0 && same(all[0].SOAPClient.EndpointURL.Hostname(), gateway) {
		return all[0]
	}
	if all, _ := internetgateway2.NewWANPPPConnection1ClientsFromRootDevice(root, loc); len(all) > 0 && same(all[0].SOAPClient.EndpointURL.Hostname(), gateway) {
		return all[0]
	}
	return nil
}

func (g *upnpGrip) protocol() string {
	if g.wish.Protocol == TCP {
		return "TCP"
	}
	return "UDP"
}

func (g *upnpGrip) renew(ctx context.Context) (ext netip.AddrPort, d time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, soapTime)
	defer cancel()
	d = life
	for range 8 {
		err = g.wan.AddPortMappingCtx(ctx, "", g.port, g.protocol(), g.wish.Port, g.way.Local.String(), true, g.wish.Name, seconds(d))
		switch code := upnpCode(err); {
		case code == upnpPermanent && d != 0:
			d = 0
			continue
		case code == upnpConflict:
			g.port = uint16(lowest + rand.IntN(1<<16-lowest))
			continue
		}
		break
	}
	if err != nil {
		return ext, 0, fmt.Errorf("UPnP: the router refuses: %w", err)
	}
	if d == 0 {
		d = life // of our own renewals, which find out that it was restarted
	}
	s, err := g.wan.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return ext, 0, fmt.Errorf("UPnP: asking for the public address: %w", err)
	}
	a, _ := netip.ParseAddr(s) // empty without a line
	return netip.AddrPortFrom(a.Unmap(), g.port), d, nil
}

func (g *upnpGrip) release(ctx context.Context) {
	_ = g.wan.DeletePortMappingCtx(ctx, "", g.port, g.protocol())
}

// upnpCode is the code in a fault of UPnP; 0 without one.
func upnpCode(err error) int {
	var f *soap.SOAPFaultError
	if !errors.As(err, &f) {
		return 0
	}
	return f.Detail.UPnPError.Errorcode
}
