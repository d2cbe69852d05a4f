package igd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	firstWait = 250 * time.Millisecond // RFC 6886 §3.1; doubled each time
	attempts  = 4
)

var errSilent = errors.New("no answer")

// talk sends req to the gateway until take accepts an answer. Only the gateway's
// own are heard, for the socket is connected.
func talk(ctx context.Context, way Way, req []byte, take func([]byte) bool) error {
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(way.Local, 0))}
	c, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(way.Gateway, servicePort).String())
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, maxPCP)
	wait := firstWait
	for range attempts {
		if _, err := c.Write(req); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(wait))
		wait *= 2
		for {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			n, err := c.Read(buf)
			if err != nil {
				if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
					break
				}
				return err // refused: there is no such service
			}
			if take(buf[:n]) {
				return nil
			}
		}
	}
	return errSilent
}

// A pcpGrip is a port by PCP.
type pcpGrip struct {
	way   Way
	wish  Wish
	nonce Nonce
	ext   netip.AddrPort // had last
}

func openPCP(_ context.Context, way Way, wish Wish) (grip, error) {
	g := &pcpGrip{way: way, wish: wish, ext: netip.AddrPortFrom(unspecified(way.Local), wish.Port)}
	_, err := rand.Read(g.nonce[:])
	return g, err
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func (g *pcpGrip) renew(ctx context.Context) (netip.AddrPort, time.Duration, error) {
	return g.ask(ctx, life)
}

func (g *pcpGrip) release(ctx context.Context) { _, _, _ = g.ask(ctx, 0) }

func (g *pcpGrip) ask(ctx context.Context, d time.Duration) (netip.AddrPort, time.Duration, error) {
	req := pcpMessage{
		op: opMap, life: seconds(d), client: g.way.Local, nonce: g.nonce,
		protocol: g.wish.Protocol, internal: g.wish.Port, external: g.ext.Port(), address: g.ext.Addr(),
	}
	var got pcpMessage
	old := false
	err := talk(ctx, g.way, req.bytes(), func(b []byte) bool {
		if len(b) >= 2 && b[0] == versionPMP { // RFC 6886 §3.5
			old = true
			return true
		}
		m, err := readPCP(b)
		if len(b) < headPCP || b[0] != versionPCP || !m.answer {
			return false
		}
		if m.result == success && (err != nil || m.op != opMap || m.nonce != g.nonce || m.protocol != g.wish.Protocol || m.internal != g.wish.Port) {
			return false
		}
		got = m
		return true
	})
	switch {
	case err != nil:
		return netip.AddrPort{}, 0, fmt.Errorf("PCP: %w", err)
	case old:
		return netip.AddrPort{}, 0, errors.New("PCP: the router speaks NAT-PMP only")
	case got.result != success:
		return netip.AddrPort{}, 0, fmt.Errorf("PCP: refused, %s", pcpResult(got.result))
	}
	g.ext = netip.AddrPortFrom(got.address, got.external)
	return g.ext, time.Duration(got.life) * time.Second, nil
}

func pcpResult(code byte) string {
	words := map[byte]string{
		unsuppVersion: "it does not speak this version", notAuthorized: "it does not let devices open ports",
		netFailure: "it has no address in the internet now", noResources: "it has no port left", exQuota: "this device has too many ports",
		cannotExternal: "the port is taken", addressMismatch: "there is another router in between",
	}
	if w := words[code]; w != "" {
		return w
	}
	return fmt.Sprintf("code %d", code)
}

// A pmpGrip is a port by NAT-PMP.
type pmpGrip struct {
	way  Way
	wish Wish
	port uint16 // outside, had last
}

func openPMP(_ context.Context, way Way, wish Wish) (grip, error) {
	if !way.Gateway.Is4() {
		return nil, errors.New("NAT-PMP: is for IPv4 only")
	}
	return &pmpGrip{way, wish, wish.Port}, nil
}

func (g *pmpGrip) renew(ctx context.Context) (ext netip.AddrPort, d time.Duration, err error) {
	got, err := g.ask(ctx, pmpRequest{op: g.op(), internal: g.wish.Port, external: g.port, life: seconds(life)})
	if err != nil {
		return ext, 0, err
	}
	g.port = got.external
	where, err := g.ask(ctx, pmpRequest{op: opAddress})
	if err != nil {
		return ext, 0, err
	}
	return netip.AddrPortFrom(where.address, g.port), time.Duration(got.life) * time.Second, nil
}

func (g *pmpGrip) op() byte {
	if g.wish.Protocol == TCP {
		return opTCP
	}
	return opUDP
}

func (g *pmpGrip) release(ctx context.Context) {
	_, _ = g.ask(ctx, pmpRequest{op: g.op(), internal: g.wish.Port})
}

func (g *pmpGrip) ask(ctx context.Context, r pmpRequest) (pmpReply, error) {
	var got pmpReply
	err := talk(ctx, g.way, r.bytes(), func(b []byte) bool {
		m, err := readPMPReply(b)
		if err != nil || m.op != r.op || r.op != opAddress && m.result == success && m.internal != r.internal {
			return false
		}
		got = m
		return true
	})
	if err != nil {
		return got, fmt.Errorf("NAT-PMP: %w", err)
	}
	if got.result != success {
		words := [...]string{
			"", "it does not speak this version", "it does not let devices open ports", "it has no address in the internet now",
			"it has no port left", "it does not know the request",
		}
		why := fmt.Sprintf("code %d", got.result)
		if int(got.result) < len(words) {
			why = words[got.result]
		}
		return got, fmt.Errorf("NAT-PMP: refused, %s", why)
	}
	return got, nil
}
