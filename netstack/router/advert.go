package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// advert is what the provider's router advertisements say that the kernel does
// not keep: name servers (RFC 8106). Addresses and routes are the kernel's.
type advert struct {
	servers []server
}

type server struct {
	addr  netip.Addr
	until time.Time
}

const mostServers = 4

// take reads an advertisement and reports whether the servers changed.
func (a *advert) take(m *ndp.RouterAdvertisement, now time.Time) bool {
	before := fmt.Sprint(a.dns(now))
	for _, o := range m.Options {
		r, ok := o.(*ndp.RecursiveDNSServer)
		if !ok {
			continue
		}
		for _, addr := range r.Servers {
			a.put(addr, now.Add(r.Lifetime), now)
		}
	}
	return fmt.Sprint(a.dns(now)) != before
}

// put notes a server until a time; one in the past forgets it. Link-local ones
// are not usable without their card, and left out.
func (a *advert) put(addr netip.Addr, until, now time.Time) {
	var left []server
	for _, s := range a.servers {
		if s.addr != addr && s.until.After(now) {
			left = append(left, s)
		}
	}
	if until.After(now) && addr.IsGlobalUnicast() && len(left) < mostServers {
		left = append(left, server{addr, until})
	}
	a.servers = left
}

func (a *advert) dns(now time.Time) []netip.Addr {
	var out []netip.Addr
	for _, s := range a.servers {
		if s.until.After(now) {
			out = append(out, s.addr)
		}
	}
	return out
}

// listenRA asks for advertisements (RFC 4861 §6.3.7) and listens to them until
// ctx ends.
func (s *Server) listenRA(ctx context.Context, c Config) error {
	card, err := s.card(c.WAN.Name)
	if err != nil {
		return err
	}
	if !hasLinkLocal(card) {
		return nil // the kernel is looking whether it is unique; once more, soon
	}
	conn, _, err := ndp.Listen(card, ndp.LinkLocal)
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil // or the card was made anew, and the runtime has its old number still
	}
	if err != nil {
		return fmt.Errorf("listening for advertisements on %s: %w", card.Name, err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeRouterAdvertisement)
	if err := errors.Join(conn.SetICMPFilter(&only), conn.SetControlMessage(ipv6.FlagHopLimit, true)); err != nil {
		return fmt.Errorf("listening for advertisements on %s: %w", card.Name, err)
	}
	s.mu.Lock()
	s.trouble.clear(codeNoRA)
	s.mu.Unlock()
	solicit := &ndp.RouterSolicitation{Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: card.HardwareAddr}}}
	for asked := 0; ; {
		if asked < 3 {
			asked++
			_ = conn.WriteTo(solicit, nil, netip.MustParseAddr("ff02::2")) // again in 4 s
			_ = conn.SetReadDeadline(time.Now().Add(4 * time.Second))
		} else {
			_ = conn.SetReadDeadline(time.Time{})
		}
		m, cm, from, err := conn.ReadFrom()
		var late net.Error
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &late) && late.Timeout():
			continue
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // no message that can be read, or the network is down
			if _, gone := net.InterfaceByIndex(card.Index); gone != nil {
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		// A router's advertisement comes from the link itself (RFC 4861 §6.1.2).
		ad, ok := m.(*ndp.RouterAdvertisement)
		if !ok || cm == nil || cm.HopLimit != 255 || !from.IsLinkLocalUnicast() {
			continue
		}
		asked = 3
		s.mu.Lock()
		changed := s.ra.take(ad, time.Now())
		s.mu.Unlock()
		if changed {
			s.tell()
		}
	}
}

func hasLinkLocal(card *net.Interface) bool {
	all, err := card.Addrs()
	if err != nil {
		return false
	}
	for _, a := range all {
		if p, ok := a.(*net.IPNet); ok && p.IP.To4() == nil && p.IP.IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}
