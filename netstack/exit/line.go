package exit

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"pic/core/config"
	"pic/netstack/wgdev"
)

const (
	// silence is how long nothing may be heard of an exit until it counts as down.
	// Its other end owes a sign of life 10 seconds after it was sent something
	// (WireGuard paper, section 6.5), which askAfter sees to.
	silence  = 25 * time.Second
	askAfter = 8 * time.Second
	askEvery = 5 * time.Second
	// handshakes is how long an exit counts as up that cannot be asked.
	handshakes = 3 * time.Minute
	retryAfter = 10 * time.Second
)

// A line is an exit at work. The server's mu guards it.
type line struct {
	exit  Exit
	dev   *wgdev.Device // nil for a linked cell, or if there is none
	err   error         // why there is none
	tried time.Time

	up    bool
	since time.Time // that it is up or down
	state wgdev.PeerState
	heard time.Time // when rx last grew
	asked time.Time
}

func (l *line) path() path {
	p := path{number: l.exit.Number}
	if l.up {
		p.card, p.four, p.six = l.exit.Interface, l.exit.four(), l.exit.Six
	}
	return p
}

// four reports whether the exit carries IPv4.
func (e Exit) four() bool {
	return e.Link != "" || slices.ContainsFunc(e.Addresses, func(a netip.Prefix) bool { return a.Addr().Is4() })
}

func (l *line) close() {
	if l.dev != nil {
		l.dev.Close()
		l.dev = nil
	}
	l.up = false
}

// open makes the device of a provider if there is none. The caller holds mu.
func (s *Server) open(l *line, now time.Time) {
	if l.exit.Link != "" {
		return
	}
	if l.dev != nil {
		select {
		case <-l.dev.Done():
			l.close() // its interface was taken away
		default:
			return
		}
	}
	if !l.tried.IsZero() && now.Sub(l.tried) < retryAfter && !now.Before(l.tried) {
		return
	}
	l.tried = now
	if l.dev, l.err = s.device(l.exit); l.err != nil {
		s.log.Warn("exit cannot be made", "name", l.exit.Name, "err", l.err)
	}
}

func (s *Server) device(e Exit) (*wgdev.Device, error) {
	c := wgdev.Config{Peers: map[wgdev.Key]wgdev.Peer{}}
	var err error
	if c.Private, err = s.key(e.Key); err != nil {
		return nil, fmt.Errorf("its private key: %w", err)
	}
	pub, err := wgdev.ParseKey(e.Peer)
	if err != nil {
		return nil, fmt.Errorf("the provider's public key: %w", err)
	}
	p := wgdev.Peer{
		Endpoint: e.Endpoint, Keepalive: time.Duration(e.Keepalive) * time.Second,
		Allowed: []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)},
	}
	if e.Preshared != "" {
		if p.Preshared, err = s.key(e.Preshared); err != nil {
			return nil, fmt.Errorf("its preshared key: %w", err)
		}
	}
	c.Peers[pub] = p
	dev, err := wgdev.Open(wgdev.Options{Log: s.log, Interface: e.Interface}, c)
	if err != nil {
		return nil, err
	}
	if err := wgdev.Dress(e.Interface, e.MTU, hosts(e.Addresses)); err != nil {
		dev.Close()
		return nil, err
	}
	// Answers come from all of the internet, which the main table knows another way.
	if err := loosen(e.Interface); err != nil {
		dev.Close()
		return nil, err
	}
	return dev, nil
}

// hosts are the addresses alone: what else is in the provider's network is reached
// by the exit's table, and no route of the main one must lead there.
func hosts(all []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range all {
		out = append(out, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	}
	return out
}

func loosen(card string) error {
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+card+"/rp_filter", []byte("2"), 0o644); err != nil {
		return fmt.Errorf("letting answers in: %w", err)
	}
	return nil
}

// key opens a key of the vault, where it lies raw or as base64.
func (s *Server) key(id config.Secret) (wgdev.Key, error) {
	b, err := s.secrets(id)
	if err != nil {
		return wgdev.Key{}, err
	}
	if len(b) == len(wgdev.Key{}) {
		return wgdev.Key(b), nil
	}
	return wgdev.ParseKey(string(bytes.TrimSpace(b)))
}

// peerState is what is known of the other end.
func (s *Server) peerState(l *line) (wgdev.PeerState, bool) {
	if l.exit.Link != "" {
		if l.exit.Peer == "" {
			return wgdev.PeerState{}, false
		}
		return s.state(l.exit.Peer)
	}
	if l.dev == nil {
		return wgdev.PeerState{}, false
	}
	all, err := l.dev.State()
	if err != nil {
		return wgdev.PeerState{}, false
	}
	for _, p := range all.Peers {
		return p, true
	}
	return wgdev.PeerState{}, false
}

// see takes in what is known of the other end now.
func (l *line) see(now time.Time, st wgdev.PeerState, ok bool) {
	was := l.up
	if ok && st.Rx != l.state.Rx && !st.Handshake.IsZero() {
		l.heard = now
	}
	l.state = st
	quiet := now.Sub(l.heard)
	to := l.probe()
	switch {
	case !ok || st.Handshake.IsZero() || l.heard.IsZero():
		l.up = false
	case to == "":
		l.up = now.Sub(st.Handshake) < handshakes
	default:
		l.up = quiet < silence
		if quiet > askAfter && now.Sub(l.asked) > askEvery {
			l.asked = now
			l.ask(to)
		}
	}
	if l.up != was || l.since.IsZero() {
		l.since = now
	}
}

// discard is the port of a service that nobody offers (RFC 863).
const discard = 9

// probe is where something can be sent to that the other end has to answer, if
// only with a sign of life; empty: nowhere.
func (l *line) probe() string {
	for _, a := range l.exit.DNS {
		if a.Is4() {
			return net.JoinHostPort(a.String(), strconv.Itoa(discard))
		}
	}
	for _, p := range l.exit.Addresses {
		if p.Addr().Is4() {
			return net.JoinHostPort("192.0.2.1", strconv.Itoa(discard)) // nobody's (RFC 5737)
		}
	}
	return ""
}

// ask sends a packet by the interface, be its table shut or not: without a route
// the kernel takes IPv4 to be on the link.
func (l *line) ask(to string) {
	e := l.exit
	d := dialer(e, 0)
	d.Timeout = time.Second
	c, err := d.DialContext(context.Background(), "udp4", to)
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte{0})
}
