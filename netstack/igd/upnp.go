package igd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	searchTime = 4 * time.Second
	soapTime   = 5 * time.Second
	mostHeard  = 64 // answers to a search
	mostPlaces = 4  // descriptions that are read
)

// ssdp is where devices listen for searches (UPnP Device Architecture 1.1, §1.3).
var ssdp = netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 255, 250}), 1900)

// targets are what is searched: the device that has the services, and the services.
var targets = append([]string{"urn:schemas-upnp-org:device:WANConnectionDevice:1"}, kinds[:2]...)

// A upnpGrip is a port by UPnP.
type upnpGrip struct {
	way  Way
	wish Wish
	wan  *connection
	port uint16 // outside, had last
}

// openUPnP looks for the gateway's own description. What others in the network
// say of themselves is not heard, and nobody but the gateway is spoken to.
func openUPnP(ctx context.Context, way Way, wish Wish) (grip, error) {
	if !way.Gateway.Is4() || !way.Gateway.IsPrivate() && !way.Gateway.IsLinkLocalUnicast() && !shared.Contains(way.Gateway) {
		return nil, errors.New("UPnP: is for routers of the own network only")
	}
	places, err := search(ctx, way, ssdp)
	if err != nil {
		return nil, fmt.Errorf("UPnP: %w", err)
	}
	for _, p := range places {
		if wan := connectionAt(ctx, p, way.Gateway); wan != nil {
			return &upnpGrip{way, wish, wan, wish.Port}, nil
		}
	}
	return nil, errors.New("UPnP: no answer")
}

// search asks everybody, and the gateway itself, and listens for searchTime, as
// answers are spread over it.
func search(ctx context.Context, way Way, everybody netip.AddrPort) ([]*url.URL, error) {
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(way.Local, 0)))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	ask := func() {
		for _, t := range targets {
			q := fmt.Appendf(nil, "M-SEARCH * HTTP/1.1\r\nHOST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: %s\r\n\r\n", ssdp, t)
			for _, to := range []netip.AddrPort{everybody, netip.AddrPortFrom(way.Gateway, everybody.Port())} {
				_, _ = c.WriteToUDPAddrPort(q, to) // one way is enough
			}
		}
	}
	ask()
	again := time.AfterFunc(searchTime/3, ask) // packets are lost, and gateways slow
	defer again.Stop()
	var places []*url.URL
	buf := make([]byte, 2048)
	for heard := 0; heard < mostHeard && len(places) < mostPlaces; {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			break // its time is over
		}
		if from.Addr().Unmap() != way.Gateway {
			continue
		}
		heard++
		p := placeIn(buf[:n], way.Gateway)
		if p != nil && !slices.ContainsFunc(places, func(o *url.URL) bool { return o.String() == p.String() }) {
			places = append(places, p)
			// Whoever answers has said by now what he has; the rest is soon there.
			c.SetReadDeadline(time.Now().Add(searchTime / 8))
		}
	}
	return places, nil
}

// placeIn reads where an answer to a search says that the description is; nil
// unless that is at the gateway.
func placeIn(b []byte, gateway netip.Addr) *url.URL {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil || r.StatusCode != http.StatusOK {
		return nil
	}
	r.Body.Close()
	p, err := url.Parse(r.Header.Get("Location"))
	if err != nil || !at(p, gateway) {
		return nil
	}
	return p
}

// at reports whether a URL is of plain HTTP at the gateway.
func at(u *url.URL, gateway netip.Addr) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a == gateway && u.Scheme == "http" && u.User == nil && len(u.String()) < 512
}

// connectionAt reads the description at a place. Only a service that is at the
// gateway itself is spoken to: a description may name any host as the place of
// its own.
func connectionAt(ctx context.Context, place *url.URL, gateway netip.Addr) *connection {
	c := &connection{http: caller(gateway)}
	b, _, err := c.fetch(ctx, http.MethodGet, place, nil, "")
	if err != nil {
		return nil
	}
	var ok bool
	if c.control, c.kind, ok = readDescription(b, place); !ok || !at(c.control, gateway) {
		return nil
	}
	return c
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
		_, err = g.wan.call(ctx, "AddPortMapping", [][2]string{
			{"NewRemoteHost", ""},
			{"NewExternalPort", strconv.Itoa(int(g.port))},
			{"NewProtocol", g.protocol()},
			{"NewInternalPort", strconv.Itoa(int(g.wish.Port))},
			{"NewInternalClient", g.way.Local.String()},
			{"NewEnabled", "1"},
			{"NewPortMappingDescription", g.wish.Name},
			{"NewLeaseDuration", strconv.Itoa(int(seconds(d)))},
		})
		switch code := upnpCode(err); {
		case code == upnpPermanent && d != 0:
			d = 0
			continue
		case code == upnpConflict && !g.wish.Exact:
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
	a, err := g.wan.external(ctx)
	if err != nil {
		return ext, 0, fmt.Errorf("UPnP: asking for the public address: %w", err)
	}
	return netip.AddrPortFrom(a, g.port), d, nil
}

func (g *upnpGrip) release(ctx context.Context) {
	_, _ = g.wan.call(ctx, "DeletePortMapping", [][2]string{
		{"NewRemoteHost", ""}, {"NewExternalPort", strconv.Itoa(int(g.port))}, {"NewProtocol", g.protocol()},
	})
}
